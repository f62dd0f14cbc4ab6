"""One scripted visitor: draws strokes, sends states as the page does, and watches over what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hypersd_app.bench.load.server import RunningServer
from hypersd_app.server.http.wire import Message, pack, unpack

SIDE = 256
STROKES = 24  # different ones
STATES = 24  # of one stroke, each a little longer than the one before
IN_FLIGHT = 2  # as the page: one on the device and one on the way
SHORTEST_GAP, LONGEST_GAP = 0.034, 1.0  # seconds between states, as the page paces itself
PEN_UP = 0.15  # seconds between strokes
SUBJECTS = ("a cat", "a red apple", "a rocket", "a blue car", "a house", "a green frog", "a tree", "a fish")
LOST_AFTER = 20.0  # seconds without an answer


@dataclass(kw_only=True)
class Tally:
    """What one visitor saw. Times are seconds; `waits` runs from each state sent to the first image that shows it."""

    seconds: float = 0.0
    sent: int = 0
    images: int = 0
    dropped: int = 0
    errors: int = 0
    stale: int = 0  # images that came after a newer one: never shown, and never to come
    foreign: int = 0  # answers to what was not asked, or with another's seed
    lost: int = 0
    reconnects: int = 0
    batches: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wish:
    """What a stroke may be drawn with: a model, and a side of its in pixels, 0 for its own."""

    model: str = "pocket"
    side: int = 0

    @property
    def head(self) -> dict[str, Any]:
        """Its part of a frame's head."""
        return {"model": self.model, **({"width": self.side, "height": self.side} if self.side else {})}


class Drawer:
    """Draws until told to stop. `stay` is the mean of seconds after which a visitor leaves and another one comes.

    Every stroke takes one of `styles` or none, and one of `wishes`.
    """

    def __init__(
        self,
        server: RunningServer,
        number: int,
        styles: Sequence[str],
        stay: float = 0.0,
        wishes: Sequence[Wish] = (Wish(),),
    ) -> None:
        self._wishes = wishes
        self._server = server
        self._random = random.Random(number)
        self._styles = styles
        self._stay = stay
        self._number = number
        self.tally = Tally()

    async def run(self, until: float) -> None:
        """One visit after the other, until the clock of `time.perf_counter` says `until`."""
        while time.perf_counter() < until:
            leaving = until
            if self._stay > 0:
                leaving = min(until, time.perf_counter() + self._random.expovariate(1 / self._stay))
            started = time.perf_counter()
            try:
                await self._visit(leaving)
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as error:
                self.tally.errors += 1
                self.tally.messages.append(f"{type(error).__name__}: {error}"[:160])
                await asyncio.sleep(0.5)
            self.tally.seconds += time.perf_counter() - started

    async def _visit(self, leaving: float) -> None:
        token = await self._server.token()
        headers = getattr(self._server, "headers", None)
        async with connect(self._server.socket_address, max_size=None, open_timeout=20, additional_headers=headers) as socket:
            await socket.send(json.dumps({"token": token}))
            async with asyncio.timeout(20):
                await socket.recv()
            visit = _Visit(socket, self.tally, self._random, self._styles, self._number, self._wishes)
            await visit.draw(leaving)
            if self._stay > 0 and self._random.random() < 0.5:
                socket.transport.abort()  # half of those who leave just vanish, a frame in flight
        self.tally.reconnects += 1


class _Visit:
    """One open board."""

    def __init__(
        self,
        socket: ClientConnection,
        tally: Tally,
        chance: random.Random,
        styles: Sequence[str],
        number: int,
        wishes: Sequence[Wish],
    ) -> None:
        self._wishes = wishes
        self._wish = wishes[0]
        self._socket = socket
        self._tally = tally
        self._random = chance
        self._styles = styles
        self._seed = chance.randrange(2**32)
        self._prompt = SUBJECTS[number % len(SUBJECTS)]
        self._style: str | None = None
        self._sequence = 0
        self._shown = 0
        self._gap = 0.06
        self._sent: dict[int, float] = {}  # unanswered
        self._unseen: dict[int, float] = {}  # not yet part of a shown image
        self._answered = asyncio.Event()

    async def draw(self, leaving: float) -> None:
        """Stroke after stroke."""
        reader = asyncio.create_task(self._read())
        try:
            while time.perf_counter() < leaving and not reader.done():
                self._style = self._random.choice([None, *self._styles]) if self._styles else None
                self._wish = self._random.choice(self._wishes)
                for image in stroke_states(self._random.randrange(STROKES)):
                    await self._send(image)
                    if time.perf_counter() > leaving or reader.done():
                        break
                await asyncio.sleep(PEN_UP)
            if reader.done():
                reader.result()  # raises what ended it
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await reader

    async def _send(self, image: bytes) -> None:
        while len(self._sent) >= IN_FLIGHT:
            self._answered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOST_AFTER):
                    await self._answered.wait()
                continue
            self._tally.lost += len(self._sent)
            self._sent.clear()
        self._sequence += 1
        self._tally.sent += 1
        self._sent[self._sequence] = self._unseen[self._sequence] = time.perf_counter()
        await self._socket.send(pack(Message(self._sequence, self._head(), image)))
        await asyncio.sleep(self._gap)

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {"prompt": self._prompt, **self._wish.head, "num_inference_steps": 1, "seed": self._seed}
        return (
            head
            if self._style is None or self._wish.model != "pocket"
            else {**head, "styles": [{"name": self._style, "weight": 0.8}]}
        )

    async def _read(self) -> None:
        async for data in self._socket:
            if isinstance(data, bytes):
                message = unpack(data)
                self._image(message.sequence, message.head)
            else:
                self._told(json.loads(data))
            self._answered.set()

    def _told(self, head: dict[str, Any]) -> None:
        self._sent.pop(head["seq"], None)
        if head["type"] == "dropped":
            self._tally.dropped += 1
            self._gap = min(LONGEST_GAP, max(SHORTEST_GAP, head.get("turn", 0) / 2000))  # halfway to its turn
        else:
            self._tally.errors += 1
            self._tally.messages.append(str(head.get("message"))[:160])

    def _image(self, sequence: int, head: Any) -> None:
        now, tally = time.perf_counter(), self._tally
        if self._sent.pop(sequence, None) is None or head["seed"] != self._seed:
            tally.foreign += 1
        if sequence <= self._shown:
            tally.stale += 1
            return
        self._shown = sequence
        tally.images += 1
        tally.batches.append(int(head.get("batch", 1)))
        for earlier in [other for other in self._unseen if other <= sequence]:
            tally.waits.append(now - self._unseen.pop(earlier))
        rendered = head["ms"].get("rendered", 0.0) / 1000
        self._gap = min(LONGEST_GAP, max(SHORTEST_GAP, 0.7 * self._gap + 0.3 * rendered))


@functools.cache
def stroke_states(number: int) -> list[bytes]:
    """PNGs of a stroke as it grows, ink on transparent paper like the page's. Drawn once: the load is on the server."""
    chance = random.Random(number)
    points, angle = [(chance.uniform(60, 196), chance.uniform(60, 196))], chance.uniform(0, math.tau)
    for _ in range(2 * STATES):
        angle += chance.uniform(-0.7, 0.7)
        x, y = points[-1]
        points.append((min(240, max(16, x + 9 * math.cos(angle))), min(240, max(16, y + 9 * math.sin(angle)))))
    paper = Image.new("RGBA", (SIDE, SIDE))
    pen, states = ImageDraw.Draw(paper), []
    for i in range(STATES):
        pen.line(points[2 * i : 2 * i + 3], fill=(34, 37, 43, 255), width=9, joint="curve")
        buffer = io.BytesIO()
        paper.save(buffer, "PNG", compress_level=1)
        states.append(buffer.getvalue())
    return states
