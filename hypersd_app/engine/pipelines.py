"""The manager: which parts a plan needs, loaded once, shared between pipelines, kept while memory allows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from hypersd_app.catalog.rows import ControlSpec, DecoderSpec, ModelSpec, Recipe, WeightSource
from hypersd_app.engine.adapters import FactorCache, StylePatch
from hypersd_app.engine.backends import Backend, StyledDenoiser
from hypersd_app.engine.hub import Progress
from hypersd_app.engine.loading import Loader
from hypersd_app.engine.memory import module_bytes, out_of_memory_named
from hypersd_app.engine.networks import Conditioning, ControlNetwork, Decoder
from hypersd_app.engine.plain_pipelines import load_plain
from hypersd_app.engine.plan import AppliedStyles, Plan
from hypersd_app.engine.prompts import PromptCache, PromptEncoder, PromptKey
from hypersd_app.engine.residency import Loaded, Residency
from hypersd_app.engine.sampling import new_scheduler

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartKey:
    """Everything that changes a part: what it is, whose weights, what is fused into it, and where it runs."""

    part: str
    source: WeightSource
    stamp: int
    recipe: Recipe | None
    hardware: str

    def __str__(self) -> str:
        fused = "" if self.recipe is None else f" [{self.recipe.name}]"
        return f"{self.part} of {self.source}{fused}"


class TextPart:
    """A prompt encoder with the styles that may act on it. Use under the device lock."""

    def __init__(self, encoder: PromptEncoder) -> None:
        self.encoder = encoder
        self._patches = {name: StylePatch(module) for name, module in encoder.modules.items()}

    def embed(self, key: PartKey, cache: PromptCache, text: str, negative: bool, styles: Any) -> Conditioning:
        """The embedding of one prompt; the encoder is patched and run only if the cache doesn't have it."""
        acting = [(style, weight, factors) for style, weight, factors in styles if any(factors[name] for name in self._patches)]
        names = tuple((str(style.path), weight) for style, weight, _ in acting)

        def encode() -> Conditioning:
            for component, patch in self._patches.items():
                patch.set(names, [(factors[component], weight) for _, weight, factors in acting])
            return self.encoder(text, negative)

        return cache.get(PromptKey(key, names, negative, text), encode)


@dataclass(frozen=True)
class Pipeline:
    """The parts of one plan, ready to run. Use under the device lock."""

    text: TextPart
    text_key: PartKey
    denoiser: StyledDenoiser
    decoder: Decoder
    control: ControlNetwork | None
    scheduler: Any
    styles: Any  # (StyleSpec, weight, factors) rows


class Pipelines:
    """Opens pipelines for plans. Thread-safe; a part is loaded by whoever asks first, the others wait for it."""

    def __init__(self, backend: Backend, loader: Loader, residency: Residency) -> None:
        self.backend = backend
        self.loader = loader
        self.residency = residency
        self.prompts = PromptCache()
        self.factors = FactorCache()

    @contextmanager
    def open(self, plan: Plan, progress: Progress | None = None) -> Iterator[Pipeline]:
        """The plan's pipeline, none of it evicted while the block runs. Raises ModelUnavailable and DeviceOutOfMemory."""
        model, recipe = plan.model, plan.recipe
        with ExitStack() as leases:

            def lease(key: PartKey, load: Callable[[], Loaded]) -> Any:
                return leases.enter_context(self.residency.lease(key, lambda: self._named(key, load)))

            text_key = self._key("text", model.source)
            yield Pipeline(
                text=lease(text_key, lambda: self._load_text(model, progress)),
                text_key=text_key,
                denoiser=lease(self._key("unet", model.source, recipe), lambda: self._load_unet(model, recipe, progress)),
                decoder=lease(self._decoder_key(plan.decoder), lambda: self._load_decoder(model, plan.decoder, progress)),
                control=self._lease_control(lease, plan.control, progress),
                scheduler=lease(
                    self._key("scheduler", model.source, recipe), lambda: self._load_scheduler(model, recipe, progress)
                ),
                styles=self._read_styles(plan.styles),
            )

    @contextmanager
    def open_plain(self, plan: Plan, progress: Progress | None = None) -> Iterator[Any]:
        """The plan's pipeline of diffusers' own making, for the models that run through one."""
        hardware, budget = self.backend.hardware, self.residency.budget
        key = self._key("pipeline", plan.model.source, plan.recipe)

        def load() -> Loaded:
            return load_plain(self.loader.hub, plan.model, plan.recipe, hardware, budget, progress)

        with self.residency.lease(key, lambda: self._named(key, load)) as pipeline:
            yield pipeline

    def _lease_control(self, lease: Any, control: ControlSpec | None, progress: Progress | None) -> ControlNetwork | None:
        if control is None:
            return None
        return lease(self._key("controlnet", control.source), lambda: self._load_controlnet(control, progress))

    def _read_styles(self, styles: AppliedStyles) -> Any:
        return [(style, weight, self.factors.get(style.path, style.family)) for style, weight in styles]

    @staticmethod
    def _named(key: PartKey, load: Callable[[], Loaded]) -> Loaded:
        logger.info("loading %s", key)
        with out_of_memory_named(f"loading the {key}"):
            return load()

    def _key(self, part: str, source: WeightSource, recipe: Recipe | None = None) -> PartKey:
        changed = recipe.lora or recipe.unet if recipe is not None else None
        return PartKey(part, source, stamp(changed or source), recipe, self.backend.hardware.label)

    def _decoder_key(self, decoder: DecoderSpec) -> PartKey:
        return self._key(f"{decoder.name} decoder", decoder.source)

    def _load_text(self, model: ModelSpec, progress: Progress | None) -> Loaded:
        encoder = self.loader.text(model, progress)
        modules: list[nn.Module] = list(encoder.modules.values())
        for module in modules:
            module.eval().requires_grad_(False).to(self.backend.hardware.torch_device)  # type: ignore[call-overload]
        return Loaded(TextPart(encoder), sum(module_bytes(module) for module in modules))

    def _load_unet(self, model: ModelSpec, recipe: Recipe, progress: Progress | None) -> Loaded:
        return self.backend.denoiser(f"{model.name}-{recipe.name}", lambda: self.loader.unet(model, recipe, progress))

    def _load_decoder(self, model: ModelSpec, decoder: DecoderSpec, progress: Progress | None) -> Loaded:
        return self.backend.decoder(f"{model.name}-{decoder.name}", lambda: self.loader.decoder(model, decoder, progress))

    def _load_controlnet(self, control: ControlSpec, progress: Progress | None) -> Loaded:
        return self.backend.controlnet(f"control-{control.kind}", lambda: self.loader.controlnet(control, progress))

    def _load_scheduler(self, model: ModelSpec, recipe: Recipe, progress: Progress | None) -> Loaded:
        return Loaded(new_scheduler(recipe, self.loader.scheduler_config(model, progress)), 0)


def stamp(source: WeightSource) -> int:
    """When a local file last changed, so that a checkpoint trained further is loaded anew; 0 for the Hub."""
    if source.path is None:
        return 0
    try:
        return source.path.stat().st_mtime_ns
    except OSError:
        return -1
