"""Frame scheduling: the newest wins, each in turn, batches, and failures that stay with their visitor."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

import numpy as np
import pytest

from hypersd_app.errors import HyperSDError, InvalidRequest, NotDrawn, Overloaded, WorkerLost
from hypersd_app.requests import ControlInput, GenerationRequest, GenerationResult, StyleWeight
from hypersd_app.server.scheduling import scheduler as frames
from hypersd_app.server.scheduling.fair_queue import LazyRequest, SchedulerLimits
from hypersd_app.server.scheduling.scheduler import Frame, FrameScheduler, Progress, lazy

TIMEOUT = 10.0


asking = ContextVar("asking", default="nobody")


class Device:
    """Renders when told to: `gate` lets one batch through."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.batches: list[list[str]] = []

    def render(self, requests: Sequence[GenerationRequest], progress: object = None) -> list[GenerationResult]:
        self.batches.append([request.prompt for request in requests])
        self.started.release()
        assert self.gate.acquire(timeout=TIMEOUT)
        for request in requests:
            if request.prompt == "wrong":
                raise InvalidRequest("prompt", request.prompt, "better words")
            if request.prompt == "crash":
                raise RuntimeError("the device is gone")
        return [GenerationResult((), request) for request in requests]

    def run(self, batches: int = 1) -> None:
        for _ in range(batches):
            self.gate.release()


class Inbox:
    """What one visitor was delivered."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.arrived = threading.Semaphore(0)

    def __call__(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.arrived.release()

    def wait(self, count: int) -> list[Frame]:
        for _ in range(count):
            assert self.arrived.acquire(timeout=TIMEOUT)
        return self.frames


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def scheduler(device: Device) -> Iterator[FrameScheduler]:
    made = FrameScheduler(device.render, limits=SchedulerLimits(sizes=(1, 2), visitors=4))
    yield made
    device.run(50)
    made.close()


def submit(scheduler: FrameScheduler, visitor: str, sequence: int, inbox: Inbox, prompt: str = "", steps: int = 1) -> None:
    request = GenerationRequest(prompt or f"{visitor}{sequence}", num_inference_steps=steps)
    scheduler.submit(visitor, sequence, lazy(request), inbox)


def test_one_runs_one_waits_and_the_newest_replaces_the_waiting(scheduler: FrameScheduler, device: Device) -> None:
    inbox = Inbox()
    submit(scheduler, "a", 1, inbox)
    assert device.started.acquire(timeout=TIMEOUT)
    for sequence in (2, 3, 4):
        submit(scheduler, "a", sequence, inbox)
    device.run(2)
    frames = inbox.wait(4)
    assert sorted(frame.sequence for frame in frames if frame.dropped) == [2, 3]
    assert [frame.sequence for frame in frames if frame.result] == [1, 4]


def test_visitors_take_turns_and_a_fast_one_gains_nothing(scheduler: FrameScheduler, device: Device) -> None:
    first, busy, calm = Inbox(), Inbox(), Inbox()
    submit(scheduler, "first", 1, first)
    assert device.started.acquire(timeout=TIMEOUT)
    submit(scheduler, "busy", 1, busy, steps=2)
    submit(scheduler, "calm", 1, calm, steps=3)
    for sequence in range(2, 6):
        submit(scheduler, "busy", sequence, busy, steps=2)
    device.run(3)
    calm.wait(1)
    assert device.batches == [["first1"], ["busy5"], ["calm1"]]


def test_requests_that_fit_run_as_one_batch(scheduler: FrameScheduler, device: Device) -> None:
    inboxes = [Inbox() for _ in range(4)]
    learn_cost(scheduler, device)
    submit(scheduler, "z", 1, Inbox())
    assert device.started.acquire(timeout=TIMEOUT)
    for name, inbox, steps in zip("abcd", inboxes, (1, 2, 1, 1), strict=True):
        submit(scheduler, name, 1, inbox, steps=steps)
    device.run(4)
    for inbox in inboxes:
        inbox.wait(1)
    assert device.batches[3:] == [["a1", "c1"], ["b1"], ["d1"]], "two at most, the same steps, in turn"
    assert all(
        inbox.frames[0].result and inbox.frames[0].result.request.prompt[0] == name
        for name, inbox in zip("abcd", inboxes, strict=True)
    )


def learn_cost(scheduler: FrameScheduler, device: Device) -> None:
    """Two frames, after which the scheduler knows what one costs and dares to batch."""
    for sequence in (1, 2):
        inbox = Inbox()
        device.run()
        submit(scheduler, "learn", sequence, inbox)
        inbox.wait(1)
        assert device.started.acquire(timeout=TIMEOUT)


def test_one_visitors_error_is_not_anothers(scheduler: FrameScheduler, device: Device) -> None:
    good, bad = Inbox(), Inbox()
    learn_cost(scheduler, device)
    submit(scheduler, "z", 1, Inbox())
    assert device.started.acquire(timeout=TIMEOUT)
    submit(scheduler, "good", 1, good)
    submit(scheduler, "bad", 1, bad, prompt="wrong")
    device.run(4)
    assert good.wait(1)[0].result is not None
    assert isinstance(bad.wait(1)[0].error, InvalidRequest)


def test_the_device_thread_survives_a_crash(scheduler: FrameScheduler, device: Device) -> None:
    inbox = Inbox()
    device.run(2)
    submit(scheduler, "a", 1, inbox, prompt="crash")
    inbox.wait(1)
    submit(scheduler, "a", 2, inbox)
    frames = inbox.wait(1)
    assert type(frames[0].error) is NotDrawn and "log" in str(frames[0].error)
    assert frames[1].result is not None


def test_a_full_house_is_refused_and_who_left_is_forgotten(scheduler: FrameScheduler, device: Device) -> None:
    submit(scheduler, "z", 1, Inbox())
    assert device.started.acquire(timeout=TIMEOUT)
    for name in "abcd":
        submit(scheduler, name, 1, Inbox())
    with pytest.raises(Overloaded):
        submit(scheduler, "e", 1, Inbox())
    scheduler.forget("a")
    submit(scheduler, "e", 1, Inbox())
    assert scheduler.waiting() == (4, 0)


def test_closing_answers_what_waits(device: Device) -> None:
    scheduler = FrameScheduler(device.render)
    inbox = Inbox()
    submit(scheduler, "a", 1, inbox)
    assert device.started.acquire(timeout=TIMEOUT)
    submit(scheduler, "a", 2, inbox)
    device.run()
    scheduler.close()
    assert {frame.sequence for frame in inbox.frames} == {1, 2}
    with pytest.raises(Overloaded):
        submit(scheduler, "a", 3, inbox)


def test_a_sketch_that_is_replaced_is_never_decoded(scheduler: FrameScheduler, device: Device) -> None:
    decoded: list[int] = []
    submit(scheduler, "z", 1, Inbox())
    assert device.started.acquire(timeout=TIMEOUT)
    inbox = Inbox()

    def build(sequence: int) -> GenerationRequest:
        decoded.append(sequence)
        if sequence == 3:
            raise InvalidRequest("sketch", "noise", "an image")
        return GenerationRequest("a cat")

    for sequence in (1, 2, 3):
        scheduler.submit("a", sequence, LazyRequest("key", lambda sequence=sequence: build(sequence)), inbox)
    device.run(2)
    frames = inbox.wait(3)
    assert decoded == [3] and isinstance(frames[-1].error, InvalidRequest)
    submit(scheduler, "a", 4, inbox)
    assert inbox.wait(1)[-1].result is not None, "the next one is served"


def test_a_lost_worker_is_told_to_those_in_flight_and_not_tried_again(device: Device) -> None:
    calls: list[int] = []

    def render(requests: Sequence[GenerationRequest], _progress: object) -> list[GenerationResult]:
        calls.append(len(requests))
        if requests[0].prompt == "poison":
            raise WorkerLost("It stopped.", retry_after=3)
        return [GenerationResult((), request) for request in requests]

    scheduler, inbox = FrameScheduler(render), Inbox()
    submit(scheduler, "a", 1, inbox, prompt="poison")
    assert isinstance(inbox.wait(1)[0].error, WorkerLost) and len(calls) == 1
    submit(scheduler, "b", 1, inbox)
    assert inbox.wait(1)[1].result is not None
    scheduler.close()


def test_a_job_comes_in_parts_with_the_seeds_of_the_whole() -> None:
    parts: list[GenerationRequest] = []

    def render(requests: Sequence[GenerationRequest], _progress: object) -> list[GenerationResult]:
        parts.extend(requests)
        return [
            GenerationResult(tuple(range(r.seed, r.seed + r.num_images)), r, {"unet": 1.0})  # type: ignore[arg-type]
            for r in requests
        ]

    scheduler = FrameScheduler(render, limits=SchedulerLimits(sizes=(1, 2, 3)))
    result = scheduler.run("a", GenerationRequest("cats", num_images=8, seed=5))
    assert [(part.seed, part.num_images) for part in parts] == [(5, 1), (6, 3), (9, 3), (12, 1)]
    assert result.pixels == tuple(range(5, 13)) and result.milliseconds == {"unet": 4.0}
    assert (result.request.seed, result.request.num_images) == (5, 8)
    scheduler.close()
    with pytest.raises(Overloaded):
        scheduler.run("a", GenerationRequest("cats"))


def test_a_job_of_slow_images_comes_one_by_one() -> None:
    parts: list[int] = []

    def render(requests: Sequence[GenerationRequest], _progress: object) -> list[GenerationResult]:
        parts.append(requests[0].num_images)
        return [GenerationResult((), r, {"total": 400.0 * r.num_images}) for r in requests]

    scheduler = FrameScheduler(render, limits=SchedulerLimits(budget=0.5))
    scheduler.run("a", GenerationRequest("cats", num_images=4))
    assert parts == [1, 1, 1, 1]
    scheduler.close()


def test_strokes_are_drawn_while_a_long_job_is_under_way() -> None:
    under_way, gate = threading.Event(), threading.Event()

    def render(requests: Sequence[GenerationRequest], progress: Progress | None) -> list[GenerationResult]:
        if requests[0].num_inference_steps > 8:
            assert progress is not None, "without progress it would give way to nobody"
            under_way.set()
            assert gate.wait(TIMEOUT)
        return [GenerationResult((), r, {"total": 1.0}) for r in requests]

    scheduler, inbox, slow = FrameScheduler(render, gives_way=True), Inbox(), Inbox()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(scheduler.run, "painter", GenerationRequest("slow", num_inference_steps=50))
        assert under_way.wait(TIMEOUT)
        submit(scheduler, "drawer", 1, inbox)
        assert inbox.wait(1)[0].result is not None and not job.done()
        submit(scheduler, "other", 1, slow, steps=50)  # a stroke of fifty steps waits for its own turn
        submit(scheduler, "drawer", 2, inbox)
        assert inbox.wait(1)[1].result is not None and not slow.frames
        gate.set()
        assert job.result(TIMEOUT) and slow.wait(1)[0].result is not None
    scheduler.close()


def test_who_asks_is_known_where_it_is_drawn_and_paid_for_alone() -> None:
    seen: list[tuple[str, int]] = []

    def render(requests: Sequence[GenerationRequest], _progress: Progress | None) -> list[GenerationResult]:
        seen.append((asking.get(), len(requests)))
        return [GenerationResult((), request) for request in requests]

    made = FrameScheduler(render, limits=SchedulerLimits(sizes=(1, 2, 4), mixed=False))
    inboxes = {name: Inbox() for name in ("ann", "ben", "cem")}
    for name, inbox in inboxes.items():
        copy_context().run(lambda name=name, inbox=inbox: (asking.set(name), submit(made, name, 1, inbox)))
    for inbox in inboxes.values():
        inbox.wait(1)
    context = copy_context()
    context.run(asking.set, "job of ann")
    context.run(made.run, "ann", GenerationRequest("a cat", num_images=2))
    made.close()
    assert sorted(seen[:3]) == [("ann", 1), ("ben", 1), ("cem", 1)] and seen[3:] == [("job of ann", 1)], "a job is one call"


def test_loading_for_one_holds_up_no_other() -> None:
    gate, loading = threading.Event(), threading.Event()
    told: dict[str, list[tuple[float, str]]] = {"a": [], "b": [], "c": []}

    def prepare(request: GenerationRequest, progress: Progress) -> None:
        if request.model == "large":
            loading.set()
            while not gate.wait(frames.TOLD_EVERY / 2):
                progress(0.5, "half of it")

    scheduler = FrameScheduler(lambda requests, _: [GenerationResult((), r) for r in requests], prepare=prepare)
    heavy, light = Inbox(), Inbox()
    scheduler.submit("a", 1, lazy(GenerationRequest("x", model="large")), heavy, lambda *news: told["a"].append(news))
    assert loading.wait(TIMEOUT)
    scheduler.submit("b", 1, lazy(GenerationRequest("x")), light, lambda *news: told["b"].append(news))
    # Its loading waits for the first one's, for both need the same files.
    other = GenerationRequest("x", model="large", num_inference_steps=2)
    scheduler.submit("c", 1, lazy(other), Inbox(), lambda *news: told["c"].append(news))
    assert light.wait(1)[0].result is not None and not heavy.frames
    ends = time.monotonic() + TIMEOUT
    while not (len(told["a"]) > 1 and told["c"]) and time.monotonic() < ends:
        time.sleep(0.02)
    gate.set()
    assert heavy.wait(1)[0].result is not None
    assert not told["b"] and set(told["a"]) == {(0.5, "half of it")} == set(told["c"]), "all who wait for it are told"
    scheduler.close()


def test_draining_finishes_what_waits_and_refuses_what_comes(scheduler: FrameScheduler, device: Device) -> None:
    inboxes = [Inbox() for _ in range(3)]
    for i, inbox in enumerate(inboxes):
        submit(scheduler, f"v{i}", 1, inbox, steps=i + 1)
    device.run(3)
    scheduler.close(drain=TIMEOUT)
    assert all(inbox.frames[0].result is not None for inbox in inboxes)
    with pytest.raises(Overloaded):
        submit(scheduler, "a", 1, Inbox())


def test_the_jobs_of_a_page_that_is_closed_end(device: Device, scheduler: FrameScheduler) -> None:
    """One part is being drawn: it ends, and the others are not drawn at all."""
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(scheduler.run, "gone", GenerationRequest("eight", num_images=8))
        assert device.started.acquire(timeout=TIMEOUT)
        scheduler.forget("gone")
        device.run()
        with pytest.raises(HyperSDError, match="closed"):
            job.result(timeout=TIMEOUT)
    assert len(device.batches) == 1 and scheduler.waiting() == (0, 0)
    device.run()
    assert scheduler.run("gone", GenerationRequest("one")), "who comes back is served"


def test_a_job_that_waits_when_its_page_is_closed_ends_at_once(device: Device, scheduler: FrameScheduler) -> None:
    with ThreadPoolExecutor(2) as pool:
        drawn = pool.submit(scheduler.run, "stays", GenerationRequest("one"))
        assert device.started.acquire(timeout=TIMEOUT)
        waits = pool.submit(scheduler.run, "gone", GenerationRequest("two"))
        while scheduler.waiting() != (0, 1):
            time.sleep(0.01)
        scheduler.forget("gone")
        with pytest.raises(HyperSDError, match="closed"):
            waits.result(timeout=TIMEOUT)
        device.run()
        assert drawn.result(timeout=TIMEOUT)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_of_one_visitor_ever_reaches_another(seed: int) -> None:
    """Random interleavings on real threads, with failing batches: every answer is to exactly what its visitor asked."""
    chance = random.Random(seed)
    flaky = random.Random(seed + 100)

    def render(requests: Sequence[GenerationRequest], _progress: object) -> list[GenerationResult]:
        if len(requests) > 1 and flaky.random() < 0.3:
            raise RuntimeError("a batch failed")
        images = [(r.prompt, r.seed, r.styles, int(r.control.image[0, 0, 0]) if r.control else -1) for r in requests]
        return [GenerationResult((image,), r) for image, r in zip(images, requests, strict=True)]  # type: ignore[arg-type]

    scheduler = FrameScheduler(render, limits=SchedulerLimits(), devices=2)

    def visit(number: int, chance: random.Random) -> tuple[dict[int, tuple[object, ...]], Inbox]:
        asked: dict[int, tuple[object, ...]] = {}
        inbox = Inbox()
        for sequence in range(1, 80):
            styles = (StyleWeight("ink", 0.5),) if chance.random() < 0.3 else ()
            sketch = chance.randrange(256) if chance.random() < 0.7 else None
            image = None if sketch is None else ControlInput(np.full((8, 8, 3), sketch, np.uint8))
            request = GenerationRequest(f"words of {number}", seed=1000 * number + sequence, styles=styles, control=image)
            asked[sequence] = (request.prompt, request.seed, styles, -1 if sketch is None else sketch)
            scheduler.submit(f"v{number}", sequence, lazy(request), inbox)
            time.sleep(chance.random() * 0.0005)
        return asked, inbox

    with ThreadPoolExecutor(8) as pool:
        visits = list(pool.map(visit, range(8), [random.Random(chance.random()) for _ in range(8)]))
    scheduler.close(drain=TIMEOUT)
    for asked, inbox in visits:
        shown = [frame for frame in inbox.frames if frame.result is not None]
        assert all(frame.result.pixels[0] == asked[frame.sequence] for frame in shown if frame.result)
        assert [frame.sequence for frame in shown] == sorted(frame.sequence for frame in shown), "never an older one after"
        assert sorted(frame.sequence for frame in inbox.frames) == list(asked), "every state is answered once"
        assert shown[-1].sequence == 79, "the last state is always drawn"


def test_whatever_goes_wrong_beside_the_drawing_costs_one_batch() -> None:
    faults = iter([RuntimeError("no metrics"), None])

    def report(_size: int, _seconds: float) -> None:
        fault = next(faults)
        if fault is not None:
            raise fault

    made = FrameScheduler(lambda requests, _progress: [GenerationResult((), request) for request in requests], report=report)
    inbox = Inbox()
    submit(made, "a", 1, inbox)
    assert inbox.wait(1)[0].error is not None
    submit(made, "a", 2, inbox)
    assert inbox.wait(1)[1].result is not None, "the device's thread is still there"
    made.close()


def test_an_engine_that_forgets_one_of_a_batch_costs_that_batch() -> None:
    made, inbox = FrameScheduler(lambda _requests, _progress: []), Inbox()
    for sequence in (1, 2):
        submit(made, "a", sequence, inbox)
        assert inbox.wait(1)[-1].error is not None
    made.close()


def test_what_cannot_be_compared_is_refused_where_it_comes_in(scheduler: FrameScheduler, device: Device) -> None:
    with pytest.raises(TypeError):
        scheduler.submit("a", 1, LazyRequest(["no", "key"], lambda: GenerationRequest("x")), Inbox())
    inbox = Inbox()
    submit(scheduler, "a", 2, inbox)
    device.run()
    assert inbox.wait(1)[0].result is not None
