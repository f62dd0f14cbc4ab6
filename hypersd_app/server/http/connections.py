"""Connections that cost nothing to keep open cost us a file descriptor each: who says nothing for long is hung up on.

uvicorn waits for ever for the rest of a request, and for whoever doesn't read what was written.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

SHARE_OF_FILES = 0.6  # of the descriptors this process may have; the rest is for models, uploads and sockets
TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a connection may keep us waiting, in seconds, and how many may be open."""

    header_seconds: float = 15.0  # from the first byte, or from connecting, to the end of the headers
    body_seconds: float = 20.0  # without a byte of the body
    body_rate: float = 1000.0  # bytes per second of a body on average, after `body_seconds`
    write_seconds: float = 60.0  # in which nothing of an answer is read
    connections: int = 1000
    look_seconds: float = 2.0  # between two looks at a connection


def open_files() -> int:
    """How many connections this process may hold."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return Patience.connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, int(min(soft, 100_000) * SHARE_OF_FILES))


class PatientMixin:
    """Added to uvicorn's HTTP protocol. Looks at its own connection every few seconds."""

    patience = Patience()
    waiting: dict[PatientMixin, None]  # connections without a whole request, oldest first; one per server

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection came in; the longest-waiting one has to go if there are too many."""
        super().connection_made(transport)  # type: ignore[misc]
        now = self.loop.time()  # type: ignore[attr-defined]
        self._since, self._heard, self._taken = now, now, 0
        self._blocked: float | None = None
        self.waiting[self] = None
        if len(self.connections) > self.patience.connections:  # type: ignore[attr-defined]
            self._make_room()
        self._look_again()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        self._heard = self.loop.time()  # type: ignore[attr-defined]
        if self._idle() and self not in self.waiting:  # the first ones of another request
            self._since, self._taken = self._heard, 0
            self.waiting[self] = None
        self._taken += len(data)
        super().data_received(data)  # type: ignore[misc]
        if not self._idle():
            self.waiting.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop()
        super().connection_lost(exc)  # type: ignore[misc]

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        """From here on the board's own limits hold."""
        self._stop()
        super().handle_websocket_upgrade(*arguments)  # type: ignore[misc]

    def pause_writing(self) -> None:
        """What was written is not read."""
        self._blocked = self.loop.time()  # type: ignore[attr-defined]
        super().pause_writing()  # type: ignore[misc]

    def resume_writing(self) -> None:
        """It is read again."""
        self._blocked = None
        super().resume_writing()  # type: ignore[misc]

    def _idle(self) -> bool:
        """Whether no request is being answered or read past its headers."""
        return bool(self.cycle is None or self.cycle.response_complete)  # type: ignore[attr-defined]

    def _look_again(self) -> None:
        self._timer = self.loop.call_later(self.patience.look_seconds, self._look)  # type: ignore[attr-defined]

    def _stop(self) -> None:
        self.waiting.pop(self, None)
        self._timer.cancel()

    def _look(self) -> None:
        if self._too_slow(self.loop.time()):  # type: ignore[attr-defined]
            self._hang_up()
        else:
            self._look_again()

    def _too_slow(self, now: float) -> bool:
        patience = self.patience
        if self._blocked is not None:
            return bool(now - self._blocked > patience.write_seconds)
        if self in self.waiting:
            return bool(now - self._since > patience.header_seconds)
        if self._idle() or not self.cycle.more_body or self.flow.read_paused:  # type: ignore[attr-defined]
            return False  # kept alive, which uvicorn bounds; or it is us that it waits for
        spent = now - self._since
        silent = now - self._heard > patience.body_seconds
        return bool(silent or (spent > patience.body_seconds and self._taken < spent * patience.body_rate))

    def _hang_up(self) -> None:
        transport: asyncio.Transport = self.transport  # type: ignore[attr-defined]
        self.waiting.pop(self, None)
        if self._blocked is None and (self.cycle is None or not self.cycle.response_started):  # type: ignore[attr-defined]
            transport.write(TIMED_OUT)
            transport.close()
        else:
            transport.abort()

    def _make_room(self) -> None:
        oldest = next((other for other in self.waiting if other is not self), None)
        if oldest is not None:
            oldest._hang_up()


@functools.lru_cache(maxsize=8)
def patient(protocol: type[Any], patience: Patience) -> type[Any]:
    """uvicorn's HTTP protocol with patience that ends."""
    return type(f"Patient{protocol.__name__}", (PatientMixin, protocol), {"patience": patience, "waiting": {}})


def limit_connections(config: Any, patience: Patience | None = None, message_bytes: int = 0) -> None:
    """Make a running uvicorn use it for every connection from now on. `config` is its uvicorn.Config, loaded.

    A socket's message that is larger than `message_bytes` ends it; 0 leaves uvicorn's own limit.
    """
    chosen = patience or Patience(connections=open_files())
    config.http_protocol_class = patient(config.http_protocol_class, chosen)
    config.ws_max_queue = 1  # messages that wait to be taken; uvicorn would keep 32 for each socket
    if message_bytes:
        config.ws_max_size = message_bytes
    # What is never accepted must not pile up either: asyncio would log every failed accept().
    logging.getLogger("asyncio").addFilter(_once_in_a_while)


def _once_in_a_while(record: logging.LogRecord) -> bool:
    """Without descriptors asyncio logs a stack for each connection; the message is enough."""
    if "out of system resource" in record.getMessage():
        record.exc_info = None
    return True
