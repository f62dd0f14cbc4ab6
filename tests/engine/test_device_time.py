"""A long request lets short ones in between its steps, and neither image shows it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch

from hypersd_app.engine import device_time
from hypersd_app.engine.device_time import SHARE, SharedDevice
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.requests import ControlInput, GenerationRequest, GenerationResult, StyleWeight
from tests.engine.conftest import REFERENCE
from tests.engine.sampling.test_equivalence import sketch
from tests.support import tiny_models

PATIENCE = 30.0
STEPS = 3
LONG = GenerationRequest("a cat", recipe="unified", seed=7, num_inference_steps=STEPS, eta=0.7, styles=(StyleWeight("ink", 0.9),))
SHORT = (
    GenerationRequest("a dog", recipe="unified", seed=3, styles=(StyleWeight("clay"),), control=ControlInput(sketch(256))),
    GenerationRequest("a red apple", recipe="unified", seed=4),
)
HARDWARE = [REFERENCE, Hardware("openvino", "cpu", dtype=torch.float32)]


def pixels(result: GenerationResult) -> np.ndarray:
    return np.asarray(result.images[0])


def await_waiting(engine: Engine) -> None:
    """Until somebody stands before the device."""
    end = time.monotonic() + PATIENCE
    while not engine._device._waiting:
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("hardware", HARDWARE, ids=["torch", "openvino"])
def test_strokes_come_between_the_steps_of_a_long_request_and_change_nothing(settings, repositories, hardware) -> None:
    if hardware.backend == "openvino":
        pytest.importorskip("openvino")
    engine = Engine(settings, hardware=hardware, hub=tiny_models.FolderHub(repositories))
    alone, each = engine.generate(LONG), [engine.generate(request) for request in SHORT]
    strokes: list[Future[GenerationResult]] = []
    finished_at: list[int] = []

    with ThreadPoolExecutor(STEPS) as pool:
        number = iter(range(STEPS))
        wanted: list[int] = []

        def counted(share: float, words: object, *image: object) -> None:
            wanted.append(next(number) % 2)
            finished_at.append(sum(stroke.done() for stroke in strokes))
            if len(strokes) < STEPS - 1:
                request = SHORT[wanted[-1]]
                strokes.append(pool.submit(lambda: engine.generate_batch([request])[0]))
                await_waiting(engine)

        result = engine.generate(LONG, counted)
        drawn = [stroke.result(PATIENCE) for stroke in strokes]
    assert np.array_equal(pixels(result), pixels(alone)), "styles, noise and latents are its own again after each break"
    assert all(np.array_equal(pixels(one), pixels(each[which])) for one, which in zip(drawn, wanted, strict=False))
    assert finished_at == list(range(STEPS)), "each was drawn before the next step"
    assert result.milliseconds["total"] < 3 * alone.milliseconds["total"] + 50, "the others' time is not its own"
    engine.close()


def test_a_request_nobody_watches_keeps_the_device(engine) -> None:
    assert engine.generate(LONG).milliseconds["total"] > 0
    with engine._device.short():
        assert engine._device._taken
    assert not engine._device._taken


def test_a_long_one_that_fails_leaves_the_device_free() -> None:
    device = SharedDevice()
    with pytest.raises(ValueError, match="broken"), device.long():
        raise ValueError("broken")
    with device.long() as work:
        assert work.give_way() == 0.0, "nobody waits"
    with pytest.raises(ValueError, match="broken"), device.short():
        raise ValueError("broken")
    with device.long():
        assert device._taken


def test_short_work_has_its_share_while_there_is_any_and_the_long_one_goes_on() -> None:
    now, steps, shorts = 0.0, 12, 0
    device, stop = SharedDevice(lambda: now), threading.Event()

    def short() -> None:
        nonlocal now, shorts
        while not stop.is_set():
            with device.short():
                now += 4.0  # whoever has the device moves the clock
                shorts += 1

    threads = [threading.Thread(target=short) for _ in range(3)]
    with device.long() as work:
        for thread in threads:
            thread.start()
        while not device._waiting:
            time.sleep(0.001)
        for _ in range(steps):
            now += 5.0
            work.give_way()
        taken = shorts
        stop.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert SHARE == 4.0 and taken == steps * 5, "four seconds for each of a step"


@pytest.mark.parametrize("steps", [1, 1000], ids=["one after the other", "one"])
def test_a_pen_that_pauses_between_strokes_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    monkeypatch.setattr(device_time, "LINGER", 0.5)  # so long that a busy machine makes no stroke come late
    device, stop, held, began = SharedDevice(), threading.Event(), [0.0], time.perf_counter()

    def long() -> None:
        while not stop.is_set():
            with device.long() as work:
                for _ in range(steps):
                    time.sleep(0.02)
                    held.append(time.perf_counter() - work.since)
                    if stop.is_set():
                        break
                    work.give_way()

    with device.short():
        thread = threading.Thread(target=long, daemon=True)
        thread.start()
    while (spent := time.perf_counter() - began) < 1.0 or len(held) < 3:
        time.sleep(0.005)  # the device is free, and nobody but the long one waits
        with device.short():
            time.sleep(0.002)
        assert spent < PATIENCE, "it never had its turn"
    stop.set()
    thread.join(PATIENCE)
    assert sum(held[:-1]) < 1.3 * spent / (1 + SHARE), "a fifth of the time"


def test_two_long_ones_and_short_ones_all_come_to_an_end() -> None:
    device, holders, most = SharedDevice(), 0, 0

    def held() -> None:
        nonlocal holders, most
        holders += 1
        most = max(most, holders)
        time.sleep(0.001)
        holders -= 1

    def long() -> None:
        with device.long() as work:
            for _ in range(20):
                held()
                work.give_way()

    def short() -> None:
        for _ in range(20):
            with device.short():
                held()

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(task) for task in (long, short, long, short, short, long)]:
            future.result(PATIENCE)
    assert most == 1, "one at a time"
