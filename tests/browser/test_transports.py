"""How frames reach the server when the network, a proxy or the server itself is in the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from hypersd_app.errors import NoGpu
from hypersd_app.requests import GenerationRequest
from tests.support.bad_network import bad_network
from tests.support.board_page import WAIT, BoardPage, drop
from tests.support.fake_engine import FakeEngine
from tests.support.studio import Served, served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]

TRANSPORTS = ("socket", "call", "event")
NO_SOCKETS = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 }), 5); } close() {} };"
# Every state the board was in, and all it said of itself.
NOTE_STATES = """() => {
    const { board, told, stateText } = hypersd.board;
    window.states = [];
    window.words = [];
    new MutationObserver(() => window.states.push(board.dataset.state)).observe(board, { attributeFilter: ["data-state"] });
    const listen = (element) => new MutationObserver(() => window.words.push(element.textContent))
        .observe(element, { childList: true, characterData: true, subtree: true });
    listen(told);
    listen(stateText);
}"""


def transport(board: BoardPage) -> str:
    """The name of the way the board's frames take."""
    return str(board.value("hypersd.board.link.transport.name"))


@pytest.fixture(params=TRANSPORTS)
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


def test_a_handshake_that_is_never_answered_is_given_up(studio: Served, visitor: Visitor) -> None:
    with bad_network(studio.port, holds_handshakes=True) as network:
        board = visitor(network.address).open()
        assert transport(board) == "call"
        board.stroke((0.2, 0.2), (0.8, 0.8))
        board.settle()
        assert board.errors == []


def test_where_calls_fail_too_events_carry_the_frames(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address)
    board.page.add_init_script(NO_SOCKETS)
    board.page.route("**/component_server/**", lambda route: route.abort())
    board.open()
    assert transport(board) == "event"
    before = board.image()
    board.stroke((0.2, 0.2), (0.8, 0.8))
    board.settle()
    assert board.image() != before


def test_calls_whose_frames_fail_are_given_up(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address, "?transport=call")
    refuse = lambda route: route.abort() if b"board_frame" in (route.request.post_data_buffer or b"") else route.continue_()  # noqa: E731
    board.page.route("**/component_server/**", refuse)
    board.open()
    assert transport(board) == "event", "tokens come through, frames do not"


def test_zero_gpu_is_reached_by_events_from_the_start(monkeypatch: pytest.MonkeyPatch, visitor: Visitor) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    with served() as running:
        board = visitor(running.address).open()
        assert transport(board) == "event"
        board.stroke((0.2, 0.2), (0.8, 0.8))
        board.settle()


@dataclass
class LendingEngine(FakeEngine):
    """Its device is lent by the call."""

    def lent_seconds(self, requests: Sequence[GenerationRequest]) -> list[int]:
        return [6 + len(requests)]


def test_a_grid_on_zero_gpu_tells_its_seconds_and_is_one_call(monkeypatch: pytest.MonkeyPatch, visitor: Visitor) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    with served(LendingEngine()) as running:
        board = visitor(running.address).open()
        page, engine = board.page, running.engine
        board.wait_for("hypersd.board.strip.idle !== false && hypersd.board.link.idle")
        page.get_by_role("tab", name="Compare").click()
        page.locator(".hs-c-xs").fill("1 | 2 | 4")
        page.locator(".hs-c-run").click()
        expect(page.locator(".hs-compare .hs-notice").first).to_contain_text("3 images take about 9 s", timeout=WAIT)
        assert page.locator(".hs-cell").count() == 0, "nothing is drawn before"
        page.locator(".hs-c-run").click()
        expect(page.locator(".hs-cell img[src]")).to_have_count(3, timeout=WAIT)
        assert engine.batches.count(3) == 1
        engine.failure = NoGpu("ZeroGPU quota exceeded: Try again in 0:10:00.")
        page.locator(".hs-c-run").click()
        page.locator(".hs-c-run").click()
        expect(page.locator(".hs-compare .hs-notice").first).to_contain_text("Try again in 0:10:00", timeout=WAIT)
        expect(page.locator(".hs-c-run")).to_have_text("Compare")


def test_a_dead_connection_is_noticed_and_replaced(way: str, studio: Served, visitor: Visitor) -> None:
    with bad_network(studio.port) as network:
        board = visitor(network.address, f"?transport={way}").open()
        board.stroke((0.2, 0.2), (0.8, 0.2))
        board.settle()
        board.value("hypersd.board.strip.element.remove()")  # its calls would find out too
        network.fall_silent()
        board.stroke((0.2, 0.6), (0.8, 0.6))
        board.expect_state("offline")
        assert not board.value("hypersd.board.notice.hidden"), "which is told"
        board.stroke((0.2, 0.8), (0.8, 0.8))
        points = board.points()
        network.recover()
        board.page.evaluate("() => window.dispatchEvent(new Event('online'))")
        # Gradio may reload the page when its own connections come back; either way strokes and a live image return.
        board.wait_for("window.hypersd && hypersd.board && hypersd.board.link && hypersd.board.link.transport.ready")
        board.page.get_by_role("tab", name="Drawing board").click()
        board.wait_for("window.hypersd && hypersd.board && hypersd.board.image && hypersd.board.link.idle")
        assert board.points() == points and len(points) == 3
        board.settle()


def test_a_slow_image_is_no_lost_connection(way: str, studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address, f"?transport={way}").open()
    board.settle()
    board.value("hypersd.board.strip.element.remove()")
    board.page.evaluate(NOTE_STATES)
    studio.engine.delay = 7.0 if way == "socket" else 12.0  # longer than each way waits for a sign of life
    board.value("hypersd.board.settings.set('seed', 99)")
    board.wait_for("hypersd.board.link.inFlight.size === 1")
    shown = board.value("hypersd.board.shownSeq")
    board.wait_for(f"hypersd.board.shownSeq > {shown}")
    studio.engine.delay = 0.02
    board.settle()
    assert "offline" not in board.value("states")


def test_a_model_on_its_way_says_how_far_it_is(studio: Served, visitor: Visitor) -> None:
    gate = studio.engine.loading["large"] = threading.Event()
    try:
        board = visitor(studio.address).open()
        board.settle()
        bar = board.page.locator(".hs-loading")
        expect(bar).to_be_hidden()
        board.value("hypersd.board.settings.set('model', 'large')")
        expect(bar).to_contain_text("430 of 1720 MB", timeout=WAIT)
        assert board.value("document.querySelector('.hs-loading progress').value") == 0.25
        gate.set()
        expect(bar).to_be_hidden(timeout=WAIT)
        board.settle()
        assert studio.engine.requests[-1].model == "large"
    finally:
        gate.set()
        del studio.engine.loading["large"]


def test_news_of_the_network_is_checked_and_not_believed(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.settle()
    board.page.evaluate(NOTE_STATES)
    board.page.evaluate("() => window.dispatchEvent(new Event('offline'))")
    board.wait_for("hypersd.board.link.transport.deadline === 0")
    assert board.value("states") == [], "a studio on this machine needs no network"
    assert board.value("hypersd.board.link.transport.ready")


def test_who_listens_hears_of_changes_and_not_of_every_image(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.settle()
    board.page.evaluate(NOTE_STATES)
    board.stroke((0.2, 0.2), (0.8, 0.8))
    board.settle()
    assert "busy" in board.value("states") and board.value("words") == []
    board.page.locator(".hs-live").click()
    assert board.value("words") == ["Stopped", "Stopped"]
    board.page.locator(".hs-live").click()
    assert board.value("words") == ["Stopped", "Stopped", "Live", "Live"]
    assert board.page.locator(".hs-state").get_attribute("role") is None


def test_png_out_and_png_in_on_every_way(way: str, studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    board = visitor(studio.address, f"?transport={way}").open()
    board.describe("a sailing boat")
    board.stroke((0.2, 0.6), (0.5, 0.8), (0.8, 0.6))
    board.settle()
    before, points = board.image(), board.points()
    with board.page.expect_download() as download:
        board.page.locator('.hs-board [data-act="save"]').click()
    download.value.save_as(tmp_path / "boat.png")
    fresh = visitor(studio.address, f"?transport={way}").open()
    drop(fresh.page, (tmp_path / "boat.png").read_bytes(), "boat.png", "image/png")
    expect(fresh.page.locator(".hs-prompt")).to_have_value("a sailing boat", timeout=WAIT)
    fresh.value("hypersd.board.settings.set('steps', 1)")
    fresh.settle()
    assert (fresh.points(), fresh.image()) == (points, before)


def test_the_style_strip_fills_on_every_way(way: str, studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address, f"?transport={way}").open()
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.settle()
    expect(board.page.locator(".hs-strip .hs-style img[src]")).to_have_count(3, timeout=WAIT)
    styled = {request.styles[0].name for request in studio.engine.requests if request.styles and request.control is not None}
    assert styled == {"ink", "clay", "neon"}, "with the drawing"


def test_a_phone_draws_with_a_finger_on_every_way(way: str, studio: Served, visitor: Visitor) -> None:
    phone = visitor(studio.address, f"?transport={way}", viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    phone.open()
    assert transport(phone) == way
    phone.settle()
    before = phone.image()
    phone.page.touchscreen.tap(*phone.point(0.5, 0.5))
    phone.settle()
    assert phone.strokes() == 1 and phone.image() != before
    box = phone.page.locator(".hs-paper").bounding_box()
    assert box is not None and box["width"] > 280 and box["y"] + box["height"] < 800, "the whole paper is on the screen"
    assert phone.value("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
