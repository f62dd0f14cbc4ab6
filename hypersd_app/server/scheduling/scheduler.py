"""Device threads around the fair queue: per visitor only the newest frame counts. Knows nothing of the network."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from cachetools import LRUCache

from hypersd_app.errors import HyperSDError, NoGpu, NotDrawn, Overloaded, WorkerLost
from hypersd_app.requests import LOADING_SHARE, GenerationRequest, GenerationResult
from hypersd_app.server.scheduling.fair_queue import JOB, LIVE, LONG, FairQueue, LazyRequest, QueuedRequest, SchedulerLimits

logger = logging.getLogger(__name__)

Outcome = GenerationResult | HyperSDError
Progress = Callable[..., None]
Render = Callable[[Sequence[GenerationRequest], Progress | None], Sequence[Outcome]]
Prepare = Callable[[GenerationRequest, Progress], None]
LEFT = "The page was closed."
MOST_GONE = 4096  # visitors who are remembered to have left
LOADERS = 2  # kinds of request that load at once
MOST_LOADING = 32  # kinds that may wait to be loaded
LOOK_AGAIN = 0.5  # seconds until who has no place asks again whether there is one
TOLD_EVERY = 0.25  # seconds between two reports of how far loading is
STEPPED = 4  # times the budget for a part whose steps give way, so that only decoding holds others up
KEPT_READY = 60.0  # seconds for which what was loaded once is taken to be still there


@dataclass(frozen=True)
class Frame:
    """The outcome of a submitted request: a result, an error, or neither if a newer one replaced it.

    `waited` and `rendered` are milliseconds in the mailbox and on the device, `batch` how many ran at once; of a replaced
    one `turn` says in how many milliseconds the one in its place will run.
    """

    sequence: int
    result: GenerationResult | None = None
    error: HyperSDError | None = None
    waited: float = 0.0
    rendered: float = 0.0
    batch: int = 0
    turn: float = 0.0
    beside: tuple[Outcome, ...] = ()  # outcomes of the other requests of a job

    @property
    def dropped(self) -> bool:
        """True if a newer request of the same visitor took this one's place."""
        return self.result is None and self.error is None


Deliver = Callable[[Frame], None]


def lazy(request: GenerationRequest) -> LazyRequest:
    """A request that needs no decoding."""
    return LazyRequest(request.batch_key(), lambda: request, request.model, is_long(request), steps=request.num_inference_steps)


def is_long(request: GenerationRequest) -> bool:
    """Whether a request takes more of the device than others should wait for at a stretch."""
    return request.num_inference_steps * request.num_images > LONG


class FrameScheduler:
    """`devices` threads that run batches, as `FairQueue` picks them.

    A visitor has at most one frame running and one waiting; a newer one replaces the waiting one, which is delivered as
    dropped. `deliver` is called on a device thread (or the submitting one, for a dropped frame): keep it short. `prepare`
    loads what a kind of request needs, beside the work of others, and says how far it is; `report` is told the size and
    seconds of each batch; `slots` says how many batches may run now, where that changes. With `gives_way` whatever reports
    progress lets others in between its steps: long requests then have a thread of their own, beside that of the short ones.
    """

    def __init__(
        self,
        render: Render,
        *,
        limits: SchedulerLimits | None = None,
        devices: int = 1,
        prepare: Prepare | None = None,
        report: Callable[[int, float], None] | None = None,
        slots: Callable[[], int] | None = None,
        gives_way: bool = False,
    ) -> None:
        self._render = render
        self._prepare = prepare
        self._report = report
        self._slots = slots
        self._gives_way = gives_way
        self._queue = FairQueue(limits)
        self._changed = threading.Condition()
        self._closed = False
        self._ready: dict[Hashable, float] = {}
        self._gone: LRUCache[str, float] = LRUCache(MOST_GONE)  # visitors who left, the latest ones, and when
        self._loaders = threading.Semaphore(LOADERS)
        self._started: dict[int, float] = {}  # device thread -> when its batch began
        self._decoders = ThreadPoolExecutor(self._queue.limits.max_batch, thread_name_prefix="sketches")
        lanes = [False, True] if gives_way else [None] * devices  # of short requests, of long ones, of all
        self._threads = [
            threading.Thread(target=self._run, args=(long,), name=f"frames-{i}", daemon=True) for i, long in enumerate(lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        visitor: str,
        sequence: int,
        request: LazyRequest,
        deliver: Deliver,
        loading: Callable[[float, str], None] | None = None,
        address: str = "",
    ) -> None:
        """Put a state into the visitor's mailbox; `loading` is told how far its model is. All of one `address` share turns.

        Raises Overloaded when too many visitors wait, or after close.
        """
        now = time.perf_counter()
        replaced, turn = self._put(
            QueuedRequest(
                visitor=visitor,
                sequence=sequence,
                request=request,
                deliver=deliver,
                since=now,
                first=now,
                progress=loading,
                address=address,
            )
        )
        if replaced is not None:
            replaced.deliver(Frame(replaced.sequence, turn=turn * 1000))

    def run(
        self,
        visitor: str,
        request: GenerationRequest,
        progress: Progress | None = None,
        timeout: float = 600.0,
        address: str = "",
    ) -> GenerationResult:
        """Run a job in parts, so that strokes can run in between. Raises HyperSDError."""
        began = time.perf_counter()
        results: list[GenerationResult] = []
        # One until it is known what an image takes. A device that is lent by the call is not asked for twice.
        count = 1 if self._queue.limits.mixed else request.num_images
        while (done := sum(result.request.num_images for result in results)) < request.num_images:
            with self._changed:
                gone = self._gone.get(visitor, 0.0) > began
            if gone:
                raise HyperSDError(LEFT)
            part = replace(request, seed=request.seeds[done], num_images=min(count, request.num_images - done))
            started = time.perf_counter()
            results.append(self._run_part(visitor, part, progress, timeout, address))
            spent = results[-1].milliseconds.get("total", 0.0) / 1000 or time.perf_counter() - started
            count = self._images_at_once(spent / part.num_images)
        return joined(request, results)

    def _images_at_once(self, seconds: float) -> int:
        """How many images of a job are drawn as one where each takes so long: no more than others can wait for."""
        limits = self._queue.limits
        budget = limits.budget * (STEPPED if self._gives_way else 1)
        return max(1, min(limits.max_batch, int(budget / max(seconds, 1e-6))))

    def _run_part(
        self, visitor: str, request: GenerationRequest, progress: Progress | None, timeout: float, address: str
    ) -> GenerationResult:
        frame = self._awaited(visitor, lazy(request), progress, timeout, address)
        if frame.error is not None:
            raise frame.error
        assert frame.result is not None
        return frame.result

    def run_together(
        self, visitor: str, requests: Sequence[GenerationRequest], timeout: float = 600.0, address: str = ""
    ) -> list[Outcome]:
        """Run requests of any kind as one job on a device that is lent by the call; an outcome each. Raises Overloaded."""
        first, *others = requests
        together = replace(lazy(first), beside=tuple(others))
        frame = self._awaited(visitor, together, None, timeout, address)
        outcome = frame.error or frame.result
        assert outcome is not None
        return [outcome, *frame.beside]

    def _awaited(self, visitor: str, request: LazyRequest, progress: Progress | None, timeout: float, address: str) -> Frame:
        """A job's frame, which has a result or an error."""
        future: Future[Frame] = Future()
        now = time.perf_counter()
        entry = QueuedRequest(
            visitor=visitor,
            sequence=0,
            request=request,
            deliver=future.set_result,
            since=now,
            first=now,
            kind=JOB,
            progress=progress,
            address=address,
        )
        self._put(entry)
        try:
            frame = future.result(timeout)
        except TimeoutError:
            with self._changed:
                self._queue.remove(entry)
            raise Overloaded("The image took too long; fewer steps or images help.", retry_after=5.0) from None
        if frame.dropped:
            raise Overloaded("The server is shutting down.", retry_after=5.0)
        return frame

    def _put(self, entry: QueuedRequest) -> tuple[QueuedRequest | None, float]:
        """Queue an entry; returns the one it replaced and the seconds until it will run."""
        hash(entry.key)  # one that cannot be compared with others must fail here, not on the device's thread
        with self._changed:
            if self._closed:
                raise Overloaded("The server is shutting down.", retry_after=5.0)
            replaced = self._queue.put(entry)
            self._load_first(entry)
            self._changed.notify_all()  # not each thread takes every kind
            return replaced, self._queue.turn_in(entry.visitor)

    def forget(self, visitor: str) -> None:
        """Drop a visitor's waiting strokes without delivery, and end their jobs."""
        with self._changed:
            left = self._queue.forget(visitor)
            self._gone[visitor] = time.perf_counter()
        for entry in left:
            if entry.kind == JOB:
                self._hand_over(entry, Frame(entry.sequence, error=HyperSDError(LEFT)))

    def waiting(self) -> tuple[int, int]:
        """Numbers of waiting strokes and jobs."""
        with self._changed:
            return self._queue.waiting

    def busy_seconds(self) -> float:
        """Seconds for which the oldest running batch has run; 0 if none runs."""
        now = time.perf_counter()
        return max((now - started for started in list(self._started.values())), default=0.0)

    def close(self, drain: float = 0.0) -> None:
        """Refuse new work, drain the queue for up to `drain` seconds, deliver the rest as dropped, stop the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if drain > 0:
                self._changed.wait_for(lambda: self._queue.idle, timeout=drain)
            left = self._queue.entries()
            for entry in left:
                self._queue.remove(entry)
            self._changed.notify_all()
        for entry in left:
            self._hand_over(entry, Frame(entry.sequence))
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._decoders.shutdown(wait=False)

    def _load_first(self, entry: QueuedRequest) -> None:
        """Load what a batch key needs on a thread of its own, before its first request runs."""
        key, now = entry.key, time.perf_counter()
        if self._prepare is None or self._ready.get(key, 0.0) > now:
            return
        self._ready = {other: until for other, until in self._ready.items() if until > now}
        if sum(until == float("inf") for until in self._ready.values()) >= MOST_LOADING:
            return  # so many kinds at once are nobody's wish: this one loads when it runs
        self._ready[key] = float("inf")  # until the thread has an answer
        self._queue.hold(key)
        # Not a pool: its threads would be waited for at exit, and a download may take minutes.
        threading.Thread(target=self._load, args=(entry,), name="loading", daemon=True).start()

    def _load(self, entry: QueuedRequest) -> None:
        assert self._prepare is not None
        key = entry.key
        try:
            with self._loaders:
                self._prepare(entry.request.build(), self._loading(entry.request.model))
        except HyperSDError:
            logger.debug("not prepared: the request itself will say why")
        except Exception:
            logger.exception("loading failed")
        with self._changed:
            self._ready[key] = time.perf_counter() + KEPT_READY
            self._queue.release(key)
            self._changed.notify_all()

    def _loading(self, model: str) -> Progress:
        """Progress callback that reports loading to everybody who waits for `model`, at a bounded rate."""
        told = 0.0

        def progress(share: float, words: str, *_image: object) -> None:
            nonlocal told
            now = time.perf_counter()
            if now - told < TOLD_EVERY:
                return
            told = now
            with self._changed:
                waiting = self._queue.loading(model)
            for entry in waiting:
                if entry.progress is not None:
                    self._tell(entry.progress, share if entry.kind == LIVE else LOADING_SHARE * share, words)

        return progress

    def _run(self, long: bool | None) -> None:
        while True:
            with self._changed:
                batch = self._await_batch(long)
                if not batch:
                    return
                self._started[threading.get_ident()] = started = time.perf_counter()
            drawn = self._served(batch, long)
            with self._changed:
                del self._started[threading.get_ident()]
                self._queue.finished(batch, drawn or time.perf_counter() - started, learn=drawn > 0)
                for entry in batch:
                    if self._ready.get(entry.key, 0.0) < float("inf"):
                        self._ready[entry.key] = time.perf_counter() + KEPT_READY
                self._changed.notify_all()

    def _await_batch(self, long: bool | None) -> list[QueuedRequest]:
        """Wait for the next batch; [] on shutdown. Called with the lock held."""
        while True:
            if self._slots is not None and len(self._started) >= self._slots() and not self._closed:
                self._changed.wait(LOOK_AGAIN)
                continue
            now = time.perf_counter()
            batch, wake = self._queue.next(now, long)
            if batch:
                return batch
            if self._closed and self._queue.idle:
                return []
            self._changed.wait(None if wake is None else max(0.0, wake - now))

    def _served(self, batch: list[QueuedRequest], long: bool | None) -> float:
        """Run `_serve`; an unexpected exception fails this batch, not the thread."""
        try:
            return self._serve(batch, long)
        except Exception:
            logger.exception("a batch failed")
            for entry in batch:
                self._hand_over(entry, Frame(entry.sequence, error=NotDrawn()))
            return 0.0

    def _serve(self, batch: list[QueuedRequest], long: bool | None) -> float:
        """Decode, render and deliver a batch; returns its seconds on the device, 0 if a frame failed."""
        started = time.perf_counter()
        runnable = [(entry, request) for entry, request in self._decoded(batch) if request is not None]
        if not runnable:
            return 0.0
        entries, requests = [entry for entry, _ in runnable], [request for _, request in runnable]
        requests += entries[0].request.beside  # a job's, which is alone in its batch
        outcomes = entries[0].context.run(self._outcomes, requests, self._watcher(entries[0], long))
        rendered = time.perf_counter() - started
        if self._report is not None:
            self._report(len(entries), rendered)
        own, beside = outcomes[: len(entries)], tuple(outcomes[len(entries) :])
        for entry, outcome in zip(entries, own, strict=True):
            frame = _frame(entry, outcome, started, rendered, len(entries))
            self._hand_over(entry, replace(frame, beside=beside) if beside else frame)
        return self._drawn(outcomes, rendered)

    def _watcher(self, entry: QueuedRequest, long: bool | None) -> Progress | None:
        """Who is told of a request's steps, without whom it gives way to nobody."""
        if entry.kind == JOB and entry.progress is not None:
            return entry.progress
        return _nobody if long else None

    def _drawn(self, outcomes: Sequence[Outcome], rendered: float) -> float:
        """Seconds of a batch on its device, 0 if a frame failed; without the wait for a device that others use as well."""
        results = [outcome for outcome in outcomes if isinstance(outcome, GenerationResult)]
        if len(results) < len(outcomes):
            return 0.0
        shared = self._slots is not None or self._gives_way
        there = results[0].milliseconds.get("total", 0.0) / 1000 if shared else 0.0
        return there or rendered

    def _decoded(self, batch: list[QueuedRequest]) -> Iterator[tuple[QueuedRequest, GenerationRequest | None]]:
        """Each entry with its decoded request; None, after an error was delivered, if the sketch is unreadable."""
        # One alone is done here before another thread would have woken up.
        several = map(_built, batch) if len(batch) == 1 else self._decoders.map(_built, batch)
        for entry, built in zip(batch, several, strict=True):
            if isinstance(built, HyperSDError):
                self._hand_over(entry, Frame(entry.sequence, error=built))
                yield entry, None
            else:
                yield entry, built

    def _outcomes(self, requests: list[GenerationRequest], progress: Progress | None) -> Sequence[Outcome]:
        """A result or an error per request. If a batch fails, each request is retried alone."""
        try:
            return self._render(requests, progress)
        except (WorkerLost, NoGpu) as error:
            return [error] * len(requests)  # trying again at once might lose the next one as well, and gets no GPU
        except HyperSDError as error:
            failure = error
        except Exception:
            # The thread boundary: whatever one frame runs into, the next visitor must still be served.
            logger.exception("a frame failed")
            failure = NotDrawn()
        if len(requests) == 1:
            return [failure]
        return [self._outcomes([request], progress)[0] for request in requests]

    def _hand_over(self, entry: QueuedRequest, frame: Frame) -> None:
        self._tell(entry.deliver, frame)

    @staticmethod
    def _tell(listener: Callable[..., None], *news: object) -> None:
        try:
            listener(*news)
        except Exception:
            logger.exception("a frame could not be delivered")  # a visitor who left must not stop the device thread


def _nobody(*_news: object) -> None:
    """Is told of steps that nobody watches."""


def _built(entry: QueuedRequest) -> GenerationRequest | HyperSDError:
    try:
        return entry.request.build()
    except HyperSDError as error:
        return error
    except Exception:
        logger.exception("a request could not be read")
        return HyperSDError("The sketch could not be read.")


def _frame(entry: QueuedRequest, outcome: Outcome, started: float, rendered: float, batch: int) -> Frame:
    waited = (started - entry.since) * 1000
    if isinstance(outcome, HyperSDError):
        return Frame(entry.sequence, error=outcome, waited=waited, rendered=rendered * 1000, batch=batch)
    return Frame(entry.sequence, result=outcome, waited=waited, rendered=rendered * 1000, batch=batch)


def joined(request: GenerationRequest, results: Sequence[GenerationResult]) -> GenerationResult:
    """Merge the results of the parts of a request."""
    if len(results) == 1:
        return results[0]
    milliseconds: dict[str, float] = {}
    for result in results:
        for part, spent in result.milliseconds.items():
            milliseconds[part] = milliseconds.get(part, 0.0) + spent
    whole = replace(results[0].request, seed=request.seed, num_images=request.num_images)
    pixels = tuple(rows for result in results for rows in result.pixels)
    return replace(results[0], pixels=pixels, request=whole, milliseconds=milliseconds)
