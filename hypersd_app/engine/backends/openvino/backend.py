"""The OpenVINO backend: each network converted once, compiled for static shapes, styles fed in as inputs."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from cachetools import FIFOCache
from numpy.typing import NDArray
from torch import Tensor, nn

from hypersd_app.catalog.lora.layers import parameter_name
from hypersd_app.engine.backends.base import Load, UNetStyles, styles_key
from hypersd_app.engine.backends.openvino.graphs import (
    BIAS,
    ControlGraph,
    DecoderGraph,
    EncoderGraph,
    SlotPlan,
    UNetGraph,
    is_low_rank,
    leading_residuals,
    residual_shapes,
)
from hypersd_app.engine.backends.openvino.network import CompiledNetwork, Steady, array, weights_hash
from hypersd_app.engine.interfaces import Conditioning, Residuals
from hypersd_app.engine.loading.lora import Change, Changes, LowRank, StylePatch, placed
from hypersd_app.engine.memory.budget import module_bytes
from hypersd_app.engine.memory.device import Hardware, cores
from hypersd_app.engine.memory.model_cache import Loaded
from hypersd_app.engine.sampling.layout_cache import LayoutCache, layout_code, layout_prior, reads_layout

logger = logging.getLogger(__name__)

PRECISIONS = {torch.bfloat16: "bf16", torch.float16: "f16", torch.float32: "f32"}
Size = tuple[int, ...]
PRIOR = "layout_"  # what the names of a layout prior's layers begin with
MAX_NETWORKS = 4  # graphs of one UNet in memory
WIDE = 300_000_000  # bytes up to which a network is compiled for several images too: a large one gains nothing by it


class OpenVinoBackend:
    """Networks for the CPU. `cache` keeps converted and compiled networks between runs."""

    def __init__(self, hardware: Hardware, cache: Path) -> None:
        self.hardware = hardware
        self._cache = cache
        self._core = ov.Core()
        self._properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[hardware.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            # A browser beside it draws on the same cores: a thread bound to a busy one keeps all the others waiting.
            "ENABLE_CPU_PINNING": False,
            "CACHE_DIR": str(cache / "compiled"),
        }
        if threads := hardware.threads or (max(1, cores() - hardware.spare_cores) if hardware.spare_cores else 0):
            self._properties["INFERENCE_NUM_THREADS"] = threads

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A styled UNet."""
        parts = Parts(self, name, load)
        network = OpenVinoDenoiser(parts)
        return Loaded(network, parts.bytes, grown=lambda: network.grown)

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A ControlNet."""
        parts = Parts(self, name, load)
        network = OpenVinoControl(parts)
        return Loaded(network, parts.bytes, grown=lambda: network.grown)

    def decoder(self, name: str, load: Load) -> Loaded:
        """A decoder."""
        parts = Parts(self, name, without(load, "encoder"))
        return Loaded(OpenVinoDecoder(parts), parts.bytes)

    def encoder(self, name: str, load: Load) -> Loaded:
        """An encoder."""
        parts = Parts(self, f"{name}-encoder", without(load, "decoder"))
        return Loaded(OpenVinoEncoder(parts), parts.bytes)

    def text_dtype(self) -> torch.dtype:
        """Text encoders run in torch, once a prompt."""
        return torch.float32

    def text(self, modules: Sequence[nn.Module]) -> Loaded:
        """They are where they are needed."""
        for module in modules:
            module.eval().requires_grad_(False)
        return Loaded(_nothing, sum(module_bytes(module) for module in modules))

    def synchronize(self) -> None:
        """Inference returns when it is done."""

    def network(self, name: str, build: Callable[[], nn.Module], named: int) -> CompiledNetwork:
        """A network whose converted form is kept as `name`."""
        path = self._cache / f"{name}-{self._properties['INFERENCE_PRECISION_HINT']}.xml"
        return CompiledNetwork(self._core, path, self._properties, build, named)


def without(load: Load, left_out: str) -> Load:
    """A VAE without its encoder or its decoder."""

    def half(dtype: torch.dtype) -> Any:
        module = load(dtype)
        setattr(module, left_out, None)
        return module

    return half


def _nothing() -> None:
    """No-op: the weights are already on the device."""


class Parts:
    """A module read once for its facts, and again only if something must be converted."""

    def __init__(self, backend: OpenVinoBackend, name: str, load: Load) -> None:
        module = load(torch.float32)
        self.backend = backend
        self.load = load
        self.config = module.config
        self.leading = leading_residuals(module)
        self.name = f"{name}-{weights_hash(module)}"
        self.time_projection = getattr(module, "time_proj", None)
        self._times: dict[float, NDArray[np.float32]] = {}
        self.size_projection = getattr(module, "add_time_proj", None)
        self.prior = layout_prior(module)
        self.layout_code = layout_code(module)
        self.reads_layout = reads_layout(module)
        half = backend.hardware.dtype != torch.float32
        prior_bytes = 0 if self.prior is None else module_bytes(self.prior)
        self.bytes = (module_bytes(module) - prior_bytes) // (2 if half else 1) + prior_bytes
        self.wide = self.bytes <= WIDE
        values = [(name.removesuffix(".weight"), value) for name, value in module.state_dict().items()]
        self.shapes = {name: tuple(value.shape) for name, value in values}  # of parameters; a weight has its layer's name
        self.names = {flat_name(name): name for name in self.shapes}

    def bases(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Values of some parameters, float32."""
        wanted = set(names)
        found = {name.removesuffix(".weight"): value for name, value in self.load(torch.float32).state_dict().items()}
        return {name: found[name].clone() for name in wanted}

    def network(self, variant: str, wrap: Callable[[Any], nn.Module], named: int) -> CompiledNetwork:
        """The network of one variant of the graph."""
        return self.backend.network(f"{self.name}-{variant}", lambda: wrap(self.load(torch.float32)), named)

    def time(self, t: Tensor) -> NDArray[np.float32]:
        """The timestep's sines and cosines, (1, channels); kept, for schedules use the same few again."""
        assert self.time_projection is not None
        if (found := self._times.get(float(t))) is None:
            found = self._times[float(t)] = array(self.time_projection(t.reshape(1)))
        return found

    def words(self, conditioning: Conditioning, rows: slice) -> list[NDArray[np.float32]]:
        """The text, then Pocket's layout, or SDXL's pooled text and the projection of its sizes."""
        hidden = array(conditioning.hidden[rows])
        if self.reads_layout and conditioning.layout is not None:
            return [hidden, array(conditioning.layout[rows])]
        if conditioning.pooled is None or conditioning.time_ids is None or self.size_projection is None:
            return [hidden]
        ids = conditioning.time_ids[rows]
        return [hidden, array(conditioning.pooled[rows]), array(self.size_projection(ids.flatten()).reshape(len(ids), -1))]

    def steady(
        self, t: Tensor, conditioning: Conditioning, factors: Sequence[NDArray[np.float32]] = (), styles: Hashable = None
    ) -> Steady:
        """Timestep, words and styles. A large network has too much of the first two to keep, and too little of its time in them."""
        until = 2 + len(self.words(conditioning, slice(0, 1))) if self.wide else 1
        rows = conditioning.parts or [(conditioning, row) for row in range(len(conditioning.hidden))]
        return Steady(until, [(float(t), row) for row in rows], factors, styles)


class OpenVinoDenoiser:
    """A UNet as up to two graphs: as it is, and with slots for styles.

    A layout prior is in neither: it stays in torch, float32, since it runs once a prompt.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.in_channels = int(parts.config.in_channels)
        self.layout_code = parts.layout_code
        self._plan = SlotPlan()
        self._networks: FIFOCache[tuple[SlotPlan, Size], CompiledNetwork] = FIFOCache(MAX_NETWORKS)
        self._styles: Hashable = ()
        self._acting: UNetStyles | None = None  # the very object that is in force
        self._factors: list[NDArray[np.float32]] = []
        self._bases: dict[str, Tensor] = {}
        self._none: list[NDArray[np.float32]] = []
        self._prior_patch = None if parts.prior is None else StylePatch(parts.prior)
        self._layouts = None if parts.prior is None else LayoutCache(parts.prior)

    @property
    def grown(self) -> int:
        """Bytes beyond those of one compiled network: other batch sizes, the graph with slots, styles, what is kept of words."""
        copies = sum(1 + network.extra for network in self._networks.values()) - 1
        kept = sum(network.kept for network in self._networks.values()) + (self._prior_patch.bytes if self._prior_patch else 0)
        fed = sum(array.nbytes for array in self._factors) + sum(base.nbytes for base in self._bases.values())
        return max(0, copies) * self._parts.bytes + fed + kept

    def set_styles(self, styles: UNetStyles) -> None:
        """Lay the styles' factors out for the slots. Compiles nothing, unless they touch layers no style touched before."""
        if styles is self._acting:
            return
        self._acting, given = None, styles
        key = styles_key(styles)
        if key == self._styles:
            self._acting = given
            return
        self._styles = None  # should a style not fit, the next one finds none in force
        if self._prior_patch is not None:
            self._prior_patch.set(key, [(of_prior(factors), weight) for _, weight, factors in styles])
            styles = [(style, weight, not_of_prior(factors)) for style, weight, factors in styles]
        acting = [(self._named(changes), weight) for _, weight, changes in styles]
        plan = self._plan.grown([changes for changes, _ in acting])
        self._factors = []
        self._bases = self._bases_for([changes for changes, _ in acting])
        if any(changes for changes, _ in acting):
            self._factors = slot_inputs(self._parts.shapes, plan, acting, self._bases)
            self._plan = plan
        self._styles, self._acting = key, given

    def _named(self, changes: Changes) -> dict[str, Change]:
        """Those changes that this network can take, by its own names. Raises ModelUnavailable."""
        names, shapes = self._parts.names, self._parts.shapes
        return {names[flat]: change for flat, change in placed(changes, {flat: shapes[names[flat]] for flat in names}).items()}

    def _bases_for(self, styles: Iterable[Mapping[str, Change]]) -> dict[str, Tensor]:
        """The parameters that some changes are computed from; read only if there are such changes, and kept while they act."""
        needed = {name for changes in styles for name, change in changes.items() if change.needs_base}
        if not needed:
            return {}
        return self._bases if needed <= self._bases.keys() else self._parts.bases(needed)

    def prepared(self, words: Conditioning) -> Conditioning:
        """Pocket's layout is computed once."""
        return words if self._layouts is None else self._layouts.added_to(words, self._styles)

    def _network(self, latents: Tensor) -> CompiledNetwork:
        plan, size = self._plan if self._factors else SlotPlan(), fixed_size(self._parts.config, *latents.shape[2:])
        if (plan, size) not in self._networks:
            for other in list(self._networks):
                if other[0].layers and plan.layers and other[0] != plan:
                    del self._networks[other]  # outgrown slots
            slots = f"s{plan.rank}-{len(plan.modules)}-{abs(hash_text(plan.modules)):x}"
            slots += f"-w{len(plan.whole)}-{abs(hash_text(plan.whole)):x}" if plan.whole else ""
            variant = "-".join(["unet", slots, *(str(side) for side in size)])
            self._networks[plan, size] = self._parts.network(variant, lambda module: UNetGraph(module, plan), 3)
        return self._networks[plan, size]

    def _no_residuals(self, latents: Tensor) -> list[NDArray[np.float32]]:
        """Zeros for every image of a batch, made once per size."""
        batch, _, height, width = latents.shape
        shapes = [(batch, *shape) for shape in residual_shapes(self._parts.config, self._parts.leading, height, width)]
        if [array.shape for array in self._none] != shapes:
            self._none = [np.zeros(shape, np.float32) for shape in shapes]
        return self._none

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        parts, time = self._parts, self._parts.time(t)
        given = self._no_residuals(latents) if residuals is None else [array(part) for part in (*residuals.down, residuals.middle)]

        def inputs(rows: slice) -> list[NDArray[np.float32]]:
            return [array(latents[rows]), time, *parts.words(conditioning, rows), *(part[rows] for part in given)]

        steady = parts.steady(t, conditioning, self._factors, self._styles)
        return self._network(latents).batched(len(latents), inputs, wide=parts.wide, steady=steady)[0]


class OpenVinoControl:
    """A ControlNet."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._network = parts.network("control", ControlGraph, 3)

    @property
    def grown(self) -> int:
        """Bytes of other batch sizes, and of what is kept of words."""
        return self._network.extra * self._parts.bytes + self._network.kept

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, control: Tensor, scales: Tensor) -> Residuals:
        parts, time = self._parts, self._parts.time(t)

        def inputs(rows: slice) -> list[NDArray[Any]]:
            return [array(latents[rows]), time, *parts.words(conditioning, rows), control[rows].numpy(), array(scales[rows])]

        made = self._network.batched(len(latents), inputs, wide=parts.wide, steady=parts.steady(t, conditioning))
        return Residuals(tuple(made[:-1]), made[-1])


class OpenVinoDecoder:
    """The decoder of a VAE, full or tiny; one image at a time, for decoding is where memory peaks."""

    def __init__(self, parts: Parts) -> None:
        self.factor = 2 ** (len(parts.config.block_out_channels) - 1)
        self._network = parts.network("decoder", DecoderGraph, 1)

    def __call__(self, latents: Tensor) -> Tensor:
        return self._network.batched(len(latents), lambda rows: [array(latents[rows])], wide=False)[0]


class OpenVinoEncoder:
    """The encoder of a VAE, full or tiny; one image at a time."""

    def __init__(self, parts: Parts) -> None:
        self._network = parts.network("encoder", EncoderGraph, 1)

    def __call__(self, images: Tensor) -> Tensor:
        found = self._network.batched(len(images), lambda rows: [images[rows].numpy()], wide=False)[0]
        return found.clone()  # the next call overwrites it


def fixed_size(config: Any, height: int, width: int) -> Size:
    """() for latents that a UNet halves without a remainder: one graph fits all those sizes.

    Else its skips are resized to what the conversion saw, and the graph is for (height, width) alone.
    """
    factor = 2 ** (len(config.block_out_channels) - 1)
    return (height, width) if height % factor or width % factor else ()


NamedStyles = Sequence[tuple[Mapping[str, Change], float]]  # changes by the network's own names


def slot_inputs(
    shapes: Mapping[str, tuple[int, ...]], plan: SlotPlan, styles: NamedStyles, bases: Mapping[str, Tensor]
) -> list[NDArray[np.float32]]:
    """What every slot is fed, float32: down and up factors, then whole differences. Weights of styles are in it."""
    inputs: list[NDArray[np.float32]] = []
    for name in plan.modules:
        inputs += slot_factors(shapes[name], plan.rank, [(some[name], weight) for some, weight in styles if name in some])
    for name in plan.whole:
        base = bases.get(name, torch.zeros(1)).expand(shapes[name])
        changes = [(some[name], weight) for some, weight in styles if name in some and not is_low_rank(name, some[name])]
        inputs.append(array(sum((change.of(base, weight) for change, weight in changes), torch.zeros(shapes[name]))))
    return inputs


def slot_factors(shape: tuple[int, ...], rank: int, changes: Sequence[tuple[Change, float]]) -> list[NDArray[np.float32]]:
    """Factors of a layer of this shape beside each other, padded with zeros to `rank`; weights go into the up factor."""
    out_size, *in_shape = shape
    down, up = np.zeros((rank, *in_shape), np.float32), np.zeros((out_size, rank), np.float32)
    start = 0
    for change, weight in changes:
        if isinstance(change, LowRank):
            end = start + change.rank
            down[start:end] = array(change.down).reshape(change.rank, *in_shape)
            up[:, start:end] = array(change.up).reshape(out_size, change.rank) * (change.scale * weight)
            start = end
    return [down, up]


def flat_name(parameter: str) -> str:
    """How changes name a parameter that is called "<layer>" or "<layer>.bias" here."""
    layer = parameter.removesuffix(BIAS)
    return parameter_name(layer, "bias" if layer != parameter else "weight")


def of_prior(changes: Changes) -> dict[str, Change]:
    """The changes of the layout prior, by its own names."""
    return {name.removeprefix(PRIOR): change for name, change in changes.items() if name.startswith(PRIOR)}


def not_of_prior(changes: Changes) -> dict[str, Change]:
    """The changes of all other layers."""
    return {name: change for name, change in changes.items() if not name.startswith(PRIOR)}


def hash_text(names: tuple[str, ...]) -> int:
    """A number that names a set of layers the same in every process."""
    return zlib.crc32(",".join(names).encode())
