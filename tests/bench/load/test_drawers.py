"""Scripted visitors against the socket over a fake engine: what they count, and that a crowd does not drown the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.applications import Starlette

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.bench.load.bench import draw, jain, summed
from hypersd_app.bench.load.server import RunningServer
from hypersd_app.bench.load.visitor import Tally
from hypersd_app.server.http.routes import studio_routes
from hypersd_app.server.observability.health import Readiness
from hypersd_app.server.service import BoardService
from tests.support.event_loop import run_apart
from tests.support.fake_engine import FakeEngine
from tests.support.studio import served

VISITORS = 12


@pytest.fixture(scope="module")
def address() -> Iterator[SimpleNamespace]:
    """A server of the socket alone, as the drawers know it."""
    engine = FakeEngine(delay=0.03)
    service = BoardService(engine)
    app = Starlette(routes=studio_routes(engine, service, Readiness()))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    async def token() -> str:
        return service.signer.issue()

    yield SimpleNamespace(token=token, socket_address=f"ws://127.0.0.1:{port}/studio/board", engine=engine)
    server.should_exit = True
    thread.join(5)
    service.close()


def test_a_crowd_draws_in_turn_and_nobody_sees_anothers_or_an_older_image(address: SimpleNamespace) -> None:
    tallies = run_apart(draw(address, VISITORS, 3.0, ["ink"], 0.0))  # type: ignore[arg-type]
    row = summed(VISITORS, tallies)
    assert row.sound and row.errors == row.lost == 0
    assert all(tally.images for tally in tallies)
    assert row.fairness > 0.9
    assert row.sent < 12 * sum(tally.images for tally in tallies), "states are sent when they have a chance to be drawn"


def test_visitors_come_and_go(address: SimpleNamespace) -> None:
    tallies = run_apart(draw(address, 4, 1.5, [], 0.4))  # type: ignore[arg-type]
    row = summed(4, tallies)
    assert row.sound and row.errors == 0 and sum(tally.reconnects for tally in tallies) > 4


def test_a_running_studio_says_its_styles_and_gives_passes() -> None:
    async def asked(address: str) -> tuple[list[str], str]:
        server = RunningServer(address)
        await server.open()
        answers = server.styles(), await server.token()
        await server.close()
        return answers

    with served() as studio:
        styles, token = run_apart(asked(studio.address))
        assert styles == ["ink", "clay", "neon"] and studio.studio.service.signer.visitor(token)


def test_fairness_is_jains_index() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1) and jain([1, 0, 0, 0]) == pytest.approx(0.25)
    assert not summed(1, [Tally(seconds=1, stale=1)]).sound
