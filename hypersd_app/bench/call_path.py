"""`python -m hypersd_app.bench.call_path`: which files one stroke passes through, from the board's socket to the image's bytes.

A profile hook in the server process and in the drawing process notes every call of this package's functions. A call's caller
is the nearest function of this package on the same thread's stack, whatever libraries stand between the two.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.websockets import WebSocket

from hypersd_app.bench.load.visitor import stroke_states
from hypersd_app.catalog.catalog import Catalog
from hypersd_app.server.engines.factory import build_engine
from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.server.http.board_socket import BoardSocket
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.service import BoardService
from hypersd_app.settings import Settings, from_environment

PACKAGE = str(Path(__file__).resolve().parents[1])
OWN = str(Path(__file__).resolve())
WARM_UP = 5  # strokes that are not counted: they load, compile and fill caches
SETTLE = 0.3  # seconds in which the scheduler finishes its books after the image has left
HEAD = {"prompt": "a red apple", "model": "pocket", "num_inference_steps": 1, "seed": 7}

Edge = tuple[str, str]  # files of caller and callee, relative to the package


@functools.cache
def file_of(path: str) -> str:
    """The file relative to the package, "" for files of other packages and for this one."""
    return path[len(PACKAGE) + 1 :] if path.startswith(PACKAGE) and path != OWN else ""


def package_of(file: str) -> str:
    """The top-level package or module that a file belongs to."""
    return file.split("/")[0].removesuffix(".py")


@dataclass
class CallPath:
    """Calls by caller's and callee's file. `crossings` are calls from one top-level package into another."""

    calls: int = 0
    touched: set[str] = field(default_factory=set)
    edges: Counter[Edge] = field(default_factory=Counter)

    @property
    def files(self) -> int:
        """Distinct files."""
        return len(self.touched)

    @property
    def across_files(self) -> int:
        """Calls from one file into another."""
        return self.edges.total()

    @property
    def crossings(self) -> int:
        """Calls from one top-level package into another."""
        return sum(count for (caller, callee), count in self.edges.items() if package_of(caller) != package_of(callee))

    def __add__(self, other: CallPath) -> CallPath:
        return CallPath(self.calls + other.calls, self.touched | other.touched, self.edges + other.edges)

    def table(self) -> str:
        """The figures, then every pair of files of different packages, then the others."""
        lines = [f"{self.files} files, {self.calls} calls, {self.across_files} across files, {self.crossings} across packages"]
        ordered = sorted(self.edges.items(), key=lambda row: (package_of(row[0][0]) == package_of(row[0][1]), -row[1], row[0]))
        for (caller, callee), count in ordered:
            mark = " " if package_of(caller) == package_of(callee) else "*"
            lines.append(f"{mark}{count:4} {caller} -> {callee}")
        return "\n".join([*lines, "files: " + " ".join(sorted(self.touched))])


class Recorder:
    """A profile hook for every thread of a process; it notes calls while `armed`."""

    def __init__(self) -> None:
        self.armed = False
        self._lock = threading.Lock()
        self._path = CallPath()

    def install(self) -> None:
        """Watch this thread and all that start from now on."""
        threading.setprofile(self._hook)
        sys.setprofile(self._hook)

    def remove(self) -> None:
        """Watch no new threads, nor this one."""
        threading.setprofile(None)
        sys.setprofile(None)

    def taken(self) -> CallPath:
        """What was noted since the last time this was asked."""
        with self._lock:
            path, self._path = self._path, CallPath()
        return path

    def _hook(self, frame: FrameType, event: str, _argument: object) -> None:
        if not self.armed or event != "call":
            return
        callee = file_of(frame.f_code.co_filename)
        if not callee:
            return
        caller, outer = "", frame.f_back
        while outer is not None and not caller:
            caller = file_of(outer.f_code.co_filename)
            outer = outer.f_back
        with self._lock:
            self._path.calls += 1
            self._path.touched.add(callee)
            if caller and caller != callee:
                self._path.edges[caller, callee] += 1


def build_recorded(settings: Settings) -> Any:
    """The engine of the drawing process; its status also tells the calls since the status was last asked for."""
    from hypersd_app.engine import model_manager  # brings torch into the drawing process alone

    model_manager.LOOK_EVERY = float("inf")  # twice a second a stroke also looks whether files were replaced: not this one
    recorder = Recorder()
    engine: Any = build_engine(settings)
    status = engine.status

    def recorded_status() -> Mapping[str, Any]:
        recorder.armed = False
        told, path = dict(status()), recorder.taken()
        recorder.armed = True
        return {**told, "calls": path.calls, "touched": sorted(path.touched), "edges": [*path.edges.items()]}

    engine.status = recorded_status
    recorder.armed = True
    recorder.install()
    return engine


def drawing_path(engine: WorkerEngine) -> CallPath:
    """What the drawing process noted since it was last asked."""
    status = engine.status()
    return CallPath(status["calls"], set(status["touched"]), Counter(dict(status["edges"])))


class Board:
    """One drawing board on a socket that is a pair of queues: what a server sends and receives, without a network."""

    def __init__(self, service: BoardService) -> None:
        self._service = service
        self._up: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._down: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._sequence = 0

    async def open(self) -> None:
        """Connect and say hello."""
        scope = {
            "type": "websocket",
            "headers": [],
            "client": ("127.0.0.1", 1),
            "subprotocols": [],
            "path": "/",
            "query_string": b"",
        }
        websocket = WebSocket(scope, self._receive, self._send)
        self._serving = asyncio.create_task(BoardSocket(self._service).serve(websocket))
        await self._up.put({"type": "websocket.connect"})
        await self._up.put({"type": "websocket.receive", "text": json.dumps({"token": self._service.signer.issue()})})
        while "text" not in await self._down.get():
            pass

    async def _receive(self) -> dict[str, Any]:
        return await self._up.get()

    async def _send(self, message: Any) -> None:
        await self._down.put(dict(message))

    async def draw(self) -> bytes:
        """Send one state of a stroke; the image that comes back. Raises AssertionError for an error in its place."""
        self._sequence += 1
        sketch = stroke_states(0)[self._sequence % 20 + 1]
        await self._up.put({"type": "websocket.receive", "bytes": pack(Message(self._sequence, HEAD, sketch))})
        while (reply := await self._down.get()).get("bytes") is None:
            assert json.loads(reply["text"])["type"] != "error", reply["text"]
        return unpack(reply["bytes"]).image

    async def close(self) -> None:
        """Leave."""
        await self._up.put({"type": "websocket.disconnect", "code": 1000})
        await self._serving


async def stroke_path(service: BoardService, engine: WorkerEngine, recorder: Recorder) -> CallPath:
    """The path of one stroke after some others, in both processes."""
    board = Board(service)
    await board.open()
    for _ in range(WARM_UP):
        await board.draw()
    await asyncio.sleep(SETTLE)
    await asyncio.to_thread(drawing_path, engine)
    recorder.armed = True
    assert await board.draw()
    await asyncio.sleep(SETTLE)
    recorder.armed = False
    path = recorder.taken() + await asyncio.to_thread(drawing_path, engine)
    await board.close()
    return path


def measure(settings: Settings) -> CallPath:
    """The path of one stroke through a server process and a drawing process made for it. Raises HyperSDError."""
    recorder = Recorder()
    recorder.install()
    engine = WorkerEngine(functools.partial(build_recorded, settings), Catalog(settings))
    try:
        engine.warm_up(settings.default_model)
        service = BoardService(engine)
        path = asyncio.run(stroke_path(service, engine, recorder))
        service.close()
        return path
    finally:
        recorder.remove()
        engine.close()


if __name__ == "__main__":
    sys.stdout.write(measure(from_environment()).table() + "\n")
