"""The drawing process: answers like an engine, and faults that are really injected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from hypersd_app.errors import HyperSDError, InvalidRequest, ModelUnavailable, Overloaded, WorkerLost
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.server.engines import worker as worker_module
from hypersd_app.server.engines.worker import WorkerEngine
from tests.support.fake_engine import STYLES, FakeEngine
from tests.support.faulty_engine import build, cannot_build

GOOD = GenerationRequest("a cat", seed=3)


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerEngine]:
    made = WorkerEngine(build, FakeEngine(), hang_seconds=1.0)
    yield made
    made.close()


def test_it_answers_as_the_engine_itself(worker: WorkerEngine) -> None:
    fake = FakeEngine()
    sketch = ControlInput(np.eye(16, dtype=np.uint8)[..., None].repeat(3, 2) * 255)
    request = GenerationRequest("a cat", seed=9, num_images=2, styles=(StyleWeight("ink", 0.5),), control=sketch)
    told: list[tuple[object, ...]] = []
    there, here = worker.generate(request, lambda *values: told.append(values)), fake.generate(request)
    assert [image.tobytes() for image in there.images] == [image.tobytes() for image in here.images]
    assert told, "progress crosses the border"
    assert worker.models() == fake.models() and worker.styles("pocket") == STYLES
    assert [result.request.seed for result in worker.generate_batch([GOOD, GenerationRequest("a dog", seed=4)])] == [3, 4]  # type: ignore[union-attr]
    assert worker.status()["worker"] == "running"


def test_errors_cross_the_border_whole(worker: WorkerEngine) -> None:
    with pytest.raises(InvalidRequest, match="one of pocket, large") as raised:
        worker.generate(GenerationRequest("a cat", model="none"))
    assert raised.value.field == "model"


def test_out_of_memory_costs_one_request(worker: WorkerEngine) -> None:
    before = worker.restarts
    with pytest.raises(HyperSDError, match="log says why"):
        worker.generate(GenerationRequest("memory"))
    assert worker.generate(GOOD).images and worker.restarts == before


@pytest.mark.parametrize("fault", ["die", "crash"])
def test_a_process_that_dies_is_replaced(worker: WorkerEngine, fault: str) -> None:
    worker.generate(GOOD)
    before, first = worker.restarts, worker.pid
    with pytest.raises(WorkerLost) as raised:
        worker.generate(GenerationRequest(fault))
    assert raised.value.retry_after > 0 and "started again" in str(raised.value)
    assert worker.generate(GOOD).images, "the next one waits for the new process and is served"
    assert worker.restarts == before + 1 and worker.pid != first


def test_a_kill_from_outside_loses_only_what_is_in_flight(worker: WorkerEngine) -> None:
    worker.generate(GOOD)
    lost: list[BaseException] = []

    def draw() -> None:
        try:
            worker.generate(GenerationRequest("slow"))
        except WorkerLost as error:
            lost.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    time.sleep(0.3)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    thread.join(10)
    assert len(lost) == 1 and worker.generate(GOOD).images


def test_a_process_that_hangs_is_killed_and_replaced(worker: WorkerEngine) -> None:
    worker.generate(GOOD)  # its kind has run before, so silence is no compiling
    before = worker.restarts
    with pytest.raises(WorkerLost):
        worker.generate(GenerationRequest("hang"))
    assert worker.generate(GOOD).images and worker.restarts == before + 1


def test_an_engine_that_cannot_be_made_says_why_and_is_not_tried_again() -> None:
    worker = WorkerEngine(cannot_build, FakeEngine())
    with pytest.raises(ModelUnavailable, match="no such model"):
        worker.await_ready()
    assert worker.restarts == 0
    worker.close()
    with pytest.raises((ModelUnavailable, Overloaded)):
        worker.generate(GOOD)


def test_no_drawing_process_outlives_its_server() -> None:
    code = (
        "import time\nfrom hypersd_app.server.engines.worker import WorkerEngine\n"
        "from tests.support.fake_engine import FakeEngine\n"
        "from tests.support.faulty_engine import build\n"
        "worker = WorkerEngine(build, FakeEngine())\nworker.await_ready()\nprint(worker.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        server.kill()
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it was still there after ten seconds")


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_that_is_stopped_is_noticed_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "SILENCE", (4.0, 4.0))
    worker = WorkerEngine(build, FakeEngine(), hang_seconds=6.0)
    try:
        assert worker.generate(GOOD).images and worker.alive
        first, stopped = worker.pid, time.monotonic()
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(WorkerLost):
            # Full of pixels, so that the pipe is full too: whoever sends waits, and the watchdog must not.
            worker.generate(GenerationRequest("a cat", control=ControlInput(np.full((1024, 1024, 3), 255, np.uint8))))
        assert time.monotonic() - stopped < 30
        assert worker.generate(GOOD).images and worker.pid != first and worker.restarts == 1
    finally:
        worker.close()


def test_a_busy_process_answers_heartbeats(worker: WorkerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "SILENCE", (4.0, 4.0))
    worker.generate(GOOD)
    before = worker.restarts
    for _ in range(5):
        assert worker.generate(GenerationRequest("slow")).images
    assert worker.restarts == before and worker.alive


def test_the_catalogue_is_read_here(worker: WorkerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(worker, "_call", lambda method, *_arguments, **_options: calls.append(method))
    assert worker.models() and worker.recipes("pocket") and worker.styles("pocket")
    assert calls == []
    worker.rescan()
    assert calls == ["rescan"]
