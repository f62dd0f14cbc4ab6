"""Control images from photographs: edges, lines and depth, each detector loaded alone and when it is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from hypersd_app.catalog.revisions import Pins, pinned
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.catalog.validation import one_of
from hypersd_app.engine.memory.budget import module_bytes
from hypersd_app.engine.memory.model_cache import Loaded, ModelCache
from hypersd_app.errors import ModelUnavailable
from hypersd_app.images.scribble import Pixels, on_white
from hypersd_app.weights.hub import Hub

PACKAGE = "controlnet_aux"
EDGES = WeightSource(repo="lllyasviel/Annotators")
DEPTH = WeightSource(repo="depth-anything/Depth-Anything-V2-Small-hf")
UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, AttributeError, EOFError, pickle.UnpicklingError)

Detector = Callable[..., Image.Image]  # (image, detect_resolution, image_resolution) to a control image
Build = Callable[[list[Path]], tuple[Detector, list[nn.Module]]]


@dataclass(frozen=True)
class Annotator:
    """A detector: what builds it of which files, and how it is called."""

    build: Build
    source: WeightSource | None = None
    files: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)


def canny(_files: list[Path]) -> tuple[Detector, list[nn.Module]]:
    """Canny's edges, which need no weights."""
    return detector_class("canny", "CannyDetector")(), []


def holistic_edges(files: list[Path]) -> tuple[Detector, list[nn.Module]]:
    """HED soft edges."""
    network = detector_class("hed", "ControlNetHED_Apache2")()
    network.load_state_dict(tensors(files[0]))
    return detector_class("hed", "HEDdetector")(network.float().eval()), [network]


def pixel_difference(files: list[Path]) -> tuple[Detector, list[nn.Module]]:
    """PidiNet soft edges."""
    network = detector_class("pidi", "pidinet")()
    state = tensors(files[0])["state_dict"]
    network.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    return detector_class("pidi", "PidiNetDetector")(network.eval()), [network]


def line_art(files: list[Path]) -> tuple[Detector, list[nn.Module]]:
    """Lines, fine ones and coarse ones."""
    networks = []
    for path in files:
        network = detector_class("lineart", "Generator")(3, 1, 3)
        network.load_state_dict(tensors(path))
        networks.append(network.eval())
    return detector_class("lineart", "LineartDetector")(*networks), networks


def depth(files: list[Path]) -> tuple[Detector, list[nn.Module]]:
    """Depth Anything, near is light. By transformers: its weights are safetensors, and MiDaS's are not."""
    import transformers

    folder = files[0].parent
    processor = transformers.DPTImageProcessor.from_pretrained(folder, local_files_only=True)
    network = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)

    def detect(image: Image.Image, **_: Any) -> Image.Image:
        with torch.inference_mode():
            found = network(**processor(images=image, return_tensors="pt")).predicted_depth[0]
        scaled = (found - found.min()) / (found.max() - found.min()).clamp(min=1e-6)
        return Image.fromarray(scaled.mul(255).round().to(torch.uint8).numpy())

    return detect, [network.eval()]


HED = ("ControlNetHED.pth",)
ANNOTATORS: dict[str, Annotator] = {
    "canny": Annotator(canny),
    "softedge": Annotator(holistic_edges, EDGES, HED),
    "pidinet": Annotator(pixel_difference, EDGES, ("table5_pidinet.pth",)),
    "scribble": Annotator(holistic_edges, EDGES, HED, {"scribble": True}),
    "lineart": Annotator(line_art, EDGES, ("sk_model.pth", "sk_model2.pth")),
    "depth": Annotator(depth, DEPTH, ("config.json", "preprocessor_config.json", "model.safetensors")),
}


class Annotators:
    """Detectors in the memory budget, each loaded when it is first asked for. They run on the CPU."""

    def __init__(self, hub: Hub, residency: ModelCache, pins: Pins = MappingProxyType({})) -> None:
        self._hub = hub
        self._pins = pins
        self._residency = residency

    def annotate(self, kind: str, photograph: Image.Image, size: tuple[int, int]) -> Pixels:
        """A photograph as a control image of `kind`, uint8 (H, W, 3). Raises InvalidRequest and ModelUnavailable."""
        one_of("control kind", kind, ANNOTATORS)
        row = replace(ANNOTATORS[kind], source=pinned(ANNOTATORS[kind].source, self._pins))
        with self._residency.lease(("annotator", row.build.__name__), lambda: self._load(row)) as detector:
            resolution = min(size)
            made = detector(
                on_white(photograph), detect_resolution=resolution, image_resolution=resolution, output_type="pil", **row.arguments
            )
        return np.asarray(made.convert("RGB").resize(size, Image.Resampling.BILINEAR))

    def _load(self, row: Annotator) -> Loaded:
        files = [] if row.source is None else self._hub.files(row.source, row.files)
        try:
            detector, networks = row.build(files)
        except UNREADABLE as error:
            raise ModelUnavailable(f"The weights in {row.source} cannot be read: {error}") from error
        return Loaded(detector, sum(module_bytes(network) for network in networks))


def tensors(path: Path) -> Any:
    """The tensors of a .pth file; these detectors exist in no other form. Code in it is refused, not run."""
    return torch.load(path, map_location="cpu", weights_only=True)


def detector_class(module: str, name: str) -> Any:
    """A class of one module of controlnet-aux. Raises ModelUnavailable."""
    try:
        with alone(PACKAGE):
            return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    except (ImportError, AttributeError) as error:
        install = 'pip install -r requirements-annotators.txt, or pip install "hypersd-studio[annotators]"'
        raise ModelUnavailable(f"Reading photographs needs the package controlnet-aux: {install} ({error}).") from error


_importing = threading.Lock()


@contextmanager
def alone(package: str) -> Iterator[None]:
    """Let modules of `package` be imported without its own `__init__`, which imports all of them, and warns and waits."""
    with _importing:
        if package in sys.modules:
            yield
            return
        spec = importlib.util.find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError(f"No module named {package!r}")
        bare = ModuleType(package)
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules[package] = bare
        try:
            yield
        finally:
            del sys.modules[package]  # whoever wants the whole package gets it
