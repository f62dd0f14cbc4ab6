"""What stands before every HTTP route, Gradio's own included: bodies of bounded size, calls at a bounded rate, no traces."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypersd_app.server.http.answers import refuse, retry_after, status_of, watch_outcome
from hypersd_app.server.http.bodies import BodyMemory, HeldBody
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.scheduling.limits import MEGABYTE, AddressBuckets, BoardLimits, address_group, is_loopback
from hypersd_app.system import available_bytes

logger = logging.getLogger(__name__)

BULKY = ("/upload", "/component_server")  # routes that take files
WRITING = ("POST", "PUT", "PATCH", "DELETE")
SLOW = ("/run/", "/api/", "/call/", "/queue/join", "/component_server", "/mcp")  # routes that may draw
WHOLE = "/mcp"  # routes whose bodies are looked at before they are passed on
MOST_BRACKETS = 800  # in such a body; a parser of JSON runs out of stack at a thousand one in another
PUT_OFF = 0.5  # seconds until somebody is told that it was too much
BUSY_SECONDS = 5  # until somebody whose calls are all under way may try again

# What code runs into that takes a body apart without looking first. Our own routes look; Gradio's answer these with 500.
MALFORMED = (AttributeError, KeyError, IndexError, TypeError, ValueError, ArithmeticError, RecursionError, AssertionError)


@dataclass(frozen=True)
class Bounds:
    """What one body may have: bytes in all, bytes in memory, and whose memory it is."""

    most: int
    in_memory: int
    address: str
    body: HeldBody


class HttpGuard:
    """ASGI middleware. Who asks too much is told when to come back; counted by address, since session hashes are made up."""

    def __init__(self, app: ASGIApp, limits: BoardLimits, metrics: Metrics, upload_bytes: int, file_bytes: int = 0) -> None:
        """`file_bytes` is the most that a file may have which is sent by itself, where that is more than other calls may."""
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._upload_bytes = upload_bytes
        self._file_bytes = max(file_bytes, upload_bytes)
        self._buckets = AddressBuckets(limits.calls_per_second, limits.call_burst)
        self._running: Counter[str] = Counter()  # slow calls by address that are answered at the moment
        self._bodies = BodyMemory(limits)
        largest = max(2 * self._file_bytes, limits.body_bytes)
        self._sent = AddressBuckets(limits.bytes_per_second, largest)

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
            await self._put_off(send, f"Too many requests. Try again in {math.ceil(wait)} s.", math.ceil(wait))
            return
        slow = any(part in scope["path"] for part in SLOW)
        if slow and available_bytes() < self._limits.free_memory:
            self._metrics.refused("memory")
            await refuse(send, 503, "The server is short of memory.", BUSY_SECONDS)
            return
        if is_loopback(address) or not slow:
            await self._bounded(scope, receive, send, group)
            return
        under_way = self._running[group] + queued(scope.get("app"), group)
        if under_way >= self._limits.calls_per_address:
            self._metrics.refused("busy")
            told = f"{under_way} calls of your address are under way; at most {self._limits.calls_per_address} may be."
            await self._put_off(send, f"{told} Try again in {BUSY_SECONDS} s.", BUSY_SECONDS)
            return
        self._running[group] += 1
        try:
            await self._bounded(scope, receive, send, group)
        finally:
            self._running -= Counter([group])  # keeps no zeros

    @staticmethod
    async def _put_off(send: Send, message: str, seconds: int) -> None:
        """Refuse after a while: an answer at once would be the next request at once, and cost those who wait their turn."""
        await asyncio.sleep(PUT_OFF)
        await refuse(send, 429, message, seconds)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send, group: str) -> None:
        """Pass a request on whose body is neither too large nor one too many."""
        bulky = scope["path"].rstrip("/").endswith(BULKY)
        alone = scope["path"].rstrip("/").endswith(BULKY[0])
        largest = self._file_bytes if alone else self._upload_bytes
        most = largest + MEGABYTE if bulky else self._limits.body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not (declared.isdigit() and len(declared) < 20) or int(declared) > most:
            self._metrics.refused("body")
            await refuse(send, 413, f"The request is too large; at most {most // MEGABYTE} MB are taken.")
            return
        in_memory = MEGABYTE if bulky else most  # uploads are written to a file as they come
        expected = min(int(declared), in_memory)
        if not self._bodies.room(group, expected):
            self._metrics.refused("bodies")
            await refuse(send, 503, "Too much is being sent at once.", BUSY_SECONDS)
            return
        wait = 0.0 if is_loopback(group) else self._sent.retry_after(group, int(declared))
        if wait > 0:
            self._metrics.refused("bytes")
            await self._put_off(send, f"Too many bytes. Try again in {math.ceil(wait)} s.", math.ceil(wait))
            return
        with self._bodies.body(group, expected) as body:
            await self._watched(scope, receive, send, Bounds(most, in_memory, group, body))

    async def _watched(self, scope: Scope, receive: Receive, send: Send, bounds: Bounds) -> None:
        """Cut a body off that grows too large, and answer errors of ours with their status."""
        taken = 0
        outcome = watch_outcome()

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            more = min(taken, bounds.in_memory) - bounds.body.size  # sent in chunks, without saying how much would come
            if taken > bounds.most or (more > 0 and not self._bodies.room(bounds.address, more)):
                self._metrics.refused("body")
                return {"type": "http.disconnect"}
            bounds.body.grow(min(taken, bounds.in_memory))
            return message

        async def judged(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 500 and outcome.error is not None:
                # Gradio answers every error so; its body says what ours is.
                message = {**message, "status": status_of(outcome.error)}
                if seconds := retry_after(outcome.error):
                    MutableHeaders(raw=message["headers"])["retry-after"] = str(seconds)
            await send(message)

        if WHOLE in scope["path"]:
            body, whole = await read_whole(counted)
            if body and not is_json(body):
                self._metrics.refused("body")
                await refuse(send, 400, f"The request is no JSON, or has more than {MOST_BRACKETS} lists and objects.")
                return
            await self._app(scope, whole, judged)
            return
        await self._app(scope, counted, judged)


def is_json(body: bytes) -> bool:
    """Whether a body is JSON that every parser can take, whatever it stands on already."""
    if body.count(b"[") + body.count(b"{") > MOST_BRACKETS:
        return False
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


async def read_whole(receive: Receive) -> tuple[bytes, Receive]:
    """A request's body, and a `receive` that gives it once more before what comes next."""
    messages = [await receive()]
    while messages[-1].get("more_body", False):
        messages.append(await receive())
    body, given = b"".join(message.get("body", b"") for message in messages), iter(messages)

    async def again() -> Message:
        message = next(given, None)
        return await receive() if message is None else message

    return body, again


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
