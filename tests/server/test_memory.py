"""What a visitor leaves behind when they leave, and what a thread does that drew: nothing that grows with their number."""

from __future__ import annotations

import gc
import threading
import time
from asyncio import Task
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import CoroutineType

import pytest
import uvicorn
from gradio.state_holder import SessionState
from starlette.applications import Starlette
from starlette.websockets import WebSocket

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.bench.load.bench import draw
from hypersd_app.bench.load.server import RunningServer
from hypersd_app.bench.load.visitor import Tally
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.server.http.routes import studio_routes
from hypersd_app.server.observability.health import Readiness
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.service import BoardService
from hypersd_app.ui.app import PAGES_A_BOARD
from tests.support.allocator import THREADS, build, heaps
from tests.support.event_loop import run_apart
from tests.support.fake_engine import FakeEngine
from tests.support.studio import served

OURS = ("hypersd_app.server.", "hypersd_app.engine.")
THEIRS = (WebSocket, Task, CoroutineType)
VISITS = 24


def test_pages_that_are_no_longer_looked_at_are_forgotten() -> None:
    async def opened(address: str, pages: int) -> None:
        server = RunningServer(address)
        await server.open()
        for _ in range(pages):
            await server.token()
        await server.close()

    boards = 2
    with served(limits=BoardLimits(sessions=boards)) as studio:
        before = living()[SessionState.__name__]
        run_apart(opened(studio.address, 5 * PAGES_A_BOARD * boards))
        assert 0 < living()[SessionState.__name__] - before <= PAGES_A_BOARD * boards


@pytest.fixture
def visited() -> Iterator[tuple[BoardService, Visits]]:
    engine = FakeEngine(delay=0.005)
    service = BoardService(engine)
    app = Starlette(routes=studio_routes(engine, service, Readiness()))
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield service, Visits(engine, service, f"ws://127.0.0.1:{server.config.port}/studio/board")
    server.should_exit = True
    thread.join(5)
    service.close()


class Visits:
    """Scripted visitors who come, draw and leave or vanish, on a server of the socket alone."""

    def __init__(self, engine: FakeEngine, service: BoardService, socket_address: str) -> None:
        self.engine = engine
        self.socket_address = socket_address
        self._service = service

    async def token(self) -> str:
        return self._service.signer.issue()

    def happen(self, least: int) -> None:
        """So many visits, or a few more."""
        made, end = 0, time.monotonic() + 60
        while made < least:
            assert time.monotonic() < end, f"only {made} visits"
            tallies: list[Tally] = run_apart(draw(self, 4, 1.0, ["ink"], 0.1))  # type: ignore[arg-type]
            made += sum(tally.reconnects for tally in tallies)


@pytest.mark.slow
def test_a_visit_leaves_nothing_behind(visited: tuple[BoardService, Visits]) -> None:
    service, visits = visited
    visits.happen(4)  # what is made once for all visitors
    before = settled(visits.engine)
    visits.happen(VISITS)
    left = settled(visits.engine) - before
    assert max(left.values(), default=0) < VISITS / 4, left
    assert service.waiting() == (0, 0)


def settled(engine: FakeEngine) -> Counter[str]:
    """What lives once the last connections have ended."""
    engine.requests.clear()
    fewest = living()
    for _ in range(4):
        time.sleep(0.3)
        fewest &= living()
    return fewest


def living() -> Counter[str]:
    """Objects that only a visit makes, by kind."""
    gc.collect()
    kinds = Counter(type(thing) for thing in gc.get_objects())
    return Counter(
        {kind.__name__: n for kind, n in kinds.items() if kind in (*THEIRS, SessionState) or str(kind.__module__).startswith(OURS)}
    )


@pytest.mark.skipif(heaps() == 0, reason="the C library does not tell its heaps")
def test_threads_of_the_drawing_process_share_one_heap() -> None:
    worker = WorkerEngine(build, FakeEngine())
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(worker.generate, [GenerationRequest("a cat")] * THREADS))
        found = worker.status()
        assert found["threads"] >= THREADS and found["heaps"] == 1
    finally:
        worker.close()
