"""The fake engine with a device that a long request shares: every step takes its time, and others come in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hypersd_app.engine.device_time import SharedDevice
from hypersd_app.requests import GenerationRequest, GenerationResult
from tests.support.fake_engine import FakeEngine, paint


@dataclass
class SteppedEngine(FakeEngine):
    """`delay` is seconds for a step of one image."""

    gives_way: bool = True
    device: SharedDevice = field(default_factory=SharedDevice)

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """One request, step by step."""
        self._check_names(request)
        with self.device.long() as work:
            for _ in range(request.num_inference_steps):
                time.sleep(self.delay * request.num_images)
                if progress is not None:
                    work.give_way()
        return self._painted(request)

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
        """Requests at once, which pays."""
        for request in requests:
            self._check_names(request)
        first = requests[0]
        with self.device.short():
            time.sleep(self.delay * first.num_inference_steps * first.num_images * len(requests) ** 0.7)
        return [self._painted(request) for request in requests]

    def _painted(self, request: GenerationRequest) -> GenerationResult:
        pixels = tuple(np.asarray(paint(replace(request, seed=seed))) for seed in request.seeds)
        seconds = self.delay * request.num_inference_steps * request.num_images
        return GenerationResult(pixels, replace(request, recipe=request.recipe or "unified"), {"total": 1000 * seconds}, "fake")
