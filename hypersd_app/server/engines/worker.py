"""The engine in a worker process that is restarted when it dies or hangs."""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from hypersd_app.errors import HyperSDError, NotDrawn, Overloaded, WorkerLost
from hypersd_app.requests import GenerationRequest, GenerationResult
from hypersd_app.server.engines.protocol import CatalogReader, ImageEngine
from hypersd_app.server.engines.watchdog import FIRST_TIME, HangDetector
from hypersd_app.server.observability.log_lines import write_log
from hypersd_app.server.scheduling.scheduler import Outcome
from hypersd_app.system import share_one_heap

logger = logging.getLogger(__name__)

START = 300.0  # seconds to start in
CALLS = 16  # threads in the drawing process
LONGEST_PAUSE = 30.0  # between starts of a process that dies before it has done anything
# Seconds without an answer to a heartbeat from which on the process is taken for hung. A conversion may keep it from answering
# for a while, so one that loads or compiles has as long as `hang_seconds`.
SILENCE = (5.0, 30.0)  # at least and at most
PING = "ping"
LOST = "The drawing process stopped and is being started again. Your drawing is safe."


@dataclass
class _Call:
    """A call on its way. `limit` is how long it may go without a sign of life, None for ever."""

    method: str
    limit: float | None
    progress: Callable[..., None] | None
    future: Future[Any] = field(default_factory=Future)
    sign: float = field(default_factory=time.monotonic)


class _Process:
    """One drawing process and its pending calls."""

    def __init__(self, build: Callable[[], ImageEngine]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy this process's threads' locks
        ours, theirs = context.Pipe()
        self.process = context.Process(target=serve_engine, args=(theirs, build), name="hypersd-drawing", daemon=True)
        self.process.start()
        theirs.close()
        self.ready = threading.Event()
        self.lost = False
        self.useful = False  # it has answered a call
        self.failure: HyperSDError | None = None  # why the engine could not be made
        self.started = time.monotonic()
        self._asked: float | None = None  # since when nobody has answered, None if somebody has
        self._pinged = False  # a heartbeat is on its way since then
        self._connection: Connection = ours
        self._sending = threading.Lock()
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count()

    def call(self, call: _Call, arguments: tuple[Any, ...]) -> Any:
        """The call's value. Raises what it raised there, WorkerLost if the process ended."""
        number = next(self._numbers)
        self._calls[number] = call
        try:
            with self._sending:
                self._connection.send((number, call.method, arguments, call.progress is not None))
        except (OSError, ValueError, TypeError) as error:  # the last, where it is closed while this thread waits for a full pipe
            self._calls.pop(number, None)
            # The pipe is broken: whoever asks next waits for the next process, though this one's end is not noticed yet.
            self.lost = self.lost or isinstance(error, OSError)
            raise WorkerLost(LOST, retry_after=3.0) from None
        if self.lost:  # it ended between the two
            self._calls.pop(number, None)
            raise WorkerLost(LOST, retry_after=3.0)
        return call.future.result()

    def read(self) -> None:
        """Dispatch messages from the process until it ends."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, kind, value = self._connection.recv()
                self._asked, self._pinged = None, False
                if kind == "ready":
                    self.ready.set()
                elif kind == "failed":
                    self.failure = value
                elif kind == "progress":
                    self._progress(number, value)
                elif kind != PING:
                    self._answer(number, kind, value)

    def _progress(self, number: int, value: tuple[Any, ...]) -> None:
        call = self._calls.get(number)
        if call is not None:
            call.sign = time.monotonic()
            if call.progress is not None:
                with contextlib.suppress(Exception):  # a visitor's progress bar may be gone
                    call.progress(*value)

    def _answer(self, number: int, kind: str, value: Any) -> None:
        call = self._calls.pop(number, None)
        if call is None:
            return
        self.useful = True
        if kind == "error":
            call.future.set_exception(value)
        else:
            call.future.set_result(value)

    def ping(self) -> None:
        """Send a heartbeat unless one is unanswered.

        Never waits: a process that reads nothing leaves the pipe full, and whoever sends to it waiting.
        """
        if self._asked is None:
            self._asked = time.monotonic()
        if self._pinged or not self._sending.acquire(blocking=False):
            return
        try:
            if select.select([], [self._connection], [], 0)[1]:
                self._pinged = True  # before sending: the answer may come at once
                self._connection.send((-1, PING, (), False))
        except (OSError, ValueError):
            return  # it has ended, and whoever reads knows
        finally:
            self._sending.release()

    def overdue(self, now: float, hang_seconds: float) -> str:
        """What has exceeded its time limit, "" for nothing."""
        if not self.ready.is_set():
            return "start" if now - self.started > START else ""
        calls = list(self._calls.values())
        late = [call.method for call in calls if call.limit is not None and now - call.sign > call.limit]
        if late:
            return late[0]
        return "heartbeat" if self.silent(now) > self._longest_silence(calls, hang_seconds) else ""

    def silent(self, now: float) -> float:
        """Seconds for which a heartbeat has gone unanswered."""
        asked = self._asked
        return 0.0 if asked is None else now - asked

    @staticmethod
    def _longest_silence(calls: Sequence[_Call], hang_seconds: float) -> float:
        least, most = SILENCE
        loading = any(call.limit is not None and call.limit >= FIRST_TIME for call in calls)
        return max(least, hang_seconds if loading else min(most, hang_seconds))

    def end(self) -> None:
        """Kill the process if it still runs and fail its pending calls."""
        self.lost = True
        if self.process.is_alive():
            self.process.kill()
        self.process.join(timeout=5.0)
        self._connection.close()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.future.set_exception(WorkerLost(LOST, retry_after=3.0))
        self.ready.set()  # whoever waits for it looks again


class WorkerEngine:
    """An `ImageEngine` whose work happens in another process. `build` makes the engine there; it must be picklable.

    `catalog` is read in this process, which sees the same folders. A call that dies with the process raises WorkerLost; calls
    that come while it starts again wait for it.
    """

    def __init__(self, build: Callable[[], ImageEngine], catalog: CatalogReader, hang_seconds: float = 120.0) -> None:
        self._build = build
        self._catalog = catalog
        self._hang_seconds = hang_seconds
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._hang_detector = HangDetector(hang_seconds)  # with this life of the process
        self._process = _Process(build)
        self.restarts = 0
        self._threads = [
            threading.Thread(target=self._keep_alive, name="worker-reader", daemon=True),
            threading.Thread(target=self._watch, name="worker-watchdog", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def gives_way(self) -> bool:
        """Whatever reports progress lets batches in between its steps."""
        return True

    @property
    def pid(self) -> int | None:
        """The process's id, for metrics and for tests that kill it."""
        return self._process.process.pid

    @property
    def alive(self) -> bool:
        """True if the process is there, has started and answers."""
        process = self._process
        return process.ready.is_set() and not process.lost and process.silent(time.monotonic()) < SILENCE[0]

    def await_ready(self) -> None:
        """Wait for a process that is still starting. Raises HyperSDError if the engine cannot be made."""
        self._await_process()

    def _keep_alive(self) -> None:
        pause = 0.0
        while True:
            process = self._process
            process.read()
            process.end()
            if self._closed.is_set() or process.failure is not None:
                return  # what the settings ask for cannot be made: another try would say the same
            pause = 0.0 if process.useful else min(LONGEST_PAUSE, 2 * pause + 0.5)
            logger.error("the drawing process ended (code %s); starting another in %.1f s", process.process.exitcode, pause)
            if self._closed.wait(pause):
                return
            with self._changed:
                self._hang_detector = HangDetector(self._hang_seconds)
                self.restarts += 1
                self._process = _Process(self._build)
                self._changed.notify_all()

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._hang_seconds / 4)):
            process = self._process
            process.ping()
            late = process.overdue(time.monotonic(), self._hang_seconds)
            if late and not process.lost:
                logger.error("no sign of life from %r: killing the drawing process", late)
                process.process.kill()

    def _call(self, method: str, *arguments: Any, limit: float | None = None, progress: Callable[..., None] | None = None) -> Any:
        process = self._await_process()
        return process.call(_Call(method, limit, progress), arguments)

    def _await_process(self) -> _Process:
        deadline = time.monotonic() + START
        while True:
            process = self._process
            if process.failure is not None:
                raise process.failure
            if self._closed.is_set() or time.monotonic() > deadline:
                raise Overloaded("The drawing process is not running.", retry_after=10.0)
            if process.ready.wait(timeout=0.5) and not process.lost:
                return process
            with self._changed:
                if self._process is process and process.lost:
                    self._changed.wait(timeout=0.5)

    def _drawn(self, key: Any, method: str, *arguments: Any, progress: Callable[..., None] | None = None) -> Any:
        """A call that uses the device; how long it may be silent depends on whether its kind has run before."""
        process = self._await_process()  # a start is no part of what the work takes
        detector, started = self._hang_detector, time.monotonic()
        limit = detector.limits.get(key, FIRST_TIME)
        value = process.call(_Call(method, limit, progress), arguments)
        seconds = time.monotonic() - started
        if limit == FIRST_TIME or self._hang_seconds + 5 * seconds > limit:
            detector.learn(key, seconds)  # else it was no slower than before
        return value

    def generate(self, request: GenerationRequest, progress: Any = None) -> GenerationResult:
        """Run one request. Raises HyperSDError, WorkerLost among them."""
        result: GenerationResult = self._drawn(request.batch_key(), "generate", request, progress=progress or _nobody)
        return result

    def generate_batch(self, requests: Sequence[GenerationRequest]) -> Sequence[Outcome]:
        """Run requests at once. Raises HyperSDError, WorkerLost among them."""
        key = (len(requests), requests[0].batch_key())
        outcomes: Sequence[Outcome] = self._drawn(key, "generate_batch", list(requests))
        return outcomes

    def prepare(self, request: GenerationRequest, progress: Any = None) -> None:
        """Load what `request` needs. Raises HyperSDError."""
        self._call("prepare", request, limit=FIRST_TIME, progress=progress or _nobody)

    def warm_up(self, model: str) -> None:
        """Load and compile what `model` needs. Raises HyperSDError."""
        self._call("warm_up", model, limit=FIRST_TIME)

    def models(self) -> Sequence[Any]:
        """Rows of the catalogue's models."""
        return self._catalog.models()

    def recipes(self, model: str) -> Sequence[Any]:
        """Rows of the recipes that `model` can run. Raises InvalidRequest."""
        return self._catalog.recipes(model)

    def styles(self, model: str) -> Sequence[Any]:
        """Rows of the styles that fit `model`. Raises InvalidRequest."""
        return self._catalog.styles(model)

    def annotate(self, kind: str, photograph: Any, size: tuple[int, int]) -> Any:
        """A photograph as a control image. Raises HyperSDError."""
        return self._drawn(("annotate", kind), "annotate", kind, photograph, size)

    def rescan(self) -> None:
        """Look again for models and styles on the disk, here and in the drawing process."""
        self._catalog.rescan()
        self._call("rescan")

    def status(self) -> Mapping[str, Any]:
        """What is loaded where, and what the process went through."""
        if not self.alive:
            return {"worker": "starting", "restarts": self.restarts}
        found: Mapping[str, Any] = self._call("status", limit=self._hang_seconds)
        return {**found, "worker": "running", "restarts": self.restarts}

    def close(self) -> None:
        """End the process."""
        self._closed.set()
        self._process.process.terminate()
        for thread in self._threads:
            thread.join(timeout=5.0)


def _nobody(*_progress: object) -> None:
    """Requested so that progress counts as a sign of life."""


def serve_engine(connection: Connection, build: Callable[[], ImageEngine]) -> None:
    """What the drawing process does: answer calls until the server's end of the pipe is closed."""
    share_one_heap()
    write_log(logging.INFO)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle: it drains first
    answers = _Answers(connection)
    with contextlib.suppress(EOFError, OSError):
        try:
            engine = build()
        except HyperSDError as error:
            answers.send(-1, "failed", error)
            return
        answers.send(-1, "ready", None)
        with ThreadPoolExecutor(CALLS, thread_name_prefix="calls") as pool:
            while True:
                number, method, arguments, wants_progress = connection.recv()
                if method == PING:
                    answers.send(number, PING, None)
                    continue
                pool.submit(answers.answer, engine, number, method, arguments, wants_progress)
    os._exit(0)  # the server is gone: nobody waits for threads that may hang


class _Answers:
    """The way back, used by every thread of the drawing process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, number: int, kind: str, value: object) -> None:
        """One message. A server that is gone is noticed by whoever reads."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.send((number, kind, value))

    def answer(self, engine: ImageEngine, number: int, method: str, arguments: tuple[Any, ...], wants_progress: bool) -> None:
        """Run one call and send what came of it."""
        options: dict[str, Any] = {}
        if wants_progress:
            options["progress"] = lambda *values: self.send(number, "progress", values)
        try:
            value = getattr(engine, method)(*arguments, **options)
            self.send(number, "result", value)
        except HyperSDError as error:
            self.send(number, "error", error)
        except Exception:
            # The process boundary: our log gets the trace, whoever called gets an answer.
            logger.exception("%s failed", method)
            self.send(number, "error", NotDrawn())
