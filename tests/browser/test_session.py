"""A session that can be kept: the timeline's frames, named drawings, all of it as one file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.support.board_page import BoardPage, drop
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]
FRAMES = ".hs-t-frame"


def draw(board: BoardPage, words: str, *heights: float) -> None:
    board.describe(words)
    board.settle()
    for height in heights:
        board.stroke((0.2, height), (0.8, height))
        board.settle()


@pytest.fixture
def board(studio: Served, visitor: Visitor) -> BoardPage:
    """A timeline of several frames of a cat and of a boat."""
    board = visitor(studio.address).open()
    draw(board, "a cat", 0.2, 0.4)
    draw(board, "a boat", 0.6, 0.8)
    board.page.get_by_role("tab", name="Timeline").click()
    board.page.locator(FRAMES).first.wait_for()
    return board


def count(board: BoardPage) -> int:
    return int(board.value("hypersd.timeline.frames.length"))


def test_frames_are_selected_removed_and_brought_back(board: BoardPage) -> None:
    page, all_of_them = board.page, count(board)
    page.locator(FRAMES).nth(0).click()
    page.locator(FRAMES).nth(2).click(modifiers=["Shift"])
    assert page.locator(f"{FRAMES}.hs-selected").count() == 3
    page.locator(FRAMES).nth(1).click(modifiers=["Control"])
    assert page.locator('.hs-timeline [data-do="remove"]').inner_text() == "Remove 2"
    page.locator('.hs-timeline [data-do="remove"]').click()
    board.wait_for(f"hypersd.timeline.frames.length === {all_of_them - 2}")
    page.get_by_role("button", name="Bring back").click()
    board.wait_for(f"hypersd.timeline.frames.length === {all_of_them}")
    page.locator(FRAMES).nth(0).click()
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Delete")
    board.wait_for(f"hypersd.timeline.frames.length === {all_of_them - 2}")
    board.wait_for("!hypersd.timeline.timer")
    page.reload()
    board.wait_for(f"hypersd.timeline.frames.length >= {all_of_them - 2}")
    assert board.errors == []


def test_frames_are_found_by_words_and_the_film_is_of_what_is_found(board: BoardPage) -> None:
    page = board.page
    page.locator(".hs-t-search").fill("BOAT")
    board.wait_for("document.querySelectorAll('.hs-t-group').length === 1")
    found = page.locator(FRAMES).count()
    assert 2 <= found < count(board)
    for form in ("gif", "webp"):
        with page.expect_download() as download:
            page.locator(f'[data-do="{form}"]').click()
        with Image.open(download.value.path()) as film:
            assert film.format == form.upper() and film.n_frames == found  # type: ignore[attr-defined]
    page.locator(FRAMES).nth(0).click()
    page.locator(FRAMES).nth(1).click(modifiers=["Shift"])
    with page.expect_download() as download:
        page.locator('[data-do="webp"]').click()
    with Image.open(download.value.path()) as film:
        assert film.n_frames == 2  # type: ignore[attr-defined]


def test_drawings_have_names_and_outlive_the_page(board: BoardPage) -> None:
    page, strokes = board.page, board.strokes()
    page.locator(".hs-d-name").fill("My boat")
    page.locator(".hs-d-keep").click()
    kept = page.locator(".hs-d-open")
    kept.first.wait_for()
    page.get_by_role("tab", name="Drawing board").click()
    page.locator('[data-act="clear"]').click()
    board.describe("something else")
    board.settle()
    page.reload()
    page.get_by_role("tab", name="Timeline").click()
    page.locator(".hs-d-open").first.click()
    board.wait_for("hypersd.board && hypersd.board.settings.values.prompt === 'a boat'")
    assert board.strokes() == strokes
    page.get_by_role("tab", name="Timeline").click()
    page.locator(".hs-d-forget").click()
    page.get_by_role("button", name="Bring back").click()
    kept.first.wait_for()


def test_a_full_browser_loses_nothing_and_says_so(board: BoardPage) -> None:
    page = board.page
    page.locator(".hs-d-keep").click()
    page.locator(".hs-d-open").first.wait_for()
    full = """() => { IDBObjectStore.prototype.put = function () {
        this.transaction.abort(); throw new DOMException('', 'QuotaExceededError'); }; }"""
    page.evaluate(full)
    page.locator(".hs-d-keep").click()
    page.get_by_text("no room for another drawing").wait_for()
    assert page.locator(".hs-d-open").count() == 1
    assert board.errors == []


def test_all_goes_into_one_file_and_comes_back_elsewhere(studio: Served, board: BoardPage, visitor: Visitor) -> None:
    page, frames = board.page, count(board)
    page.locator(".hs-d-keep").click()
    page.locator(".hs-d-open").first.wait_for()
    with page.expect_download() as download:
        page.locator(".hs-d-export").click()
    data = Path(download.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None and "session.json" in archive.namelist()
        assert len([name for name in archive.namelist() if name.startswith("pictures/")]) == frames
    other = visitor(studio.address).open()
    drop(other.page, data, "session.zip", "application/zip")
    other.page.locator(".hs-d-open").first.wait_for()
    other.wait_for(f"hypersd.timeline.frames.length >= {frames}")
    other.page.locator(".hs-t-search").fill("boat")
    other.page.locator(FRAMES).last.click()
    other.page.locator('[data-do="branch"]').click()
    other.wait_for("hypersd.board.drawing.visible.length === 4")
    assert other.errors == []
