"""An engine of paint and patience: draws a deterministic image from the request, slow or failing on demand."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from hypersd_app.catalog.scanning.scan import scan_styles
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, ModelSpec, Recipe, StyleSpec, WeightSource
from hypersd_app.catalog.validation import choose_recipe, one_of
from hypersd_app.errors import HyperSDError
from hypersd_app.images.painting import canvas_of, composite
from hypersd_app.requests import GenerationRequest, GenerationResult, StepReached

NOWHERE = WeightSource(path=Path("nowhere"))
FAST = Recipe("unified", "Few steps, 1-8", steps=tuple(range(1, 9)), scheduler="TCDScheduler", eta=(0.0, 1.0, 1.0))
TEACHER = Recipe(
    "teacher", "Base model", steps=tuple(range(8, 51)), scheduler="DDIMScheduler", guidance=(1.0, 4.0, 15.0), negative_prompt=True
)
SCRIBBLE = ControlSpec("scribble", "Scribble", source=NOWHERE)
POCKET = ModelSpec(
    "pocket",
    "Pocket",
    family="pocket",
    source=NOWHERE,
    recipes=(FAST, TEACHER),
    width=256,
    height=256,
    smallest=256,
    largest=256,
    controls=(SCRIBBLE,),
)
CANNY = ControlSpec("canny", "Canny edges", source=NOWHERE, annotator="canny")
DECODERS = (
    DecoderSpec("full", "Full decoder", "AutoencoderKL", NOWHERE),
    DecoderSpec("tiny", "Tiny decoder", "AutoencoderTiny", NOWHERE),
)
LARGE = ModelSpec(
    "large",
    "Large",
    family="sd15",
    source=NOWHERE,
    recipes=(FAST, TEACHER),
    width=512,
    height=512,
    controls=(SCRIBBLE, CANNY),
    decoders=DECODERS,
)
STYLES = tuple(
    StyleSpec(name.lower(), name, family="pocket", path=Path("nowhere"), trigger=f"{name.lower()} style")
    for name in ("Ink", "Clay", "Neon")
)


@dataclass
class FakeEngine:
    """Scriptable: `delay` in seconds a request; `failure` is raised while it is set; `requests` keeps what was asked.

    A model named in `loading` is downloaded for as long as its gate is closed.
    """

    delay: float = 0.0
    failure: HyperSDError | None = None
    requests: list[GenerationRequest] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    folder: Path | None = None
    own: tuple[StyleSpec, ...] = ()
    loading: dict[str, threading.Event] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asked: threading.Condition = field(default_factory=threading.Condition)

    def await_request(self, wanted: Callable[[GenerationRequest], bool], seconds: float = 60.0) -> GenerationRequest:
        """The first request that is `wanted`, as soon as it was asked for; fails when the time is over."""
        with self._asked:
            assert self._asked.wait_for(lambda: any(map(wanted, self.requests)), seconds), "nobody asked for it"
            return next(filter(wanted, self.requests))

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        self._check_names(request)
        with self._lock:
            with self._asked:
                self.requests.append(request)
                self._asked.notify_all()
            if self.failure is not None:
                raise self.failure
            time.sleep(self.delay)
            if progress is not None:
                report_steps(request, progress)
            pixels = tuple(np.asarray(paint(replace(request, seed=request.seed + i))) for i in range(request.num_images))
            return GenerationResult(
                pixels, replace(request, recipe=request.recipe or "unified"), {"unet": 1.0, "total": 2.0}, "fake"
            )

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        self.batches.append(len(requests))
        return [self.generate(request) for request in requests]

    def models(self) -> tuple[ModelSpec, ...]:
        return (POCKET, LARGE)

    def _model(self, name: str) -> ModelSpec:
        rows = {row.name: row for row in self.models()}
        one_of("model", name, rows)
        return rows[name]

    def _check_names(self, request: GenerationRequest) -> None:
        """Refuse what the real catalogue refuses."""
        model = self._model(request.model)
        choose_recipe(model, request.recipe, request.num_inference_steps)
        for style in request.styles:
            one_of("style", style.name, [row.name for row in self.styles(request.model)])
        if request.decoder:
            one_of("decoder", request.decoder, [row.name for row in model.decoders])
        if request.control is not None:
            one_of("control kind", request.control.kind, [row.kind for row in model.controls])

    def recipes(self, model: str) -> tuple[Recipe, ...]:
        return self._model(model).recipes

    def styles(self, model: str) -> tuple[StyleSpec, ...]:
        family = self._model(model).family
        return tuple(style for style in (*STYLES, *self.own) if style.family == family)

    def status(self) -> Mapping[str, Any]:
        return {"backend": "fake", "loaded": ["pocket"]}

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Nothing to load, unless `loading` names the model."""
        gate = self.loading.get(request.model)
        while gate is not None and not gate.wait(0.3):
            if progress is not None:
                progress(0.25, "Downloading unet.safetensors, 430 of 1720 MB")

    def warm_up(self, model: str) -> None:
        """Nothing to warm."""

    def rescan(self) -> None:
        """Look for the visitor's own styles."""
        self.own = tuple(scan_styles(self.folder)) if self.folder is not None else ()

    def annotate(self, kind: str, photograph: Image.Image, size: tuple[int, int]) -> np.ndarray:
        """The photograph in grey."""
        return np.asarray(photograph.convert("L").convert("RGB").resize(size))

    def close(self) -> None:
        """Nothing to free."""


def report_steps(request: GenerationRequest, progress: Any) -> None:
    """Every step, and in the middle what the image looks like by then."""
    steps = request.num_inference_steps
    for step in range(1, steps + 1):
        image = (paint(replace(request, num_inference_steps=step)),) if step == steps // 2 else ()
        progress(step / steps, StepReached(step, steps), *image)


def paint(request: GenerationRequest) -> Image.Image:
    """A soft blob scene whose colours come from the words and seed, with the sketch's lines filled over it."""
    key = f"{request.prompt}|{request.seed}|{request.num_inference_steps}|{request.styles}"
    digest = hashlib.sha256(key.encode()).digest()
    side = 256
    image = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(image)
    ink = tuple(60 + digest[i] % 170 for i in range(3))
    for i in range(4):
        x, y, r = digest[3 + i] % 180 + 40, digest[7 + i] % 180 + 40, digest[11 + i] % 50 + 20
        shade = tuple(min(255, c + 22 * i) for c in ink)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=shade)
    if request.control is not None:
        mask = Image.fromarray(np.asarray(request.control.image)).convert("L").resize((side, side))
        image.paste((30, 30, 40), mask=mask)
    if request.init is not None:
        canvas = canvas_of(request.init, side, side)
        mixed = Image.blend(Image.fromarray(canvas.image), image, request.init.strength)
        return Image.fromarray(composite(np.asarray(mixed), canvas))
    return image
