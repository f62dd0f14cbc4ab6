"""Answers that are given before or instead of a route's own, and the status that belongs to each of our errors."""

from __future__ import annotations

import json
import math
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Send

from hypersd_app.errors import DeviceOutOfMemory, HyperSDError, InvalidRequest, ModelUnavailable, Overloaded, Refused

OUT_OF_MEMORY_SECONDS = 5  # until an attempt may find room again
STATUS: tuple[tuple[type[HyperSDError], int], ...] = (
    (InvalidRequest, 422),
    (Refused, 403),
    (ModelUnavailable, 404),
    (Overloaded, 503),
    (DeviceOutOfMemory, 507),
)


@dataclass
class Outcome:
    """What became of the call that a request made; Gradio's routes answer every error with 500."""

    error: HyperSDError | None = None


_outcome: ContextVar[Outcome | None] = ContextVar("hypersd_outcome", default=None)


def watch_outcome() -> Outcome:
    """The outcome of what runs from here on in this context, its threads included."""
    outcome = Outcome()
    _outcome.set(outcome)
    return outcome


def note_error(error: HyperSDError) -> None:
    """Tell whoever watches that the call failed with an error of ours."""
    outcome = _outcome.get()
    if outcome is not None:
        outcome.error = error


def status_of(error: HyperSDError) -> int:
    """The HTTP status of an error: 4xx for a client's fault, 503 and 507 for limits of the server, 500 for the rest."""
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def retry_after(error: HyperSDError) -> int:
    """Seconds after which the same request may succeed, 0 if it never will."""
    if isinstance(error, DeviceOutOfMemory):
        return OUT_OF_MEMORY_SECONDS
    return max(1, math.ceil(error.retry_after)) if isinstance(error, Overloaded) else 0


async def refuse(send: Send, status: int, message: str, seconds: int = 0) -> None:
    """A whole answer of JSON, with Retry-After unless `seconds` is 0."""
    headers = [(b"content-type", b"application/json")]
    if seconds:
        headers.append((b"retry-after", str(seconds).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": message}).encode()})
