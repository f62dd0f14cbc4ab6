"""The studio's service: one scheduler behind every transport, tab and endpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from PIL import Image

from hypersd_app.catalog.own_styles import is_own
from hypersd_app.errors import HyperSDError, InvalidRequest, Overloaded
from hypersd_app.images.files import decode_image, encode_jpeg
from hypersd_app.images.painting import drawn_over
from hypersd_app.images.scribble import sketch_control
from hypersd_app.requests import GenerationRequest, GenerationResult, control_of, request_from_json, strength_of
from hypersd_app.server.engines.protocol import ConcurrentEngine, ImageEngine
from hypersd_app.server.http.tokens import TokenSigner
from hypersd_app.server.http.wire import Message, parts_of
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.observability.request_log import DROPPED, IMAGE, Record, RequestLog, outcome_of
from hypersd_app.server.scheduling.fair_queue import LazyRequest, SchedulerLimits
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.scheduling.scheduler import Deliver, Frame, FrameScheduler, Outcome, is_long, lazy
from hypersd_app.server.visitor_styles import VisitorStyles

logger = logging.getLogger(__name__)

# What OpenVINO's graphs are compiled for: any other batch would run as several, and only make its first frame wait.
BATCH_SIZES = {"openvino": (1, 4)}


class BoardService:
    """Schedules the frames and jobs of all visitors on one engine with `devices` devices."""

    def __init__(
        self,
        engine: ImageEngine,
        limits: BoardLimits | None = None,
        signer: TokenSigner | None = None,
        request_log: RequestLog | None = None,
        devices: int = 1,
        own_styles: VisitorStyles | None = None,
    ) -> None:
        self.limits = limits or BoardLimits()
        self.signer = signer or TokenSigner()
        self.request_log = request_log or RequestLog(Metrics())
        self.draining = False
        self.own_styles = own_styles
        self._engine = engine
        status = engine.status()
        sizes = BATCH_SIZES.get(str(status.get("backend")), SchedulerLimits.sizes)
        concurrent = engine if isinstance(engine, ConcurrentEngine) else None
        scheduling = SchedulerLimits(
            sizes=sizes,
            visitors=self.limits.sessions,
            jobs=self.limits.jobs,
            jobs_per_visitor=self.limits.jobs_per_visitor,
            jobs_per_address=self.limits.calls_per_address,
            mixed=not status.get("lent"),  # a lent device is charged to one visitor a call
        )
        self._scheduler = FrameScheduler(
            self._draw,
            # Where several draw, a long batch delays nobody for all its time: meanwhile others become free.
            limits=scheduling if concurrent is None else replace(scheduling, budget=scheduling.budget * concurrent.devices),
            devices=devices if concurrent is None else concurrent.devices,
            prepare=engine.prepare,
            report=self.request_log.metrics.batch,
            slots=None if concurrent is None else concurrent.slots,
            gives_way=concurrent is None and devices == 1 and getattr(engine, "gives_way", False),
        )

    def _draw(self, requests: Sequence[GenerationRequest], progress: Any = None) -> Sequence[Outcome]:
        if progress is not None and len(requests) == 1:
            return [self._engine.generate(requests[0], progress)]
        return self._engine.generate_batch(requests)

    def submit(
        self,
        visitor: str,
        message: Message,
        deliver: Deliver,
        transport: str = "socket",
        loading: Callable[[float, str], None] | None = None,
        address: str = "",
    ) -> None:
        """Queue a frame. Raises InvalidRequest or Overloaded; else `deliver` is called once, on another thread.

        Until then `loading` is told, on a third, how far a model is that the frame needs: the share, and words.
        """
        request: GenerationRequest | None = None

        def noted(frame: Frame) -> None:
            self._note(transport, visitor, frame, request, bool(message.image))
            deliver(frame)

        try:
            queued, request = lazy_request(message, self.limits)
            self._check_own(message.head.get("visitor_key"), request)
            self._scheduler.submit(visitor, message.sequence, queued, noted, loading, address)
        except HyperSDError as error:
            self._note(transport, visitor, Frame(message.sequence, error=error), request, bool(message.image))
            raise

    def _note(self, transport: str, visitor: str, frame: Frame, request: GenerationRequest | None, sketch: bool) -> None:
        milliseconds: dict[str, float] = {}
        outcome = DROPPED
        if frame.result is not None:
            outcome, request = IMAGE, frame.result.request
            milliseconds = {**frame.result.milliseconds, "waited": frame.waited, "rendered": frame.rendered}
        elif frame.error is not None:
            outcome = outcome_of(frame.error)
        self.request_log.write(
            Record(
                transport=transport,
                visitor=visitor,
                outcome=outcome,
                request=request,
                sketch=sketch,
                sequence=frame.sequence,
                milliseconds=milliseconds,
                batch=frame.batch,
                error=frame.error,
            )
        )

    def render(self, visitor: str, message: Message, transport: str = "call", address: str = "") -> Frame:
        """Queue a frame and wait for its outcome, for request-response transports. Raises HyperSDError."""
        future: Future[Frame] = Future()
        self.submit(visitor, message, future.set_result, transport, address=address)
        try:
            return future.result(timeout=self.limits.call_seconds)
        except TimeoutError:
            raise Overloaded("The image took too long; fewer steps help.", retry_after=5.0) from None

    def render_aside(self, visitor: str, message: Message, transport: str = "call", address: str = "") -> Frame:
        """Run a frame that is no stroke (a style card, a grid cell) as a job. Raises HyperSDError."""
        queued, _ = lazy_request(message, self.limits)
        started = time.perf_counter()
        key = message.head.get("visitor_key")
        result = self.generate(queued.build(), visitor=visitor, transport=transport, address=address, key=key)
        return Frame(message.sequence, result=result, rendered=(time.perf_counter() - started) * 1000, batch=1)

    def render_together(
        self, visitor: str, messages: Sequence[Message], transport: str = "event", address: str = ""
    ) -> list[Frame]:
        """Run frames that are no strokes as one job, in one call that borrows a device. A frame each. Raises HyperSDError."""
        requests = [lazy_request(message, self.limits)[0].build() for message in messages]
        for message, request in zip(messages, requests, strict=True):
            self._check_own(message.head.get("visitor_key"), request)
        outcomes = self._drawn_together(requests, visitor, transport, address)
        return [
            Frame(message.sequence, error=outcome)
            if isinstance(outcome, HyperSDError)
            else Frame(message.sequence, result=outcome, rendered=outcome.milliseconds.get("total", 0.0), batch=1)
            for message, outcome in zip(messages, outcomes, strict=True)
        ]

    def generate(
        self,
        request: GenerationRequest,
        progress: Any = None,
        visitor: str = "page",
        transport: str = "page",
        address: str = "",
        key: object = None,
    ) -> GenerationResult:
        """Run a job beside the live frames, which share the device with jobs by weight. Raises HyperSDError.

        `key` is the page's, whose own style files it may use.
        """
        self._check_own(key, request)
        try:
            result = self._scheduler.run(visitor, request, progress, address=address)
        except HyperSDError as error:
            self.request_log.write(
                Record(transport=transport, visitor=visitor, outcome=outcome_of(error), request=request, error=error)
            )
            raise
        self.request_log.write(
            Record(transport=transport, visitor=visitor, outcome=IMAGE, request=result.request, milliseconds=result.milliseconds)
        )
        return result

    def generate_together(
        self, requests: Sequence[GenerationRequest], visitor: str = "page", transport: str = "page", address: str = ""
    ) -> list[Outcome]:
        """Requests of any kind in one call that borrows a device. An outcome each, in order. Raises HyperSDError."""
        for request in requests:
            self._check_own(None, request)
        return self._drawn_together(requests, visitor, transport, address)

    def _check_own(self, key: object, request: GenerationRequest) -> None:
        """Raises InvalidRequest for a visitor's own style file in the hands of another."""
        if self.own_styles is not None:
            self.own_styles.check(key, request)
        elif any(is_own(style.name) for style in request.styles):
            raise InvalidRequest("style", "a file of your own", "one of the list: this studio keeps none of visitors")

    def _drawn_together(self, requests: Sequence[GenerationRequest], visitor: str, transport: str, address: str) -> list[Outcome]:
        outcomes = self._scheduler.run_together(visitor, requests, address=address)
        for request, outcome in zip(requests, outcomes, strict=True):
            record = Record(transport=transport, visitor=visitor, outcome=IMAGE, request=request)
            if isinstance(outcome, HyperSDError):
                self.request_log.write(replace(record, outcome=outcome_of(outcome), error=outcome))
            else:
                self.request_log.write(replace(record, request=outcome.request, milliseconds=outcome.milliseconds))
        return outcomes

    def forget(self, visitor: str) -> None:
        """Forget a visitor who left."""
        self._scheduler.forget(visitor)

    def waiting(self) -> tuple[int, int]:
        """Numbers of waiting strokes and jobs."""
        return self._scheduler.waiting()

    def busy_seconds(self) -> float:
        """Seconds for which the oldest running batch has run."""
        return self._scheduler.busy_seconds()

    def close(self, drain: float = 0.0) -> None:
        """Shut down, draining the queue for up to `drain` seconds."""
        self.draining = True
        self._scheduler.close(drain)


def lazy_request(message: Message, limits: BoardLimits) -> tuple[LazyRequest, GenerationRequest]:
    """The request in a frame, its images to be decoded when its turn comes; then the request without them.

    An empty `message.image` means no sketch. Raises InvalidRequest for wrong types and ranges.
    """
    request = replace(request_from_json(message.head), num_images=1)  # more than the first would not be shown
    if "parts" in message.head:
        return lazy_painting(message, request, limits), request
    if not message.image:
        return lazy(request), request
    kind, scale = control_of(message.head)

    def build() -> GenerationRequest:
        sketch = decode_image(message.image, "sketch", limits.image_pixels)
        return replace(request, control=sketch_control(sketch, scale, kind))

    return LazyRequest(request.batch_key(kind), build, request.model, is_long(request), steps=request.num_inference_steps), request


def lazy_painting(message: Message, request: GenerationRequest, limits: BoardLimits) -> LazyRequest:
    """The request in a frame of several images, each of which may be missing: see `wire.PARTS`. Raises InvalidRequest."""
    parts = parts_of(message)
    kind, scale = control_of(message.head)
    strength = strength_of(message.head) if "init" in parts else None
    if message.head.get("follow_ink") is True and "ink" in parts and strength is not None and "sketch" not in parts:
        # Where it is blank, a sketch asks for blank paper: the freer the image, the less it may say.
        parts["sketch"], scale = parts["ink"], scale * (1 - strength)
    for name in ("ink", "mask"):
        if name in parts and strength is None:
            raise InvalidRequest(name, "an image", "none without an init image")

    def image(name: str) -> Image.Image | None:
        return decode_image(parts[name], name, limits.image_pixels) if name in parts else None

    def build() -> GenerationRequest:
        sketch, ground = image("sketch"), image("init")
        return replace(
            request,
            control=None if sketch is None else sketch_control(sketch, scale, kind),
            init=None if ground is None or strength is None else drawn_over(ground, strength, image("ink"), image("mask")),
        )

    return LazyRequest(
        request.batch_key(kind if "sketch" in parts else "", strength),
        build,
        request.model,
        is_long(request),
        steps=request.num_inference_steps,
    )


def answer(frame: Frame) -> Message:
    """The message that answers `frame`, its image encoded as JPEG."""
    if frame.dropped:
        return Message(frame.sequence, {"type": "dropped", "seq": frame.sequence, "turn": round(frame.turn)})
    if frame.error is not None:
        return error_answer(frame.sequence, frame.error)
    assert frame.result is not None
    head = {
        "type": "picture",
        "seq": frame.sequence,
        "ms": _milliseconds(frame, frame.result),
        "batch": frame.batch,
        **_ran(frame.result),
    }
    return Message(frame.sequence, head, encode_jpeg(frame.result.images[0]))


def error_answer(sequence: int, error: Exception) -> Message:
    """The message for an error; `retry_after` is in seconds, present where trying again helps."""
    head = {"type": "error", "seq": sequence, "message": str(error), "field": getattr(error, "field", "")}
    retry_after = getattr(error, "retry_after", None)
    return Message(sequence, head if retry_after is None else {**head, "retry_after": retry_after})


def _milliseconds(frame: Frame, result: GenerationResult) -> dict[str, float]:
    parts = {name: round(value, 1) for name, value in result.milliseconds.items()}
    return {**parts, "waited": round(frame.waited, 1), "rendered": round(frame.rendered, 1)}


def _ran(result: GenerationResult) -> dict[str, Any]:
    request = result.request
    return {
        "seed": request.seed,
        "steps": request.num_inference_steps,
        "recipe": request.recipe,
        "width": result.pixels[0].shape[1],
        "height": result.pixels[0].shape[0],
        **({"notes": list(result.notes)} if result.notes else {}),
    }
