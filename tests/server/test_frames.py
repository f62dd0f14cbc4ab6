"""Frame scheduling: the newest wins, each in turn, batches, and failures that stay with their visitor."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from hypersd_app.engine.frames import Frame, FrameScheduler
from hypersd_app.engine.requests import GenerationRequest, GenerationResult
from hypersd_app.errors import HyperSDError, InvalidRequest, Overloaded

TIMEOUT = 10.0


class Device:
    """Renders when told to: `gate` lets one batch through."""

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.started = threading.Semaphore(0)
        self.batches: list[list[str]] = []

    def render(self, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
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
    made = FrameScheduler(device.render, max_batch=2, max_waiting=4)
    yield made
    device.run(50)
    made.close()


def submit(scheduler: FrameScheduler, visitor: str, sequence: int, inbox: Inbox, prompt: str = "", steps: int = 1) -> None:
    request = GenerationRequest(prompt or f"{visitor}{sequence}", num_inference_steps=steps)
    scheduler.submit(visitor, sequence, request, inbox)


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
    submit(scheduler, "z", 1, Inbox())
    assert device.started.acquire(timeout=TIMEOUT)
    for name, inbox, steps in zip("abcd", inboxes, (1, 2, 1, 1), strict=True):
        submit(scheduler, name, 1, inbox, steps=steps)
    device.run(4)
    for inbox in inboxes:
        inbox.wait(1)
    assert device.batches[1:] == [["a1", "c1"], ["b1"], ["d1"]], "two at most, the same steps, in turn"
    assert all(
        inbox.frames[0].result and inbox.frames[0].result.request.prompt[0] == name
        for name, inbox in zip("abcd", inboxes, strict=True)
    )


def test_one_visitors_error_is_not_anothers(scheduler: FrameScheduler, device: Device) -> None:
    good, bad = Inbox(), Inbox()
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
    assert type(frames[0].error) is HyperSDError and "log" in str(frames[0].error)
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
    assert scheduler.waiting() == 4


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
