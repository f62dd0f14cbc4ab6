"""What the model knows, offered while one types, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.settings import ROOT
from tests.support.board_page import BoardPage
from tests.support.fake_engine import POCKET
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]


@pytest.fixture
def board(studio: Served, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> BoardPage:
    """A board whose model has a vocabulary."""
    rows = studio.engine.models()
    known = [replace(row, source=WeightSource(path=ROOT / "assets" / "pocket")) if row.name == POCKET.name else row for row in rows]
    monkeypatch.setattr(studio.engine, "models", lambda: known)
    return visitor(studio.address).open()


def typed(board: BoardPage, words: str, field: str = ".hs-prompt") -> None:
    board.page.locator(field).fill("")
    board.page.locator(field).press_sequentially(words)


def test_words_are_offered_with_images_and_taken_by_key_or_click(board: BoardPage) -> None:
    field, items = board.page.locator(".hs-prompt"), board.page.locator(".hs-suggest:not([hidden]) li")
    typed(board, "a red appl")
    items.first.wait_for()
    assert field.get_attribute("aria-expanded") == "true"
    assert "apple" in items.all_inner_texts()[0]
    board.wait_for("document.querySelector('.hs-suggest:not([hidden]) img[src]')")
    field.press("ArrowDown")
    assert field.get_attribute("aria-activedescendant") == items.first.get_attribute("id")
    field.press("Enter")
    assert field.input_value() == "a red apple" == board.value("hypersd.board.settings.values.prompt")
    assert items.count() == 0 and field.get_attribute("aria-expanded") == "false"
    typed(board, "ein Hund")
    board.page.locator('.hs-suggest:not([hidden]) [data-word="dog"]').click()
    assert field.input_value() == "ein dog"
    typed(board, "a red appl")
    items.first.wait_for()
    field.press("Escape")
    assert items.count() == 0 and field.input_value() == "a red appl"
    assert board.errors == []


def test_the_text_tab_offers_them_too(board: BoardPage) -> None:
    board.page.get_by_role("tab", name="Text to image").click()
    field = "#hs-text-prompt textarea, #hs-text-prompt input"
    typed(board, "two green fro", field)
    board.page.locator('.hs-suggest:not([hidden]) [data-word="frog"]').click()
    assert board.page.locator(field).input_value() == "two green frog"


def test_a_word_that_nothing_begins_with_is_said_with_the_nearest(board: BoardPage) -> None:
    field, items = board.page.locator(".hs-prompt"), board.page.locator(".hs-suggest:not([hidden]) li")
    typed(board, "a red kitchn")
    items.first.wait_for()
    assert items.count() == 2 and "kitchn" in items.nth(1).inner_text() and items.nth(1).get_attribute("aria-disabled") == "true"
    field.press("ArrowDown")
    field.press("Enter")
    assert field.input_value() == "a red kitchen"
    typed(board, "a quokka")
    board.page.locator(".hs-suggest-note").wait_for()
    assert items.count() == 1
    field.press("ArrowDown")
    field.press("Escape")
    assert items.count() == 0 and field.input_value() == "a quokka" and board.errors == []
