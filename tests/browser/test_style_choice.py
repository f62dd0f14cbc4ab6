"""Clicks on style cards: one switches, + mixes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.board_page import BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser


def test_a_click_switches_and_plus_mixes(studio: Served, visitor: Callable[..., BoardPage]) -> None:
    board = visitor(studio.address).open()
    cards = board.page.locator(".hs-board .hs-style")
    chosen = "hypersd.board.settings.values.styles"
    cards.nth(0).locator("button").first.click()
    assert board.value(chosen) == {"ink": 1}
    cards.nth(1).locator("button").first.click()
    assert board.value(chosen) == {"clay": 1}
    assert not cards.nth(1).locator(".hs-mix").is_visible()
    cards.nth(2).locator(".hs-mix").click()
    assert board.value(chosen) == {"clay": 1, "neon": 1}
    cards.nth(0).locator("button").first.click(modifiers=["Control"])
    assert board.value(chosen) == {"clay": 1, "neon": 1, "ink": 1}
    board.settle()
    assert sorted(row.name for row in studio.engine.requests[-1].styles) == ["clay", "ink", "neon"]
    assert cards.nth(1).locator("input").is_visible(), "each has its weight"
    cards.nth(1).locator("button").first.click()
    cards.nth(1).locator("button").first.click()
    assert board.value(chosen) == {}
    assert board.errors == []
