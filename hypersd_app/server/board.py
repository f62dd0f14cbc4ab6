"""The drawing board's service: one scheduler, and the same way in for every transport."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from hypersd_app.engine.frames import Deliver, Frame, FrameScheduler
from hypersd_app.engine.requests import GenerationRequest, GenerationResult
from hypersd_app.errors import Overloaded
from hypersd_app.server.backend import ImageEngine
from hypersd_app.server.board_requests import frame_request
from hypersd_app.server.limits import BoardLimits
from hypersd_app.server.pictures import encode_jpeg
from hypersd_app.server.tokens import TokenSigner
from hypersd_app.server.wire import Message

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What the page is told of one frame: `head["type"]` is picture, dropped or error."""

    sequence: int
    head: Mapping[str, Any]
    picture: bytes = b""


class BoardService:
    """Frames of all visitors over one engine."""

    def __init__(self, engine: ImageEngine, limits: BoardLimits | None = None, signer: TokenSigner | None = None) -> None:
        self.limits = limits or BoardLimits()
        self.signer = signer or TokenSigner()
        self._engine = engine
        self._scheduler = FrameScheduler(engine.generate_batch, max_waiting=self.limits.sessions)

    def submit(self, visitor: str, message: Message, deliver: Deliver) -> None:
        """Queue a frame. Raises InvalidRequest or Overloaded; else `deliver` is called once, on another thread."""
        request = frame_request(message.head, message.picture, self.limits)
        self._scheduler.submit(visitor, message.sequence, request, deliver)

    def render(self, visitor: str, message: Message) -> Frame:
        """Queue a frame and wait for what becomes of it: for transports that answer calls. Raises HyperSDError."""
        future: Future[Frame] = Future()
        self.submit(visitor, message, future.set_result)
        try:
            return future.result(timeout=self.limits.call_seconds)
        except TimeoutError:
            raise Overloaded("The picture took too long; try fewer steps.", retry_after=5.0) from None

    async def submit_from_loop(self, visitor: str, message: Message, deliver: Deliver) -> None:
        """`submit`, with the sketch decoded off the event loop."""
        await asyncio.to_thread(self.submit, visitor, message, deliver)

    def generate(self, request: GenerationRequest) -> GenerationResult:
        """A picture beside the live frames, for saving. Raises HyperSDError."""
        return self._engine.generate(request)

    def forget(self, visitor: str) -> None:
        """A visitor left."""
        self._scheduler.forget(visitor)

    def waiting(self) -> int:
        """Visitors with a frame waiting."""
        return self._scheduler.waiting()

    def close(self) -> None:
        """Stop making frames."""
        self._scheduler.close()


def answer(frame: Frame) -> Answer:
    """What to tell the page of `frame`; encodes the picture."""
    if frame.dropped:
        return Answer(frame.sequence, {"type": "dropped", "seq": frame.sequence})
    if frame.error is not None:
        return error_answer(frame.sequence, frame.error)
    assert frame.result is not None
    head = {"type": "picture", "seq": frame.sequence, "ms": _milliseconds(frame, frame.result), **_ran(frame.result)}
    return Answer(frame.sequence, head, encode_jpeg(frame.result.images[0]))


def error_answer(sequence: int, error: Exception) -> Answer:
    """What to tell the page of an error a visitor may read."""
    head = {"type": "error", "seq": sequence, "message": str(error), "field": getattr(error, "field", "")}
    return Answer(sequence, head)


def _milliseconds(frame: Frame, result: GenerationResult) -> dict[str, float]:
    parts = {name: round(value, 1) for name, value in result.milliseconds.items()}
    return {**parts, "waited": round(frame.waited, 1), "rendered": round(frame.rendered, 1)}


def _ran(result: GenerationResult) -> dict[str, Any]:
    request = result.request
    return {
        "seed": request.seed,
        "steps": request.num_inference_steps,
        "recipe": request.recipe,
        "width": result.images[0].width,
        "height": result.images[0].height,
    }
