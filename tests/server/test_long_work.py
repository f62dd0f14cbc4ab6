"""Long work in many steps beside strokes, counted in steps and not in seconds: who waits for how much of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from hypersd_app.engine.device_time import SharedDevice
from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.scheduling.scheduler import Frame, FrameScheduler, Progress, lazy

PATIENCE = 30.0
STEPS = 50
ARRIVALS = (3, 20, 41)  # steps of the long request in which a stroke arrives
TICK = 0.02  # seconds that pass on the device's clock whenever somebody looks at it


class LongWay:
    """A device whose clock is moved by whoever works on it; a stroke arrives in the middle of some steps of a long request."""

    def __init__(self, gives_way: bool) -> None:
        self.waited: list[int] = []  # steps that were begun between the arrival of each stroke and its turn
        self._gives_way = gives_way
        self._time = itertools.count(0.0, TICK)
        self._device = SharedDevice(lambda: next(self._time))
        self._step = 0
        self._answers: list[Future[Frame]] = []
        self._scheduler = FrameScheduler(self._render, gives_way=True)

    def draw(self, stroke: bool) -> None:
        """A request of many steps as a stroke or as a job, and all that arrives meanwhile."""
        request = GenerationRequest("long", num_inference_steps=STEPS)
        with ThreadPoolExecutor(1) as pool:
            if stroke:
                self._submit("painter", request).result(PATIENCE)
            else:
                pool.submit(self._scheduler.run, "painter", request).result(PATIENCE)
        assert all(answer.result(PATIENCE).result is not None for answer in self._answers)
        self._scheduler.close()

    def _submit(self, visitor: str, request: GenerationRequest) -> Future[Frame]:
        answer: Future[Frame] = Future()
        self._scheduler.submit(visitor, 1, lazy(request), answer.set_result)
        return answer

    def _render(self, requests: Sequence[GenerationRequest], progress: Progress | None) -> list[GenerationResult]:
        if requests[0].prompt == "long":
            self._draw_long(progress)
        else:
            with self._device.short():
                self.waited.append(self._step - int(requests[0].prompt))
        return [GenerationResult((), request, {"total": 1.0}) for request in requests]

    def _draw_long(self, progress: Progress | None) -> None:
        with self._device.long() as work:
            for self._step in range(STEPS):
                self._pass_seconds(1.0)
                if self._step in ARRIVALS:
                    self._answers.append(self._submit(f"drawer{self._step}", GenerationRequest(str(self._step))))
                    self._await_somebody()
                if self._gives_way and progress is not None:
                    work.give_way()
            self._step = STEPS

    def _pass_seconds(self, seconds: float) -> None:
        self._time = itertools.count(next(self._time) + seconds, TICK)

    def _await_somebody(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._device._waiting:
            assert time.monotonic() < end
            threading.Event().wait(0.001)


@pytest.mark.parametrize("stroke", [True, False], ids=["stroke", "job"])
def test_a_stroke_waits_for_the_step_that_is_under_way_and_no_other(stroke: bool) -> None:
    polite = LongWay(gives_way=True)
    polite.draw(stroke)
    assert polite.waited == [0] * len(ARRIVALS)


def test_without_that_it_waits_for_all_of_them() -> None:
    rude = LongWay(gives_way=False)
    rude.draw(stroke=False)
    assert sorted(rude.waited) == sorted(STEPS - step for step in ARRIVALS)
