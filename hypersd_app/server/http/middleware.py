"""What stands before every HTTP route, Gradio's own included: bodies of bounded size, calls at a bounded rate, no traces."""

from __future__ import annotations

import errno
import logging
import math
from collections import Counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypersd_app.server.http.answers import refuse, retry_after, status_of, watch_outcome
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.scheduling.limits import MEGABYTE, AddressBuckets, BoardLimits, address_group, is_loopback

logger = logging.getLogger(__name__)

BULKY = ("/upload", "/component_server")  # routes that take files
WRITING = ("POST", "PUT", "PATCH", "DELETE")
SLOW = ("/run/", "/api/", "/call/", "/queue/join", "/component_server", "/mcp")  # routes that may draw
BUSY_SECONDS = 5  # until somebody whose calls are all under way may try again

# What code runs into that takes a body apart without looking first. Our own routes look; Gradio's answer these with 500.
MALFORMED = (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError, AssertionError)


class HttpGuard:
    """ASGI middleware. Who asks too much is told when to come back; counted by address, since session hashes are made up."""

    def __init__(self, app: ASGIApp, limits: BoardLimits, metrics: Metrics, upload_bytes: int) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._upload_bytes = upload_bytes
        self._buckets = AddressBuckets(limits.calls_per_second, limits.call_burst)
        self._running: Counter[str] = Counter()  # slow calls by address that are answered at the moment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in WRITING:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        address = client[0] if client else ""
        group = address_group(address)
        wait = 0.0 if is_loopback(address) else self._buckets.retry_after(group)
        if wait > 0:
            self._metrics.refused("calls")
            await refuse(send, 429, f"Too many requests. Try again in {math.ceil(wait)} s.", math.ceil(wait))
            return
        if is_loopback(address) or not any(part in scope["path"] for part in SLOW):
            await self._bounded(scope, receive, send)
            return
        under_way = self._running[group] + queued(scope.get("app"), group)
        if under_way >= self._limits.calls_per_address:
            self._metrics.refused("busy")
            told = f"{under_way} calls of your address are under way; at most {self._limits.calls_per_address} may be."
            await refuse(send, 429, f"{told} Try again in {BUSY_SECONDS} s.", BUSY_SECONDS)
            return
        self._running[group] += 1
        try:
            await self._bounded(scope, receive, send)
        finally:
            self._running -= Counter([group])  # keeps no zeros

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        bulky = scope["path"].rstrip("/").endswith(BULKY)
        most = self._upload_bytes + MEGABYTE if bulky else self._limits.body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not (declared.isdigit() and len(declared) < 20) or int(declared) > most:
            self._metrics.refused("body")
            await refuse(send, 413, f"The request is too large; at most {most // MEGABYTE} MB are taken.")
            return
        taken = 0
        outcome = watch_outcome()

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:  # sent in chunks, without saying how much would come
                self._metrics.refused("body")
                return {"type": "http.disconnect"}
            return message

        async def judged(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 500 and outcome.error is not None:
                # Gradio answers every error so; its body says what ours is.
                message = {**message, "status": status_of(outcome.error)}
                if seconds := retry_after(outcome.error):
                    MutableHeaders(raw=message["headers"])["retry-after"] = str(seconds)
            await send(message)

        await self._app(scope, counted, judged)


def queued(app: object, group: str) -> int:
    """How many events of an address wait in Gradio's queue or run."""
    blocks = getattr(app, "blocks", None)
    events = list(blocks._queue.event_ids_to_events.values()) if blocks is not None else []
    clients = [getattr(event.request, "client", None) for event in events]
    return sum(client is not None and address_group(client.host) == group for client in clients)


async def malformed(request: Request, error: Exception) -> JSONResponse:
    """Answer a body that a route could not take apart: told as the caller's mistake, without a trace."""
    method = request.scope.get("method", "socket")  # sockets come through here too, and have none
    logger.warning("%s %.200s: a malformed call (%s)", method, request.url.path, type(error).__name__)
    return JSONResponse({"detail": "The call could not be understood."}, status_code=400)


async def unknown_call(_request: Request, _error: Exception) -> JSONResponse:
    """Answer a call of an endpoint that there is not."""
    return JSONResponse({"detail": "There is no endpoint of that name; /gradio_api/info lists them."}, status_code=404)


async def disk_trouble(request: Request, error: Exception) -> JSONResponse:
    """Answer a write that failed: most often the disk is full, and the live board, which writes nothing, goes on."""
    assert isinstance(error, OSError)
    logger.error("%.200s: %s", request.url.path, error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    told = "The server's disk is full; the drawing board still works." if full else "The server could not read or write a file."
    return JSONResponse({"detail": told}, status_code=507 if full else 503, headers={"retry-after": "60"})


def exception_handlers() -> dict[Any, Any]:
    """Handlers for `FastAPI(exception_handlers=...)`; the page adds those of Gradio's own errors."""
    handlers: dict[Any, Any] = dict.fromkeys(MALFORMED, malformed)
    return {**handlers, OSError: disk_trouble}
