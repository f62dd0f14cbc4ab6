"""Frames for many visitors on one device: the newest wins for each, in turn for all. Knows no network."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypersd_app.engine.requests import GenerationRequest, GenerationResult
from hypersd_app.errors import HyperSDError, Overloaded

logger = logging.getLogger(__name__)

Render = Callable[[Sequence[GenerationRequest]], Sequence[GenerationResult]]


@dataclass(frozen=True)
class Frame:
    """What became of one submitted request: a result, an error, or neither when a newer one replaced it.

    `waited` and `rendered` are milliseconds in the mailbox and on the device.
    """

    sequence: int
    result: GenerationResult | None = None
    error: HyperSDError | None = None
    waited: float = 0.0
    rendered: float = 0.0

    @property
    def dropped(self) -> bool:
        """True if a newer request of the same visitor took this one's place."""
        return self.result is None and self.error is None


Deliver = Callable[[Frame], None]


@dataclass(frozen=True)
class _Waiting:
    sequence: int
    request: GenerationRequest
    deliver: Deliver
    since: float


def batch_key(request: GenerationRequest) -> tuple[object, ...]:
    """What two requests must share to run as one batch."""
    size = None if request.control is None else request.control.image.shape
    return (
        request.model,
        request.recipe,
        request.num_inference_steps,
        request.num_images,
        request.width,
        request.height,
        request.guidance_scale,
        request.eta,
        request.styles,
        request.decoder,
        size,
    )


class FrameScheduler:
    """One device thread over a mailbox a visitor.

    A visitor has at most one frame running and one waiting; a newer one replaces the waiting one, which is
    delivered as dropped. Mailboxes are served in turn: a replaced frame keeps its place in the line, a served visitor
    goes to its end. `deliver` is called on the device thread (or the submitting one, for a dropped frame): keep it short.
    """

    def __init__(self, render: Render, *, max_batch: int = 4, max_waiting: int = 64) -> None:
        self._render = render
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="frames", daemon=True)
        self._thread.start()

    def submit(self, visitor: str, sequence: int, request: GenerationRequest, deliver: Deliver) -> None:
        """Put `request` into the visitor's mailbox. Raises Overloaded when too many visitors wait, or after close."""
        entry = _Waiting(sequence, request, deliver, time.perf_counter())
        with self._changed:
            if self._closed:
                raise Overloaded("The server is shutting down.", retry_after=5.0)
            replaced = self._waiting.get(visitor)
            if replaced is None and len(self._waiting) >= self._max_waiting:
                raise Overloaded("Too many people are drawing at once; try again in a moment.", retry_after=2.0)
            self._waiting[visitor] = entry  # an existing key keeps its place in the order
            self._changed.notify()
        if replaced is not None:
            replaced.deliver(Frame(replaced.sequence))

    def forget(self, visitor: str) -> None:
        """Throw away what the visitor has waiting; nothing is delivered for it."""
        with self._changed:
            self._waiting.pop(visitor, None)

    def waiting(self) -> int:
        """Visitors with a frame waiting."""
        with self._changed:
            return len(self._waiting)

    def close(self) -> None:
        """Stop the device thread; what waits is delivered as dropped."""
        with self._changed:
            self._closed = True
            left = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify()
        for entry in left:
            entry.deliver(Frame(entry.sequence))
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                batch = self._take()
            self._serve(batch)

    def _take(self) -> list[_Waiting]:
        """The visitor first in line, and others further back whose request fits the same batch."""
        first = next(iter(self._waiting.values()))
        key = batch_key(first.request)
        chosen = [name for name, entry in self._waiting.items() if batch_key(entry.request) == key][: self._max_batch]
        return [self._waiting.pop(name) for name in chosen]

    def _serve(self, batch: list[_Waiting]) -> None:
        started = time.perf_counter()
        try:
            results = self._render([entry.request for entry in batch])
        except HyperSDError as error:
            self._fail(batch, error)
            return
        except Exception:
            # The thread boundary: whatever one frame runs into, the next visitor must still be served.
            logger.exception("a frame failed")
            self._fail(batch, HyperSDError("The picture could not be made; the server's log says why."))
            return
        rendered = (time.perf_counter() - started) * 1000
        for entry, result in zip(batch, results, strict=True):
            waited = (started - entry.since) * 1000
            self._hand_over(entry, Frame(entry.sequence, result=result, waited=waited, rendered=rendered))

    def _fail(self, batch: list[_Waiting], error: HyperSDError) -> None:
        """Deliver the error; of a batch, run each alone first, so that one visitor's request can't fail another's."""
        if len(batch) > 1:
            for entry in batch:
                self._serve([entry])
            return
        self._hand_over(batch[0], Frame(batch[0].sequence, error=error))

    def _hand_over(self, entry: _Waiting, frame: Frame) -> None:
        try:
            entry.deliver(frame)
        except Exception:
            logger.exception("a frame could not be delivered")  # a visitor who left must not stop the device thread
