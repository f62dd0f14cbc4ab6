"""One network address that does its worst: calls of the longest requests under invented sessions, boards, uploads, slow lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from hypersd_app.bench.load.server import RunningServer
from hypersd_app.server.http.wire import Message, pack

ADDRESS = "198.51.100.7"  # a documentation address, as a proxy would tell it
CALLS, BOARDS, UPLOADS, LINES, NOISES = 44, 24, 8, 120, 4
LONGEST = {"num_inference_steps": 50, "num_images": 8, "recipe": "teacher"}
# Strokes, each dear in its way: the longest, the longest that few steps allow, and batches of those that all want alike.
STROKES = (
    LONGEST,
    {**LONGEST, "num_inference_steps": 8},
    {"num_inference_steps": 8, "recipe": "unified"},
    {"num_inference_steps": 4},
)
PAUSE = 0.05  # seconds after a refusal: whoever attacks does not wait as he is told
TROUBLE = (httpx.HTTPError, OSError, ConnectionClosed, InvalidHandshake, TimeoutError, KeyError, ValueError)
NICENESS = 10  # of the attack's process: on a machine of its own it would take no processor time from the studio
NOISE = (b"[" * 3000, b'{"data": ' + b"9" * 5000, b"\xff\xfe", b'{"data": ["\\ud800"]}', b"{}")


class Hostile:
    """All of it at once, while the block runs. `answers` counts what it was told.

    `pause` is in seconds between an answer and the next request of each: at the least, an attacker on the same machine takes
    as much of its processor as the studio has left.
    """

    def __init__(self, address: str, pause: float = PAUSE) -> None:
        self._pause = pause
        self._server = RunningServer(address, ADDRESS)
        self._http = httpx.AsyncClient(timeout=60.0, headers=self._server.headers, limits=httpx.Limits(max_connections=None))
        self._tasks: list[asyncio.Task[None]] = []
        self.answers: Counter[str] = Counter()

    async def __aenter__(self) -> Hostile:
        await self._server.open()
        kinds: tuple[tuple[Callable[[], Coroutine[Any, Any, None]], int], ...] = (
            (self._call, CALLS), (self._board, BOARDS), (self._upload, UPLOADS), (self._line, LINES), (self._noise, NOISES),
        )  # fmt: skip
        self._tasks = [asyncio.create_task(self._again(once)) for once, count in kinds for _ in range(count)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()
        await self._server.close()

    async def _again(self, once: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            with contextlib.suppress(*TROUBLE):
                await once()
            await asyncio.sleep(self._pause)

    async def _post(self, path: str, **body: Any) -> None:
        reply = await self._http.post(f"{self._server.address}/gradio_api/{path}", **body)
        self.answers[str(reply.status_code)] += 1

    async def _call(self) -> None:
        data = [
            "a cat",
            LONGEST["num_inference_steps"],
            0,
            LONGEST["num_images"],
            "",
            LONGEST["recipe"],
            "",
            "",
            None,
            None,
            None,
            None,
        ]
        await self._post("run/text_to_image", json={"data": data, "session_hash": secrets.token_hex(6)})

    async def _board(self) -> None:
        token, stroke = await self._server.token(), random.choice(STROKES)
        async with connect(self._server.socket_address, additional_headers=self._server.headers, open_timeout=20) as board:
            await board.send(json.dumps({"token": token}))
            while True:
                head = {"prompt": "a cat", "model": "pocket", **stroke, "seed": random.randrange(2**32)}
                await board.send(pack(Message(random.randrange(2**32), head, secrets.token_bytes(1000))))
                await board.send(pack(Message(random.randrange(2**32), {**head, "num_images": 1})))
                await board.recv()
                self.answers["board"] += 1

    async def _upload(self) -> None:
        await self._post("upload", files={"files": ("x.png", secrets.token_bytes(2_000_000))})

    async def _noise(self) -> None:
        path = random.choice(("run/text_to_image", "queue/join", "component_server", "mcp/", "call/make_again"))
        await self._post(path, content=random.choice(NOISE), headers={"content-type": "application/json"})

    async def _line(self) -> None:
        """A request that is never sent to its end."""
        at = urlsplit(self._server.address)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            writer.write(f"POST /gradio_api/queue/join HTTP/1.1\r\nhost: {at.netloc}\r\nx-forwarded-for: {ADDRESS}\r\n".encode())
            if random.random() < 0.5:
                writer.write(b"content-length: 1000000\r\n\r\n{")
            await reader.read(1)
            self.answers["hung up on"] += 1
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def attack(address: str, pause: float = PAUSE) -> AsyncIterator[Counter[str]]:
    """`Hostile` in a process of its own, so that who measures beside it does not wait for it; yields what it will be told."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_attack, args=(address, pause, theirs), daemon=True)
    told = Counter[str]()
    process.start()
    theirs.close()
    try:
        await asyncio.to_thread(ours.recv)  # all is under way
        yield told
        ours.send("end")
        told.update(await asyncio.to_thread(ours.recv))
    finally:
        process.kill()
        process.join()
        ours.close()


def _attack(address: str, pause: float, end: Connection) -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    asyncio.run(_until_told(address, pause, end))


async def _until_told(address: str, pause: float, end: Connection) -> None:
    async with Hostile(address, pause) as hostile:
        end.send("begun")
        await asyncio.to_thread(end.recv)
        end.send(hostile.answers)
