"""The drawing board's WebSocket: frames up, images down, nothing of one visitor ever to another."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.server.http.origins import CHECKED
from hypersd_app.server.http.tokens import TokenRefused
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.scheduling.limits import RateBucket, address_group, claimant, is_loopback
from hypersd_app.server.scheduling.memory import IMAGES_KEPT
from hypersd_app.server.scheduling.scheduler import Frame
from hypersd_app.server.service import BoardService, answer, error_answer
from hypersd_app.system import available_bytes

logger = logging.getLogger(__name__)

PAUSE = 0.25  # seconds for which who is over the rate is not read from
PING, PONG = "ping", Message(0, {"type": "pong"})  # a page that waits long for an image asks whether anybody is there

# Close codes; 4000 and up are ours to define.
REFUSED, TOO_MANY, IDLE, POLICY = 4401, 4429, 4408, 1008
SMALL = 3 * 256 * 256  # values of an image that is a JPEG sooner than another thread would wake up


def same_origin(websocket: WebSocket, allowed: tuple[str, ...] = ()) -> bool:
    """Whether the page that opened the socket came from this host: browsers send Origin, and CORS doesn't cover sockets."""
    origin = websocket.headers.get("origin")
    if origin is None or websocket.scope.get(CHECKED):
        return True  # not a browser; it still needs a token. Or one of the hosts that the settings allow
    host = urlsplit(origin).netloc
    own = (websocket.headers.get("host"), websocket.headers.get("x-forwarded-host"), *allowed)
    return bool(host) and host in own


class BoardSocket:
    """The socket endpoint; `serve` handles one connection from hello to close."""

    def __init__(self, service: BoardService) -> None:
        self._service = service
        self._open: Counter[str] = Counter()  # connections by address

    @property
    def sessions(self) -> int:
        """Connections open now."""
        return self._open.total()

    async def serve(self, websocket: WebSocket) -> None:
        """Check origin, number of sessions and token, then pump frames until either side leaves."""
        limits = self._service.limits
        if not same_origin(websocket, limits.allowed_origins):
            await websocket.close(POLICY)  # before accept: the browser sees a refused handshake
            return
        await websocket.accept()
        address = address_group(websocket.client.host) if websocket.client else ""
        full = self._full(address)
        if full:
            self._service.request_log.metrics.refused("boards")
            await websocket.close(TOO_MANY, f"{full} Come back in {limits.come_back_seconds:.0f} s.")
            return
        self._open[address] += 1
        try:
            await _Connection(websocket, self._service).serve()
        finally:
            self._open -= Counter([address])  # keeps no zeros

    def _full(self, address: str) -> str:
        """Why nobody more is let in from `address`, "" if there is room."""
        limits = self._service.limits
        if self.sessions >= limits.sessions:
            return "All drawing boards are taken."
        if not is_loopback(address) and self._open[address] >= limits.sessions_per_address:
            return "Too many boards are open at your address."
        if available_bytes() < limits.free_memory:
            return "The server is short of memory."
        return ""


class _Connection:
    """One open board. Its mailbox is named after the connection, so a copied token reaches nobody's images."""

    def __init__(self, websocket: WebSocket, service: BoardService) -> None:
        self._websocket = websocket
        self._service = service
        self._address = claimant(websocket.client.host) if websocket.client else ""
        self._visitor = f"socket-{secrets.token_hex(8)}"
        self._loop = asyncio.get_running_loop()
        self._outbox: asyncio.Queue[Frame | Message] = asyncio.Queue(maxsize=8)
        self._frames = RateBucket(service.limits.frames_per_second, service.limits.burst)
        self._bytes = RateBucket(service.limits.bytes_per_second, max(service.limits.bytes_per_second, service.limits.frame_bytes))

    async def serve(self) -> None:
        """Until the visitor leaves, falls silent or misbehaves."""
        sender: asyncio.Task[None] | None = None
        try:
            if not await self._greeted():
                return
            sender = asyncio.create_task(self._send_all())
            await self._receive_all()
        except WebSocketDisconnect:
            logger.debug("%s left", self._visitor)
        finally:
            self._service.forget(self._visitor)
            if sender is not None:
                sender.cancel()
                with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await sender

    async def _greeted(self) -> bool:
        limits = self._service.limits
        try:
            async with asyncio.timeout(limits.hello_seconds):
                hello = json.loads(await self._websocket.receive_text())
            self._service.signer.visitor(hello.get("token") if isinstance(hello, dict) else None)
        except (TimeoutError, ValueError, KeyError, RecursionError, TokenRefused) as error:
            await self._websocket.close(REFUSED, str(error)[:100])
            return False
        await self._websocket.send_json({"type": "ready"})
        return True

    async def _receive_all(self) -> None:
        limits = self._service.limits
        while True:
            try:
                async with asyncio.timeout(limits.idle_seconds):
                    event = await self._websocket.receive()
            except TimeoutError:
                await self._websocket.close(IDLE, "idle")
                return
            if event["type"] == "websocket.disconnect":
                return
            data = event.get("bytes")
            if data is None:
                if event.get("text") == PING and self._frames.take():
                    self._put(PONG)
                continue  # any other text is a keep-alive
            await self._take(data)

    async def _take(self, data: bytes) -> None:
        sequence, limits = int.from_bytes(data[:4], "little"), self._service.limits
        try:
            limits.check_frame(data)
        except InvalidRequest as error:
            # Told instead of cut off: a page that lost its connection would come back with the same frame.
            self._service.request_log.metrics.refused("frame")
            self._put(error_answer(sequence, error))
            await asyncio.sleep(max(PAUSE, len(data) / limits.bytes_per_second))
            return
        if not (self._frames.take() and self._bytes.take(len(data))):
            self._service.request_log.metrics.refused("rate")
            # Told as dropped, so that the page sends its newest later; who does not listen is read from more slowly.
            self._put(Frame(sequence, turn=PAUSE * 1000))
            await asyncio.sleep(min(PAUSE, max(self._frames.wait(), self._bytes.wait(len(data)))))
            return
        try:
            message: Message = unpack(data)
            # Decodes nothing: that waits for its turn.
            told = partial(self._loading, sequence)
            self._service.submit(self._visitor, message, self._deliver, loading=told, address=self._address)
        except HyperSDError as error:
            self._put(error_answer(sequence, error))

    def _deliver(self, frame: Frame) -> None:
        """Called on the device thread."""
        if frame.result is not None:  # of several images only the first is sent: the others need not wait for that
            frame = replace(frame, result=replace(frame.result, pixels=frame.result.pixels[:1]))
        with suppress(RuntimeError):  # the loop is closed: the server is going down
            self._loop.call_soon_threadsafe(self._put, frame)

    def _loading(self, sequence: int, share: float, words: str) -> None:
        """Called on a thread that loads a model."""
        head = {"type": "loading", "seq": sequence, "share": round(share, 3), "message": words}
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._put_aside, Message(sequence, head))

    def _put_aside(self, item: Message) -> None:
        """Tell what may be left out: nothing that a frame waits for makes room for it."""
        if self._outbox.empty():
            self._outbox.put_nowait(item)

    def _put(self, item: Frame | Message) -> None:
        if self._outbox.full():
            self._outbox.get_nowait()  # a visitor who does not read gets the newest, not a growing queue
        if isinstance(item, Frame) and item.result is not None:
            self._make_room_for_an_image()
        self._outbox.put_nowait(item)

    def _make_room_for_an_image(self) -> None:
        """Leave out older images that nobody has read: each is megabytes, and a newer one is shown in its place."""
        items = [self._outbox.get_nowait() for _ in range(self._outbox.qsize())]
        images = [id(item) for item in items if isinstance(item, Frame) and item.result is not None]
        for item in items:
            if id(item) not in images[: max(0, len(images) + 1 - IMAGES_KEPT)]:
                self._outbox.put_nowait(item)

    async def _send_all(self) -> None:
        while True:
            item = await self._outbox.get()
            await self._send(item if isinstance(item, Message) else await self._answered(item))

    @staticmethod
    async def _answered(frame: Frame) -> Message:
        """The answer, its image encoded beside the loop unless it is so small that the way there would take longer."""
        images = () if frame.result is None else frame.result.pixels
        small = all(image.size <= SMALL for image in images)
        return answer(frame) if small else await asyncio.to_thread(answer, frame)

    async def _send(self, reply: Message) -> None:
        if reply.image:
            await self._websocket.send_bytes(pack(reply))
            return
        head: dict[str, Any] = dict(reply.head)
        await self._websocket.send_json(head)
