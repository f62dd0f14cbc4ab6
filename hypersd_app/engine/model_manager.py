"""The model manager: which parts a plan needs, loaded once, shared between pipelines, kept while memory allows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from cachetools import LRUCache

from hypersd_app.catalog.specs import ControlSpec, Recipe, StyleSpec, WeightSource
from hypersd_app.engine.backends.base import Backend
from hypersd_app.engine.backends.registry import Backends
from hypersd_app.engine.device_time import Clock
from hypersd_app.engine.diffusers_pipelines import CLASSES, WEIGHTS, DiffusersPipeline, DiffusersSizes, load_diffusers, sizes_of
from hypersd_app.engine.interfaces import ControlNetwork, Encoder
from hypersd_app.engine.loading.fingerprint import TOP, Fingerprint, file_stamp, stamp
from hypersd_app.engine.loading.loader import Loader, decoder_components, text_components
from hypersd_app.engine.loading.lora import FactorCache, Factors, StyleKey
from hypersd_app.engine.memory.budget import out_of_memory_named
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Entry, Loaded, ModelCache
from hypersd_app.engine.memory.placement import Footprint, Placement, Placements, Tier
from hypersd_app.engine.plan import Choice, Plan
from hypersd_app.engine.sampling.generate import DenoisingPipeline, OnStep
from hypersd_app.engine.sampling.schedules import Schedulers
from hypersd_app.engine.sampling.text import PromptCache, TextPart
from hypersd_app.images.scribble import Pixels
from hypersd_app.weights.downloads import Progress

logger = logging.getLogger(__name__)

Fingerprints = Mapping[str, Fingerprint]  # of the files that each part of a plan is read from
LOOK_EVERY = 0.5  # seconds between two looks at the files of a pipeline that is open
KEPT_OPEN = 8  # pipelines; one that has styles keeps their factors, as many as `FactorCache` does


@dataclass(frozen=True, kw_only=True)
class PartKey:
    """Everything that changes a part: what it is, whose weights, what is fused into it, and where it runs."""

    part: str
    source: WeightSource
    fingerprint: Fingerprint
    recipe: Recipe | None
    hardware: str

    def __str__(self) -> str:
        fused = "" if self.recipe is None else f" [{self.recipe.name}]"
        return f"{self.part} of {self.source}{fused}"


class Pipeline(Protocol):
    """What draws plans of one choice. Use under the device lock."""

    @property
    def label(self) -> str:
        """What runs it and where its weights are, for people."""
        ...

    @property
    def synchronize(self) -> Callable[[], None]:
        """What waits until the device has done its work."""
        ...

    def render(self, plans: Sequence[Plan], clock: Clock, on_step: OnStep | None) -> list[list[Pixels]]:
        """The images of each plan, uint8 (H, W, 3), in order. Raises HyperSDError."""
        ...

    @property
    def resume(self) -> Callable[[], None] | None:
        """To be called in `on_step` after others have drawn with the same parts; None where nobody may in between."""
        ...


@dataclass(eq=False)
class Opened:
    """A pipeline with its entries in the model cache. `fingerprints` are those of its files when they were last looked at."""

    pipeline: Pipeline
    entries: Sequence[Entry]
    fingerprints: Fingerprints
    looked: float = field(default_factory=time.monotonic)


class ModelManager:
    """Opens pipelines for plans. Thread-safe; a part is loaded by whoever asks first, the others wait for it."""

    def __init__(self, hardware: Hardware, cache: Path, loader: Loader, model_cache: ModelCache) -> None:
        self.hardware = hardware
        self.loader = loader
        self.model_cache = model_cache
        model_cache.forget = self._forget
        self.backends = Backends(hardware, cache)
        self.placements = Placements(hardware, model_cache.budget)
        self._diffusers_sizes: dict[tuple[WeightSource, Fingerprint], DiffusersSizes] = {}
        self._opened: LRUCache[Choice, Opened] = LRUCache(KEPT_OPEN)
        self._lock = threading.Lock()
        self.prompts = PromptCache()
        self.factors = FactorCache()

    @contextmanager
    def open(self, plan: Plan, progress: Progress | None = None) -> Iterator[Pipeline]:
        """The plan's pipeline, none of it evicted while the block runs. Raises ModelUnavailable and DeviceOutOfMemory."""
        with self._lock:
            opened = self._opened.get(plan.choice)
        looking = opened is None or time.monotonic() - opened.looked > LOOK_EVERY
        if looking:
            opened = self._looked_at(plan.choice, opened)
        if opened is None or not self.model_cache.hold(opened.entries):
            looking, opened = True, self._open(plan, progress)
        try:
            yield opened.pipeline
        finally:
            self.model_cache.release(opened.entries)
            if looking:
                self.model_cache.trim()  # styles and prompts grow what is loaded

    def _looked_at(self, choice: Choice, opened: Opened | None) -> Opened | None:
        """`opened`, unless one of its files was replaced meanwhile."""
        if opened is None or opened.fingerprints != fingerprints(choice):
            return None
        opened.looked = time.monotonic()
        return opened

    def _open(self, plan: Plan, progress: Progress | None) -> Opened:
        """Load what is not loaded yet; the entries of what comes back are held."""
        entries: list[Entry] = []
        opener = self._open_diffusers if plan.choice.model.family in CLASSES else self._open_parts
        found = fingerprints(plan.choice)
        try:
            opened = Opened(opener(plan, found, entries, progress), entries, found)
        except BaseException:
            self.model_cache.release(entries)
            raise
        with self._lock:
            self._opened[plan.choice] = opened
        return opened

    def _forget(self) -> None:
        """Something was evicted: what is open would keep it in memory."""
        with self._lock:
            self._opened.clear()

    def _open_parts(self, plan: Plan, found: Fingerprints, entries: list[Entry], progress: Progress | None) -> Pipeline:
        choice = plan.choice
        model = " with ".join(str(source) for source in (choice.model.source, choice.recipe.unet) if source is not None)
        parts = (choice.decoder.source, None if choice.control is None else choice.control.source, *found.values())
        placement, size = self.placements.of(model, parts, lambda: self.loader.footprint(choice, progress))
        return Opening(
            manager=self,
            choice=choice,
            fingerprints=found,
            placement=placement,
            size=size,
            entries=entries,
            progress=progress,
        ).pipeline()

    def _open_diffusers(self, plan: Plan, found: Fingerprints, entries: list[Entry], progress: Progress | None) -> Pipeline:
        model, recipe, hardware = plan.choice.model, plan.choice.recipe, replace(self.hardware, backend="torch")
        version = (model.source, found["pipeline"])
        if version not in self._diffusers_sizes:
            self._diffusers_sizes[version] = sizes_of(self.loader.hub, model, hardware, progress)
        sizes = self._diffusers_sizes[version]
        tier = sizes.tier(hardware, self.model_cache.budget)
        placement = Placement("torch", tier)
        key = PartKey(
            part="pipeline",
            source=model.source,
            fingerprint=found["pipeline"] + found["lora"],
            recipe=recipe,
            hardware=self.placements.label(placement),
        )

        def load() -> Loaded:
            return load_diffusers(self.loader.hub, model, recipe, hardware, tier, progress)

        entries.append(self.model_cache.acquire(key, lambda: named(key, load), sizes.on_device(tier)))
        label = replace(hardware, compile=False).label
        return DiffusersPipeline(entries[0].value, label, self.backends.of(Placement("torch")).synchronize)


@dataclass(eq=False, kw_only=True)
class Opening:
    """One choice's way from names to parts that are loaded and held."""

    manager: ModelManager
    choice: Choice
    fingerprints: Fingerprints
    placement: Placement
    size: Footprint
    entries: list[Entry]
    progress: Progress | None

    def __post_init__(self) -> None:
        self._backend: Backend = self.manager.backends.of(self.placement)
        self._label = self.manager.placements.label(self.placement)

    def pipeline(self) -> DenoisingPipeline:
        """The parts, each loaded if it isn't there. Raises ModelUnavailable and DeviceOutOfMemory."""
        choice, source = self.choice, self.choice.model.source
        text_key = self._key("text", "text", source)
        decoder = self._key("decoder", f"{choice.decoder.name} decoder", choice.decoder.source)
        styles = [self._style(style, weight) for style, weight in choice.styles]
        return DenoisingPipeline(
            prompts=self.manager.prompts,
            synchronize=self._backend.synchronize,
            placed=self._label,
            text=self._part(text_key, "text", self._load_text),
            text_key=text_key,
            denoiser=self._part(self._key("unet", "unet", source, choice.recipe), "unet", self._load_unet),
            decoder=self._part(decoder, "decoder", self._load_decoder),
            control=None if choice.control is None else self._control(choice.control),
            encoder=self._encoder() if choice.strength else None,
            schedulers=self._part(self._key("scheduler", "scheduler", source, choice.recipe), "", self._load_scheduler),
            styles=styles,
            unet_styles=[(style, weight, factors["unet"]) for style, weight, factors in styles],
            device=self._backend.hardware.torch_device,
        )

    def _style(self, style: StyleSpec, weight: float) -> tuple[StyleKey, float, Factors]:
        key, factors = self.manager.factors.get(style.path)
        return key, weight, factors

    def _key(self, part: str, title: str, source: WeightSource, recipe: Recipe | None = None) -> PartKey:
        return PartKey(part=title, source=source, fingerprint=self.fingerprints[part], recipe=recipe, hardware=self._label)

    def _part(self, key: PartKey, part: str, load: Callable[[], Loaded]) -> Any:
        hardware, estimate = self._backend.hardware, 0
        if part and (hardware.device == "cpu" or self.placement.tier is Tier.RESIDENT):
            # Room is made before the load, so that the old and the new are never there together.
            estimate = getattr(self.size, part) * self.placement.weight_bytes(hardware, part)
        self.entries.append(self.manager.model_cache.acquire(key, lambda: named(key, load), estimate))
        return self.entries[-1].value

    def _control(self, control: ControlSpec) -> ControlNetwork:
        return self._part(self._key("control", "controlnet", control.source), "control", lambda: self._load_controlnet(control))

    def _encoder(self) -> Encoder:
        decoder = self.choice.decoder
        key = self._key("decoder", f"{decoder.name} encoder", decoder.source)  # one file holds both
        found: Encoder = self._part(key, "", self._load_encoder)
        return found

    def _loader(self, dtype: torch.dtype) -> Loader:
        return self.manager.loader.reading(dtype)

    def _load_text(self) -> Loaded:
        encoder = self._loader(self._backend.text_dtype()).text(self.choice.model, self.progress)
        placed = self._backend.text(list(encoder.modules.values()))
        part = TextPart(encoder, placed.value)
        return Loaded(part, placed.bytes, placed.close, lambda: part.bytes)

    def _load_unet(self) -> Loaded:
        model, recipe = self.choice.model, self.choice.recipe
        return self._backend.denoiser(
            f"{model.name}-{recipe.name}", lambda dtype: self._loader(dtype).unet(model, recipe, self.progress)
        )

    def _load_decoder(self) -> Loaded:
        model, decoder = self.choice.model, self.choice.decoder
        return self._backend.decoder(
            f"{model.name}-{decoder.name}", lambda dtype: self._loader(dtype).decoder(model, decoder, self.progress)
        )

    def _load_encoder(self) -> Loaded:
        model, decoder = self.choice.model, self.choice.decoder
        return self._backend.encoder(
            f"{model.name}-{decoder.name}", lambda dtype: self._loader(dtype).decoder(model, decoder, self.progress)
        )

    def _load_controlnet(self, control: ControlSpec) -> Loaded:
        return self._backend.controlnet(
            f"control-{control.kind}", lambda dtype: self._loader(dtype).controlnet(control, self.progress)
        )

    def _load_scheduler(self) -> Loaded:
        choice = self.choice
        return Loaded(Schedulers(choice.recipe, self.manager.loader.scheduler_config(choice.model, self.progress)), 0)


def named(key: PartKey, load: Callable[[], Loaded]) -> Loaded:
    """What `load` loads, running out of memory named for what it is."""
    logger.info("loading %s", key)
    with out_of_memory_named(f"loading the {key}"):
        return load()


def fingerprints(choice: Choice) -> Fingerprints:
    """What the files of every part look like now, all looked at before any of them is read."""
    source, recipe = choice.model.source, choice.recipe
    if choice.model.family in CLASSES:
        return {"pipeline": stamp(source, WEIGHTS), "lora": stamp(recipe.lora)}
    return {
        "text": stamp(source, [*TOP, *text_components(choice.model)]),
        "unet": stamp(source, ["unet"]) + stamp(recipe.lora) + stamp(recipe.unet),
        "decoder": stamp(choice.decoder.source, decoder_components(choice.decoder)),
        "control": () if choice.control is None else stamp(choice.control.source),
        "scheduler": stamp(source, ["scheduler"]),
        "styles": tuple(row for style, _ in choice.styles for row in file_stamp(style.path)),
    }
