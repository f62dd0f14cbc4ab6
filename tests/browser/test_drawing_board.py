"""The drawing board in a real Chromium; the same suite over every transport."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from hypersd_app.errors import DeviceOutOfMemory
from tests.support.board_page import BoardPage, next_frame
from tests.support.server_process import await_line
from tests.support.studio import Served, free_port

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]


TRANSPORTS = ("socket", "call", "event")


@pytest.fixture(params=TRANSPORTS)
def board(request: pytest.FixtureRequest, studio: Served, visitor: Visitor) -> BoardPage:
    opened = visitor(studio.address, f"?transport={request.param}").open()
    assert opened.value("hypersd.board.link.transport.name") == request.param
    return opened


def test_the_image_changes_while_the_pen_moves(board: BoardPage) -> None:
    board.settle()
    before = board.value("hypersd.board.shownSeq")
    board.pen_down(0.2, 0.2)
    board.pen_to(0.8, 0.3, steps=10)
    board.wait_for(f"hypersd.board.shownSeq > {before}")
    middle = board.value("hypersd.board.shownSeq")
    assert board.value("hypersd.board.paper.pointer !== null"), "the pen is still down"
    board.pen_to(0.5, 0.8, steps=10)
    board.wait_for(f"hypersd.board.shownSeq > {middle}")
    board.pen_up()
    board.settle()
    assert board.errors == []


def test_what_is_sent_is_the_ink_to_the_last_pixel(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.stroke((0.2, 0.2), (0.7, 0.25), (0.4, 0.8))
    board.settle()
    pixels = """async () => {
        const { control } = hypersd.board.paper, side = hypersd.board.settings.side;
        const sent = await createImageBitmap(new Blob([await hypersd.board.sketch()], { type: "image/png" }));
        const sheet = Object.assign(document.createElement("canvas"), { width: side, height: side }).getContext("2d");
        sheet.drawImage(sent, 0, 0);
        const read = (context) => [...context.getImageData(0, 0, side, side).data];
        const there = read(control.context), found = read(sheet);
        return [found.length, there.filter((value) => value > 0).length, there.filter((value, i) => value !== found[i]).length];
    }"""
    count, inked, different = board.page.evaluate(pixels)
    assert (count > 0, inked > 0, different) == (True, True, 0)


def test_undo_restores_the_very_image(board: BoardPage) -> None:
    board.stroke((0.2, 0.2), (0.7, 0.25))
    board.settle()
    first, ink = board.image(), board.ink()
    board.stroke((0.3, 0.6), (0.6, 0.9), (0.9, 0.5))
    board.settle()
    assert board.image() != first
    board.page.keyboard.press("Control+z")
    board.settle()
    assert (board.image(), board.ink(), board.strokes()) == (first, ink, 1)
    board.page.keyboard.press("Control+Shift+z")
    board.settle()
    assert board.strokes() == 2 and board.image() != first


def test_a_reload_brings_back_strokes_and_image(board: BoardPage) -> None:
    board.describe("a green boat")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.settle()
    before, ink = board.image(), board.ink()
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board && hypersd.board.image")
    board.settle()
    assert (board.strokes(), board.ink(), board.image()) == (1, ink, before)


def test_live_stops_when_stopped(board: BoardPage, studio: Served) -> None:
    board.settle()
    board.value("hypersd.board.strip.element.remove()")  # the style strip asks on its own while idle
    board.page.locator(".hs-live").click()
    board.expect_state("stopped")
    shown, asked = board.value("hypersd.board.shownSeq"), board.value("hypersd.board.link.seq")
    board.stroke((0.2, 0.2), (0.8, 0.8))
    board.describe("something else")
    board.wait_for("hypersd.board.drawing.visible.length === 1 && !hypersd.board.link.wanted")
    board.value("hypersd.board.rested()")  # what the resting pen asks for at last
    for _ in range(3):
        next_frame(board)
    assert (board.value("hypersd.board.shownSeq"), board.value("hypersd.board.link.seq")) == (shown, asked)
    board.page.locator(".hs-live").click()
    board.wait_for(f"hypersd.board.shownSeq > {shown}")
    board.settle()


def test_an_error_is_told_and_drawing_goes_on(board: BoardPage, studio: Served) -> None:
    board.settle()
    board.value("hypersd.board.strip.element.remove()")
    studio.engine.failure = DeviceOutOfMemory("The device is full.")
    shown = board.value("hypersd.board.shownSeq")
    board.pen_down(0.3, 0.3)
    board.pen_to(0.4, 0.4)
    board.wait_for("!hypersd.board.notice.hidden && hypersd.board.notice.textContent.includes('full')")
    studio.engine.failure = None
    board.pen_to(0.7, 0.4)
    board.pen_up()
    board.wait_for(f"hypersd.board.shownSeq > {shown} && hypersd.board.notice.hidden")


def test_no_older_image_is_ever_shown(board: BoardPage, studio: Served) -> None:
    board.settle()
    board.page.evaluate("""() => { window.seen = []; const show = hypersd.board.show.bind(hypersd.board);
        hypersd.board.show = (answer, sent) => { window.seen.push(answer.seq); return show(answer, sent); }; }""")
    studio.engine.delay = 0.12
    board.pen_down(0.1, 0.1)
    for i in range(8):
        board.pen_to(0.1 + 0.1 * i, 0.9 - 0.1 * (i % 3), steps=4)
        next_frame(board)
    board.pen_up()
    board.settle()
    seen = board.value("window.seen")
    assert seen == sorted(set(seen)) and len(seen) > 1
    assert board.value("hypersd.board.link.seq") == seen[-1], "the last state was shown"


@pytest.mark.parametrize("transports", [("socket", "call"), ("call", "event"), ("event", "socket")])
def test_two_visitors_never_see_each_others_images(studio: Served, visitor: Visitor, transports: tuple[str, str]) -> None:
    pages = [visitor(studio.address, f"?transport={name}").open() for name in transports]
    for page, words, side in zip(pages, ("an owl", "a fox"), (0.25, 0.75), strict=True):
        page.describe(words)
        page.settle()
        page.pen_down(side, 0.2)
    for i in range(6):
        for page, side in zip(pages, (0.25, 0.75), strict=True):
            page.pen_to(side, 0.25 + i * 0.1, steps=3)
    for page in pages:
        page.pen_up()
    for page in pages:
        page.settle()
    alone = visitor(studio.address).open()
    for page, words, side in zip(pages, ("an owl", "a fox"), (0.25, 0.75), strict=True):
        alone.value(f"hypersd.board.drawing.replace({page.value('JSON.stringify(hypersd.board.drawing.visible)')})")
        alone.describe(words)
        alone.settle()
        assert alone.image() == page.image(), f"what {words!r} and {side} make, and nothing else"


def start(port: int) -> subprocess.Popen[bytes]:
    """A server in a process of its own, answering."""
    process = subprocess.Popen([sys.executable, "-m", "tests.support.serve_fake", str(port)], stdout=subprocess.PIPE)
    await_line(process, "serving")
    return process


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_restarted_server_is_found_again_and_nothing_is_lost(visitor: Visitor, transport: str) -> None:
    port = free_port()
    process = start(port)
    try:
        board = visitor(f"http://127.0.0.1:{port}/", f"?transport={transport}").open()
        board.stroke((0.2, 0.2), (0.8, 0.2))
        board.settle()
        board.pen_down(0.2, 0.6)
        board.pen_to(0.5, 0.6)
        process.kill()
        process.wait()
        board.pen_to(0.6, 0.65)  # a call that was answered before the end tells nothing: the next one does
        board.expect_state("offline")
        board.pen_to(0.8, 0.7)
        board.pen_up()
        drawn = board.points()
        assert len(drawn) == 2 and max(drawn[1][0::3]) > 750, "drawing goes on without a server"
        process = start(port)
        # Gradio may reload the page once the server is back; either way strokes and a live image return.
        board.wait_for("window.hypersd && hypersd.board && hypersd.board.link && hypersd.board.link.transport.ready")
        board.page.get_by_role("tab", name="Drawing board").click()
        board.wait_for("window.hypersd && hypersd.board && hypersd.board.image && hypersd.board.link.idle")
        board.settle()
        assert board.points() == drawn
        assert board.value("hypersd.board.link.transport.name") == transport
        found = board.image()
        alone = visitor(board.address).open()
        alone.value(f"hypersd.board.drawing.replace({board.value('JSON.stringify(hypersd.board.drawing.visible)')})")
        alone.settle()
        assert alone.image() == found, "what these strokes make on a server that never went away"
        board.stroke((0.3, 0.9), (0.7, 0.9))
        board.settle()
        assert len(board.points()) == 3 and board.image() != found
    finally:
        process.kill()
        process.wait()


def test_without_sockets_the_board_falls_back_by_itself(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address)
    board.page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 }), 5); } close() {} };"
    )
    board.open()
    assert board.value("hypersd.board.link.transport.name") == "call"
    board.stroke((0.2, 0.2), (0.8, 0.8))
    board.settle()
