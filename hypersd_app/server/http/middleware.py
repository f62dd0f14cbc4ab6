"""What stands before every HTTP route, Gradio's own included: bodies of bounded size, calls at a bounded rate, no traces."""

from __future__ import annotations

import errno
import json
import logging
import math
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.scheduling.limits import MEGABYTE, AddressBuckets, BoardLimits, is_loopback

logger = logging.getLogger(__name__)

BULKY = ("/upload", "/component_server")  # routes that take files
WRITING = ("POST", "PUT", "PATCH", "DELETE")

# What code runs into that takes a body apart without looking first. Our own routes look; Gradio's answer these with 500.
MALFORMED = (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError, AssertionError)


class HttpGuard:
    """ASGI middleware. Who asks too much is told when to come back."""

    def __init__(self, app: ASGIApp, limits: BoardLimits, metrics: Metrics, upload_bytes: int) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._upload_bytes = upload_bytes
        self._buckets = AddressBuckets(limits.calls_per_second, limits.call_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in WRITING:
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        address = client[0] if client else ""
        wait = 0.0 if is_loopback(address) else self._buckets.retry_after(address)
        if wait > 0:
            self._metrics.refused("calls")
            await _refuse(send, 429, f"Too many requests. Try again in {math.ceil(wait)} s.", math.ceil(wait))
            return
        await self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        bulky = scope["path"].rstrip("/").endswith(BULKY)
        most = self._upload_bytes + MEGABYTE if bulky else self._limits.body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > most:
            self._metrics.refused("body")
            await _refuse(send, 413, f"The request is too large; at most {most // MEGABYTE} MB are taken.")
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:  # sent in chunks, without saying how much would come
                self._metrics.refused("body")
                return {"type": "http.disconnect"}
            return message

        await self._app(scope, counted, send)


async def _refuse(send: Send, status: int, message: str, retry_after: int = 0) -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": message}).encode()})


async def malformed(request: Request, error: Exception) -> JSONResponse:
    """Answer a body that a route could not take apart: told as the caller's mistake, without a trace."""
    method = request.scope.get("method", "socket")  # sockets come through here too, and have none
    logger.warning("%s %s: a malformed call (%s)", method, request.url.path, type(error).__name__)
    return JSONResponse({"detail": "The call could not be understood."}, status_code=400)


async def disk_trouble(request: Request, error: Exception) -> JSONResponse:
    """Answer a write that failed: most often the disk is full, and the live board, which writes nothing, goes on."""
    assert isinstance(error, OSError)
    logger.error("%s: %s", request.url.path, error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    told = "The server's disk is full; the drawing board still works." if full else "The server could not read or write a file."
    return JSONResponse({"detail": told}, status_code=507 if full else 503, headers={"retry-after": "60"})


def exception_handlers() -> dict[Any, Any]:
    """Handlers for `FastAPI(exception_handlers=...)`."""
    handlers: dict[Any, Any] = dict.fromkeys(MALFORMED, malformed)
    return {**handlers, OSError: disk_trouble}
