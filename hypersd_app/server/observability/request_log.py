"""One line of JSON a request, and the same in numbers. Prompts stay out of it unless the settings ask for them."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from hypersd_app.errors import HyperSDError, Overloaded, Refused
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.observability.metrics import Metrics

logger = logging.getLogger("hypersd.requests")

IMAGE, DROPPED, ERROR, REFUSED = "picture", "dropped", "error", "refused"


LONGEST_NAME = 80  # characters


@dataclass(frozen=True, kw_only=True)
class Record:
    """A request at its end. `transport` is the way it came: socket, call, event, page or api."""

    transport: str
    visitor: str
    outcome: str
    request: GenerationRequest | None = None
    sketch: bool = False  # the request may be known before its sketch is decoded
    sequence: int = 0
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    batch: int = 0
    error: HyperSDError | None = None


class RequestLog:
    """Writes records to the log and the metrics."""

    def __init__(self, metrics: Metrics, log_prompts: bool = False) -> None:
        self.metrics = metrics
        self._log_prompts = log_prompts

    def write(self, record: Record) -> None:
        """Note one request."""
        self.metrics.request(record.transport, record.outcome, record.milliseconds)
        if record.error is not None:
            self.metrics.error(type(record.error).__name__)
        if logger.isEnabledFor(logging.INFO):
            logger.info("%s", json.dumps(self._line(record), separators=(",", ":")))

    def _line(self, record: Record) -> dict[str, Any]:
        line: dict[str, Any] = {
            "time": round(time.time(), 3),
            "transport": record.transport,
            "visitor": record.visitor,
            "seq": record.sequence,
            "outcome": record.outcome,
        }
        if record.request is not None:
            line |= {**facts(record.request), "sketch": record.sketch or record.request.control is not None}
            if self._log_prompts:
                line["prompt"] = record.request.prompt
        if record.milliseconds:
            line["ms"] = {part: round(spent, 1) for part, spent in record.milliseconds.items()}
        if record.batch:
            line["batch"] = record.batch
        if record.error is not None:
            # The kind and the field, never the message: it may repeat what the visitor wrote.
            line["error"] = type(record.error).__name__
            line["field"] = getattr(record.error, "field", "")
        return line


def facts(request: GenerationRequest) -> dict[str, Any]:
    """What a log may know of a request."""
    return {
        "model": request.model[:LONGEST_NAME],  # of a request that was not checked yet, it is what a visitor wrote
        "recipe": request.recipe[:LONGEST_NAME],
        "steps": request.num_inference_steps,
        "images": request.num_images,
        "styles": [style.name[:LONGEST_NAME] for style in request.styles],
        "prompt_length": len(request.prompt),
    }


def outcome_of(error: HyperSDError) -> str:
    """Refused for limits and the safety gate, else error."""
    return REFUSED if isinstance(error, (Overloaded, Refused)) else ERROR


def write_request_log(stream: TextIO | None = None) -> None:
    """Send the request log to `stream` (standard error by default) as bare JSON lines, beside the usual log."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
