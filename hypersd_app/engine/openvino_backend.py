"""The OpenVINO backend: each network converted once, compiled for static shapes, styles fed in as inputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hypersd_app.engine.backends import Load, UNetStyles
from hypersd_app.engine.hardware import Hardware
from hypersd_app.engine.memory import module_bytes
from hypersd_app.engine.networks import Conditioning, Residuals
from hypersd_app.engine.openvino_graphs import ControlGraph, DecoderGraph, SlotPlan, UNetGraph
from hypersd_app.engine.openvino_network import CompiledNetwork, array, tensor, weights_hash
from hypersd_app.engine.residency import Loaded
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

PRECISIONS = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}
BUCKETS = (4, 1)  # batch sizes that are compiled; any other runs as several of these
GRAPH_VARIANTS = 2  # with and without residuals


class OpenVinoBackend:
    """Networks for the CPU. `cache` keeps converted and compiled networks between runs."""

    def __init__(self, hardware: Hardware, cache: Path) -> None:
        self.hardware = hardware
        self._cache = cache
        self._core = ov.Core()
        self._properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[hardware.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "CACHE_DIR": str(cache / "compiled"),
        }

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A styled UNet."""
        parts = Parts(self, name, load)
        return Loaded(OpenVinoDenoiser(parts), GRAPH_VARIANTS * parts.bytes)

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A ControlNet."""
        parts = Parts(self, name, load)
        return Loaded(OpenVinoControl(parts), parts.bytes)

    def decoder(self, name: str, load: Load) -> Loaded:
        """A decoder."""

        def without_encoder() -> Any:
            module = load()
            if hasattr(module, "encoder"):
                module.encoder = None
            return module

        parts = Parts(self, name, without_encoder)
        return Loaded(OpenVinoDecoder(parts), parts.bytes)

    def synchronize(self) -> None:
        """Inference returns when it is done."""

    def network(self, name: str, build: Callable[[], nn.Module], named: int) -> CompiledNetwork:
        """A network whose converted form is kept as `name`."""
        path = self._cache / f"{name}-{self._properties['INFERENCE_PRECISION_HINT']}.xml"
        return CompiledNetwork(self._core, path, self._properties, build, named)


class Parts:
    """A module read once for its facts, and again only if something must be converted."""

    def __init__(self, backend: OpenVinoBackend, name: str, load: Load) -> None:
        module = load()
        self.backend = backend
        self.load = load
        self.config = module.config
        self.name = f"{name}-{weights_hash(module)}"
        self.time_projection = getattr(module, "time_proj", None)
        self.size_projection = getattr(module, "add_time_proj", None)
        half = backend.hardware.dtype != torch.float32
        self.bytes = module_bytes(module) // (2 if half else 1)

    def network(self, variant: str, wrap: Callable[[Any], nn.Module], named: int) -> CompiledNetwork:
        """The network of one variant of the graph."""
        return self.backend.network(f"{self.name}-{variant}", lambda: wrap(self.load()), named)

    def time(self, t: Tensor) -> NDArray[np.float32]:
        """The timestep's sines and cosines, (1, channels)."""
        assert self.time_projection is not None
        return array(self.time_projection(t.reshape(1)))

    def added(self, conditioning: Conditioning, rows: slice) -> list[NDArray[np.float32]]:
        """SDXL's pooled text and the projection of its sizes, nothing for other families."""
        if conditioning.pooled is None or conditioning.time_ids is None or self.size_projection is None:
            return []
        ids = conditioning.time_ids[rows]
        return [array(conditioning.pooled[rows]), array(self.size_projection(ids.flatten()).reshape(len(ids), -1))]


class OpenVinoDenoiser:
    """A UNet as up to three graphs: plain, with residuals, and each of these with slots for styles."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.in_channels = int(parts.config.in_channels)
        self._plan = SlotPlan()
        self._networks: dict[tuple[int, SlotPlan], CompiledNetwork] = {}
        self._styles: object = ()
        self._factors: list[NDArray[np.float32]] = []

    def set_styles(self, styles: UNetStyles) -> None:
        """Lay the styles' factors out for the slots. Compiles nothing, unless they touch layers no style touched before."""
        key = tuple((style.path, weight) for style, weight, _ in styles)
        if key == self._styles:
            return
        if styles:
            plan = self._plan.grown([factors for _, _, factors in styles])
            self._factors = slot_inputs(self._shapes(plan), plan, styles)
            self._plan = plan
        else:
            self._factors = []
        self._styles = key

    def _shapes(self, plan: SlotPlan) -> dict[str, tuple[int, ...]]:
        """Weight shapes of the slotted layers, read when the first style comes. Raises ModelUnavailable."""
        if not hasattr(self, "_layer_shapes"):
            state = self._parts.load().state_dict()
            suffix = ".weight"
            self._layer_shapes = {name.removesuffix(suffix): tuple(t.shape) for name, t in state.items() if name.endswith(suffix)}
        missing = [name for name in plan.modules if name not in self._layer_shapes]
        if missing:
            raise ModelUnavailable(f"The style does not fit this model: it has no layer {missing[0]!r}.")
        return self._layer_shapes

    def _network(self, residuals: int) -> CompiledNetwork:
        plan = self._plan if self._factors else SlotPlan()
        key = (residuals, plan)
        if key not in self._networks:
            for old in [other for other in self._networks if other[0] == residuals and other[1].modules and plan.modules]:
                del self._networks[old]  # outgrown slots
            variant = f"r{residuals}-s{plan.rank}-{len(plan.modules)}-{abs(hash_text(plan.modules)):x}"
            self._networks[key] = self._parts.network(variant, lambda module: UNetGraph(module, residuals, plan), 3)
        return self._networks[key]

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        extra = [] if residuals is None else [*residuals.down, residuals.middle]
        network, time = self._network(len(extra)), self._parts.time(t)
        outputs = []
        for rows in chunks(len(latents)):
            inputs = [array(latents[rows]), time, array(conditioning.hidden[rows]), *self._parts.added(conditioning, rows)]
            inputs += [array(residual[rows]) for residual in extra]
            outputs.append(network(inputs, self._factors, self._styles)[0])
            if len(latents) > len(outputs[-1]):
                outputs[-1] = outputs[-1].copy()  # the next chunk overwrites it
        return torch.cat([tensor(output) for output in outputs])


class OpenVinoControl:
    """A ControlNet."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._network = parts.network("control", ControlGraph, 3)

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, control: Tensor, scales: Tensor) -> Residuals:
        time, made = self._parts.time(t), []
        for rows in chunks(len(latents)):
            inputs = [array(latents[rows]), time, array(conditioning.hidden[rows]), *self._parts.added(conditioning, rows)]
            found = self._network([*inputs, array(control[rows]), array(scales[rows])])
            made.append([output if len(output) == len(latents) else output.copy() for output in found])
        stacked = [torch.cat([tensor(row) for row in rows]) for rows in zip(*made, strict=True)]
        return Residuals(tuple(stacked[:-1]), stacked[-1])


class OpenVinoDecoder:
    """The decoder of a VAE, full or tiny."""

    def __init__(self, parts: Parts) -> None:
        self.factor = 2 ** (len(parts.config.block_out_channels) - 1)
        self._network = parts.network("decoder", DecoderGraph, 1)

    def __call__(self, latents: Tensor) -> Tensor:
        return torch.cat([tensor(self._network([array(row)])[0].copy()) for row in latents.split(1)])


def chunks(count: int) -> Iterator[slice]:
    """Rows of a batch in compiled sizes, the largest first."""
    start = 0
    while start < count:
        size = next(bucket for bucket in BUCKETS if bucket <= count - start)
        yield slice(start, start + size)
        start += size


def slot_inputs(shapes: dict[str, tuple[int, ...]], plan: SlotPlan, styles: UNetStyles) -> list[NDArray[np.float32]]:
    """Down and up factors of every slot, float32, padded with zeros to the slots' width; weights go into the up factor."""
    inputs: list[NDArray[np.float32]] = []
    for name in plan.modules:
        out_size, *in_shape = shapes[name]
        down = np.zeros((plan.rank, *in_shape), np.float32)
        up = np.zeros((out_size, plan.rank), np.float32)
        start = 0
        for _, weight, factors in styles:
            if name not in factors:
                continue
            change = factors[name]
            end = start + change.rank
            if change.down.numel() != change.rank * int(np.prod(in_shape)) or change.up.shape[0] != out_size:
                raise ModelUnavailable(f"The style does not fit this model: layer {name!r} has another shape.")
            down[start:end] = array(change.down).reshape(change.rank, *in_shape)
            up[:, start:end] = array(change.up).reshape(out_size, change.rank) * (change.scale * weight)
            start = end
        inputs += [down, up]
    return inputs


def hash_text(names: tuple[str, ...]) -> int:
    """A number that names a set of layers the same in every process."""
    import zlib

    return zlib.crc32(",".join(names).encode())
