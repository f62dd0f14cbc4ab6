"""The engine: requests in, images out. The interface for pages, the API and the command line."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TypedDict

import numpy as np
import torch
from PIL import Image

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.specs import ModelSpec, Recipe, StyleSpec
from hypersd_app.engine.annotators import Annotators
from hypersd_app.engine.device_time import Clock, LongWork, SharedDevice
from hypersd_app.engine.loading.loader import Loader
from hypersd_app.engine.memory.budget import memory_budget, raise_if_out_of_memory, release
from hypersd_app.engine.memory.device import Hardware, choose_hardware
from hypersd_app.engine.memory.model_cache import ModelCache
from hypersd_app.engine.memory.zero_gpu import borrowing, calls_of, emulate_here, seconds_of
from hypersd_app.engine.model_manager import ModelManager, Pipeline
from hypersd_app.engine.plan import Plan, Planner, leading
from hypersd_app.engine.sampling.generate import OnStep
from hypersd_app.errors import DeviceOutOfMemory, HyperSDError
from hypersd_app.images.scribble import Pixels
from hypersd_app.requests import LOADING_SHARE, ControlInput, GenerationRequest, GenerationResult, StepReached
from hypersd_app.settings import Settings
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

Progress = Callable[..., None]  # (share, words or StepReached), and in a long run now and then an image too
Outcome = GenerationResult | HyperSDError
Drawn = tuple[list[list[Pixels]], dict[str, float], str]  # images of each plan, milliseconds, what drew them


class EngineStatus(TypedDict):
    """What runs where, as plain values."""

    backend: str
    device: str
    precision: str
    lent: bool  # by the call, and paid for by who asks
    resident: tuple[str, ...]
    bytes: int
    budget: int
    hits: int
    loads: int
    evictions: int
    load_seconds: float
    prompt_hits: int
    prompt_misses: int
    images: int
    scan: tuple[int, int]  # style files read, and how many there are
    milliseconds: dict[str, float]  # of the last request, by part


class Engine:
    """Thread-safe. Loading happens beside the work of others; work on the device happens under one lock."""

    def __init__(
        self, settings: Settings, *, hardware: Hardware | None = None, hub: Hub | None = None, loader: Loader | None = None
    ) -> None:
        self.settings = settings
        self.catalog = Catalog(settings, behind=True)
        self.hardware = hardware or choose_hardware(settings)
        self._hub = hub or Hub(offline=settings.offline)
        budget = memory_budget(self.hardware.device, settings.memory_gb, min(1.0, settings.replica_gpus or 1.0))
        self._planner = Planner(self.catalog)
        self._model_cache = ModelCache(budget, lambda: release(self.hardware.device))
        loader = loader or Loader(self._hub, torch.float32)
        self._models = ModelManager(self.hardware, settings.cache, loader, self._model_cache)
        self._annotators = Annotators(self._hub, self._model_cache, self.catalog.pins)
        self._device = SharedDevice()
        self._draw_on_lent_gpu = borrowing(self._draw_each)
        self._images = 0
        self._milliseconds: dict[str, float] = {}
        logger.info("engine: %s, budget %.1f GB", self.hardware.label, self._model_cache.budget / 1e9)

    def generate(self, request: GenerationRequest, progress: Progress | None = None) -> GenerationResult:
        """Make the images of one request. Raises HyperSDError: InvalidRequest, ModelUnavailable or DeviceOutOfMemory.

        With `progress`, batches of others are drawn between its steps.
        """
        return self._run([self._planner.plan(request)], progress)[0]

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """One outcome a request, in order, drawn as one batch: all share a `BatchKey`. Raises HyperSDError.

        Where a GPU is lent by the call they may be of any kind, and share as few calls as can be; each is drawn by itself.
        """
        plans = [self._planner.plan(request) for request in requests]
        if self._draw_on_lent_gpu is None:
            return self._run(plans, None)
        return [outcome for call in calls_of(plans) for outcome in self._borrow(call, None)]

    def lent_seconds(self, requests: Sequence[GenerationRequest]) -> list[int]:
        """Seconds of a GPU that `generate_batch` would borrow, by call; [] where none is lent. Raises InvalidRequest."""
        if self._draw_on_lent_gpu is None:
            return []
        return [seconds_of(call) for call in calls_of([self._planner.plan(request) for request in requests])]

    def _run(self, plans: list[Plan], progress: Progress | None) -> list[GenerationResult]:
        loading = None if progress is None else lambda share, text: progress(LOADING_SHARE * share, text)
        if self._draw_on_lent_gpu is not None:
            return [_or_raised(outcome) for outcome in self._borrow(plans, loading)]
        try:
            return self._results(plans, self._draw(plans, loading, _step_report(progress)))
        except DeviceOutOfMemory:
            self._free()
            raise

    def _borrow(self, plans: list[Plan], loading: Progress | None) -> list[Outcome]:
        """One call for all. What they need is loaded here, and inherited by the process that has the GPU."""
        assert self._draw_on_lent_gpu is not None
        emulate_here()
        outcomes: dict[int, Drawn | HyperSDError] = {}
        with ExitStack() as loaded:
            for i, plan in enumerate(plans):
                try:
                    loaded.enter_context(self._models.open(plan, loading))
                except HyperSDError as error:
                    outcomes[i] = error
            ready = [i for i in range(len(plans)) if i not in outcomes]
            if ready:
                outcomes |= zip(ready, self._draw_on_lent_gpu([plans[i] for i in ready]), strict=True)
        if any(isinstance(row, DeviceOutOfMemory) for row in outcomes.values()):
            self._free()
        rows = [(plan, outcomes[i]) for i, plan in enumerate(plans)]
        return [row if isinstance(row, HyperSDError) else self._results([plan], row)[0] for plan, row in rows]

    def _results(self, plans: list[Plan], drawn: Drawn) -> list[GenerationResult]:
        images, milliseconds, label = drawn
        self._milliseconds = milliseconds
        self._images += sum(len(row) for row in images)
        drawn_rows = zip(plans, images, strict=True)
        return [GenerationResult(tuple(row), plan.filled, milliseconds, label, plan.notes) for plan, row in drawn_rows]

    def _draw(self, plans: list[Plan], loading: Progress | None = None, on_step: OnStep | None = None) -> Drawn:
        with self._models.open(leading(plans), loading) as pipeline:
            if on_step is None:
                with self._device.short():
                    return _drawn(pipeline, plans, Clock(pipeline.synchronize), None)
            with self._device.long() as work:
                clock = Clock(pipeline.synchronize)
                return _drawn(pipeline, plans, clock, giving_way(pipeline, work, clock, on_step))

    def _draw_each(self, plans: list[Plan]) -> list[Drawn | HyperSDError]:
        """Each by itself, in a process whose exceptions lose their words on the way back."""
        return [self._drawn_or_error(plan) for plan in plans]

    def _drawn_or_error(self, plan: Plan) -> Drawn | HyperSDError:
        try:
            return self._draw([plan])
        except HyperSDError as error:
            return error

    def _free(self) -> None:
        """Unload what is not in use and give its memory back."""
        self._model_cache.clear()
        release(self.hardware.device)

    def annotate(self, kind: str, photograph: Image.Image, size: tuple[int, int]) -> Pixels:
        """A photograph as a control image, uint8 (H, W, 3); `size` is (W, H). Raises InvalidRequest and ModelUnavailable."""
        with self._device.short():
            return self._annotators.annotate(kind, photograph, size)

    def models(self) -> tuple[ModelSpec, ...]:
        """All models, the embedded one first."""
        return self.catalog.models()

    def recipes(self, model: str) -> tuple[Recipe, ...]:
        """The recipes of a model. Raises InvalidRequest."""
        return self.catalog.recipes(model)

    def styles(self, model: str) -> tuple[StyleSpec, ...]:
        """The styles that fit a model. Raises InvalidRequest."""
        return self.catalog.styles(model)

    def status(self) -> EngineStatus:
        """What is loaded, and how the last request's time was spent."""
        counts, prompts = self._model_cache.statistics(), self._models.prompts
        return EngineStatus(
            backend=self.hardware.backend,
            device=self.hardware.device,
            precision=str(self.hardware.dtype).removeprefix("torch."),
            lent=self._draw_on_lent_gpu is not None,
            resident=counts.resident,
            bytes=counts.bytes,
            budget=counts.budget,
            hits=counts.hits,
            loads=counts.loads,
            evictions=counts.evictions,
            load_seconds=counts.load_seconds,
            prompt_hits=prompts.hits,
            prompt_misses=prompts.misses,
            images=self._images,
            scan=self.catalog.progress,
            milliseconds=dict(self._milliseconds),
        )

    def prepare(self, request: GenerationRequest, progress: Progress | None = None) -> None:
        """Load what `request` needs, beside the work of others, and draw nothing. Raises HyperSDError."""
        plan = self._planner.plan(request)
        if self._draw_on_lent_gpu is not None:
            emulate_here()
        try:
            with self._models.open(plan, progress):
                logger.debug("ready: %s", request.batch_key())
        except DeviceOutOfMemory:
            self._free()
            raise

    def warm_up(self, model: str) -> None:
        """Load and compile what the model's first recipe needs, with and without a sketch. Raises HyperSDError.

        A lent GPU is not asked for: nobody would pay for it.
        """
        row = self.catalog.model(model)
        request = GenerationRequest("warm-up", model=model, num_inference_steps=row.recipes[0].default_steps)
        run = self.generate if self._draw_on_lent_gpu is None else self.prepare
        run(request)
        if row.controls:
            stroke = np.zeros((row.height, row.width, 3), np.uint8)
            stroke[row.height // 2] = 255
            run(replace(request, control=ControlInput(stroke, row.controls[0].kind)))

    def rescan(self) -> None:
        """Look again for models, students and styles, without a restart."""
        self.catalog.rescan()

    def close(self) -> None:
        """Free the device."""
        with self._device.short():
            self._models.prompts.clear()
            self._free()


def _or_raised(outcome: Outcome) -> GenerationResult:
    if isinstance(outcome, HyperSDError):
        raise outcome
    return outcome


def _drawn(pipeline: Pipeline, plans: list[Plan], clock: Clock, on_step: OnStep | None) -> Drawn:
    try:
        return pipeline.render(plans, clock, on_step), clock.finished(), pipeline.label
    except (MemoryError, RuntimeError) as error:
        raise_if_out_of_memory(error, "drawing")
        raise


def giving_way(pipeline: Pipeline, work: LongWork, clock: Clock, on_step: OnStep) -> OnStep:
    """`on_step`, after which those who wait for the device have it for a while. Their time is not this request's."""

    def report(step: int, steps: int, *image: Image.Image) -> None:
        on_step(step, steps, *image)
        if pipeline.resume is None or step == steps:
            return
        away = work.give_way()
        if away > 0:
            clock.leave_out(away)
            pipeline.resume()

    return report


def _step_report(progress: Progress | None) -> OnStep | None:
    if progress is None:
        return None

    def report(step: int, steps: int, *image: Image.Image) -> None:
        progress(LOADING_SHARE + (1 - LOADING_SHARE) * step / steps, StepReached(step, steps), *image)

    return report
