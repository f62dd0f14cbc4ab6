"""The manager: which parts a plan needs, loaded once, shared between pipelines, kept while memory allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hypersd_app.catalog.specs import ControlSpec, Recipe, StyleSpec, WeightSource
from hypersd_app.engine.backends.base import Backend, StyledDenoiser
from hypersd_app.engine.backends.registry import Backends
from hypersd_app.engine.diffusers_pipelines import WEIGHTS, PlainSizes, load_plain, plain_sizes
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Decoder
from hypersd_app.engine.loading.fingerprint import TOP, Fingerprint, stamp
from hypersd_app.engine.loading.loader import Loader, decoder_components, text_components
from hypersd_app.engine.loading.lora import FactorCache, Factors, StyleKey, StylePatch
from hypersd_app.engine.memory.budget import out_of_memory_named
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Loaded, ModelCache
from hypersd_app.engine.memory.placement import Footprint, Placement, Placements, Tier
from hypersd_app.engine.plan import Plan
from hypersd_app.engine.sampling.schedules import Schedulers
from hypersd_app.engine.sampling.text import PromptCache, PromptEncoder, PromptKey
from hypersd_app.weights.downloads import Progress

logger = logging.getLogger(__name__)

Fingerprints = Mapping[str, Fingerprint]  # of the files that each part of a plan is read from


@dataclass(frozen=True)
class PartKey:
    """Everything that changes a part: what it is, whose weights, what is fused into it, and where it runs."""

    part: str
    source: WeightSource
    stamp: Fingerprint
    recipe: Recipe | None
    hardware: str

    def __str__(self) -> str:
        fused = "" if self.recipe is None else f" [{self.recipe.name}]"
        return f"{self.part} of {self.source}{fused}"


class TextPart:
    """A prompt encoder with the styles that may act on it. Use under the device lock."""

    def __init__(self, encoder: PromptEncoder, arrive: Callable[[], None]) -> None:
        self.encoder = encoder
        self._arrive = arrive
        self._patches = {name: StylePatch(module) for name, module in encoder.modules.items()}

    @property
    def bytes(self) -> int:
        """Memory of the weights kept for taking styles off again."""
        return sum(patch.bytes for patch in self._patches.values())

    def embed(self, key: PartKey, cache: PromptCache, text: str, negative: bool, styles: Any) -> Conditioning:
        """The embedding of one prompt; the encoder is patched and run only if the cache doesn't have it."""
        acting = [(style, weight, factors) for style, weight, factors in styles if any(factors[name] for name in self._patches)]
        names = tuple((style, weight) for style, weight, _ in acting)

        def encode() -> Conditioning:
            for component, patch in self._patches.items():
                patch.set(names, [(factors[component], weight) for _, weight, factors in acting])
            self._arrive()
            return self.encoder(text, negative)

        return cache.get(PromptKey(key, names, negative, text), encode)


@dataclass(frozen=True)
class Pipeline:
    """The parts of one plan, ready to run. Use under the device lock."""

    backend: Backend
    label: str  # what runs it and where its weights are, for people
    text: TextPart
    text_key: PartKey
    denoiser: StyledDenoiser
    decoder: Decoder
    control: ControlNetwork | None
    schedulers: Schedulers
    styles: Sequence[tuple[StyleKey, float, Factors]]


class ModelManager:
    """Opens pipelines for plans. Thread-safe; a part is loaded by whoever asks first, the others wait for it."""

    def __init__(self, hardware: Hardware, cache: Path, loader: Loader, residency: ModelCache) -> None:
        self.hardware = hardware
        self.loader = loader
        self.residency = residency
        self._backends = Backends(hardware, cache)
        self._placements = Placements(hardware, residency.budget)
        self._plain_sizes: dict[tuple[WeightSource, Fingerprint], PlainSizes] = {}
        self.prompts = PromptCache()
        self.factors = FactorCache()

    @contextmanager
    def open(self, plan: Plan, progress: Progress | None = None) -> Iterator[Pipeline]:
        """The plan's pipeline, none of it evicted while the block runs. Raises ModelUnavailable and DeviceOutOfMemory."""
        stamps = plan_stamps(plan)
        placement, size = self._placement(plan, stamps, progress)
        try:
            with ExitStack() as leases:
                yield Opening(self, plan, stamps, placement, size, leases, progress).pipeline()
        finally:
            self.residency.trim()

    def _placement(self, plan: Plan, stamps: Fingerprints, progress: Progress | None) -> tuple[Placement, Footprint]:
        model = " with ".join(str(source) for source in (plan.model.source, plan.recipe.unet) if source is not None)
        parts = (plan.decoder.source, None if plan.control is None else plan.control.source, *stamps.values())
        return self._placements.of(model, parts, lambda: self.loader.footprint(plan, progress))

    @contextmanager
    def open_plain(self, plan: Plan, progress: Progress | None = None) -> Iterator[Any]:
        """The plan's pipeline of diffusers' own making, for the models that run through one."""
        model, hardware = plan.model, replace(self.hardware, backend="torch")
        version = (model.source, stamp(model.source, WEIGHTS))
        if version not in self._plain_sizes:
            self._plain_sizes[version] = plain_sizes(self.loader.hub, model, hardware, progress)
        sizes = self._plain_sizes[version]
        tier = sizes.tier(hardware, self.residency.budget)
        stamps = version[1] + stamp(plan.recipe.lora)
        key = PartKey("pipeline", model.source, stamps, plan.recipe, self.label(Placement("torch", tier)))

        def load() -> Loaded:
            return load_plain(self.loader.hub, model, plan.recipe, hardware, tier, progress)

        with self.residency.lease(key, lambda: named(key, load), sizes.on_device(tier)) as pipeline:
            yield pipeline

    def synchronize(self) -> None:
        """Wait until the device has done its work."""
        self.backend(Placement("torch")).synchronize()

    def backend(self, placement: Placement) -> Backend:
        """What runs a placement."""
        return self._backends.of(placement)

    def label(self, placement: Placement) -> str:
        """A placement, for people."""
        return self._placements.label(placement)


class Opening:
    """One plan's way from names to leased parts."""

    def __init__(
        self,
        pipelines: ModelManager,
        plan: Plan,
        stamps: Fingerprints,
        placement: Placement,
        size: Footprint,
        leases: ExitStack,
        progress: Progress | None,
    ) -> None:
        self._pipelines = pipelines
        self._plan = plan
        self._stamps = stamps
        self._placement = placement
        self._size = size
        self._leases = leases
        self._progress = progress
        self._backend = pipelines.backend(placement)
        self._label = pipelines.label(placement)

    def pipeline(self) -> Pipeline:
        """The parts, each loaded if it isn't there. Raises ModelUnavailable and DeviceOutOfMemory."""
        plan, source = self._plan, self._plan.model.source
        text_key = self._key("text", "text", source)
        decoder = self._key("decoder", f"{plan.decoder.name} decoder", plan.decoder.source)
        return Pipeline(
            backend=self._backend,
            label=self._label,
            text=self._lease(text_key, "text", self._load_text),
            text_key=text_key,
            denoiser=self._lease(self._key("unet", "unet", source, plan.recipe), "unet", self._load_unet),
            decoder=self._lease(decoder, "decoder", self._load_decoder),
            control=None if plan.control is None else self._lease_control(plan.control),
            schedulers=self._lease(self._key("scheduler", "scheduler", source, plan.recipe), "", self._load_scheduler),
            styles=[self._style(style, weight) for style, weight in plan.styles],
        )

    def _style(self, style: StyleSpec, weight: float) -> tuple[StyleKey, float, Factors]:
        key, factors = self._pipelines.factors.get(style.path, style.family)
        return key, weight, factors

    def _key(self, part: str, title: str, source: WeightSource, recipe: Recipe | None = None) -> PartKey:
        return PartKey(title, source, self._stamps[part], recipe, self._label)

    def _lease(self, key: PartKey, part: str, load: Callable[[], Loaded]) -> Any:
        hardware, estimate = self._backend.hardware, 0
        if part and (hardware.device == "cpu" or self._placement.tier is Tier.RESIDENT):
            # Room is made before the load, so that the old and the new are never there together.
            estimate = getattr(self._size, part) * self._placement.weight_bytes(hardware, part)
        return self._leases.enter_context(self._pipelines.residency.lease(key, lambda: named(key, load), estimate))

    def _lease_control(self, control: ControlSpec) -> ControlNetwork:
        return self._lease(self._key("control", "controlnet", control.source), "control", lambda: self._load_controlnet(control))

    def _loader(self, dtype: torch.dtype) -> Loader:
        return self._pipelines.loader.reading(dtype)

    def _load_text(self) -> Loaded:
        encoder = self._loader(self._backend.text_dtype()).text(self._plan.model, self._progress)
        placed = self._backend.text(list(encoder.modules.values()))
        part = TextPart(encoder, placed.value)
        return Loaded(part, placed.bytes, placed.close, lambda: part.bytes)

    def _load_unet(self) -> Loaded:
        model, recipe = self._plan.model, self._plan.recipe
        return self._backend.denoiser(
            f"{model.name}-{recipe.name}", lambda dtype: self._loader(dtype).unet(model, recipe, self._progress)
        )

    def _load_decoder(self) -> Loaded:
        model, decoder = self._plan.model, self._plan.decoder
        return self._backend.decoder(
            f"{model.name}-{decoder.name}", lambda dtype: self._loader(dtype).decoder(model, decoder, self._progress)
        )

    def _load_controlnet(self, control: ControlSpec) -> Loaded:
        return self._backend.controlnet(
            f"control-{control.kind}", lambda dtype: self._loader(dtype).controlnet(control, self._progress)
        )

    def _load_scheduler(self) -> Loaded:
        plan = self._plan
        return Loaded(Schedulers(plan.recipe, self._pipelines.loader.scheduler_config(plan.model, self._progress)), 0)


def named(key: PartKey, load: Callable[[], Loaded]) -> Loaded:
    """What `load` loads, running out of memory named for what it is."""
    logger.info("loading %s", key)
    with out_of_memory_named(f"loading the {key}"):
        return load()


def plan_stamps(plan: Plan) -> Fingerprints:
    """What the files of every part look like now, all looked at before any of them is read."""
    source, recipe = plan.model.source, plan.recipe
    return {
        "text": stamp(source, [*TOP, *text_components(plan.model)]),
        "unet": stamp(source, ["unet"]) + stamp(recipe.lora) + stamp(recipe.unet),
        "decoder": stamp(plan.decoder.source, decoder_components(plan.decoder)),
        "control": () if plan.control is None else stamp(plan.control.source),
        "scheduler": stamp(source, ["scheduler"]),
    }
