"""Thousands of styles, files that are none, and what real models let one choose, in a real Chromium."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from safetensors.numpy import save_file

from hypersd_app.catalog.specs import StyleSpec
from tests.support.board_page import WAIT, BoardPage, drop
from tests.support.fake_engine import LARGE, POCKET, FakeEngine
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]
MANY = 3000
TAGS = ("1girl", "blue hair", "watercolor (medium)")


def many() -> tuple[StyleSpec, ...]:
    return tuple(
        StyleSpec(
            f"lora-{number}", f"LoRA {number}", family="pocket", path=Path("nowhere"), trigger=f"trigger{number}", tags=TAGS,
            preview="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=",
        )
        for number in range(MANY)
    )  # fmt: skip


@pytest.fixture
def thousands(studio: Served) -> FakeEngine:
    studio.engine.own = many()
    return studio.engine


def test_three_thousand_styles_are_there_at_once_found_by_words_and_shown_by_the_page(
    studio: Served, thousands: FakeEngine, visitor: Visitor
) -> None:
    board = visitor(studio.address)
    page = board.page
    page.goto(board.address)
    page.get_by_role("tab", name="Styles").click()
    cards = page.locator(".hs-cards .hs-style")
    cards.first.wait_for()
    board.wait_for(f"hypersd.board.settings.model.styles.length === {MANY + 3}")
    assert cards.count() == 24, "the page draws no thousands of cards"
    expect(page.locator(".hs-s-count")).to_have_text("24 of 3,003")
    page.locator('[data-do="more"]').click()
    expect(cards).to_have_count(72)
    page.locator(".hs-s-find").fill("lora 2999")
    expect(cards).to_have_count(1)
    expect(page.locator(".hs-s-count")).to_have_text("1 of 1")
    expect(cards.first.locator("img[src]")).to_have_count(1)
    cards.first.locator("button").first.click()
    page.locator(".hs-s-find").fill("ink")
    expect(cards).to_have_count(2)
    assert cards.first.locator("span").inner_text() == "LoRA 2999", "what is chosen stays in sight"
    page.get_by_role("tab", name="Drawing board").click()
    strip = page.locator(".hs-board .hs-strip .hs-style")
    expect(strip).to_have_count(25)
    assert "hs-chosen" in (strip.first.get_attribute("class") or "")
    assert board.errors == []


def test_words_of_a_style_are_a_click_from_the_prompt(studio: Served, thousands: FakeEngine, visitor: Visitor) -> None:
    board = visitor(studio.address)
    page = board.page
    page.goto(board.address)
    page.get_by_role("tab", name="Styles").click()
    page.locator(".hs-s-find").fill("lora 77")
    card = page.locator(".hs-cards .hs-style", has_text="LoRA 77").first
    words = card.get_by_role("group").locator("button")
    expect(words).to_have_text(["trigger77", *TAGS])
    words.nth(0).click()
    words.nth(2).click()
    words.nth(2).click()
    assert board.value("hypersd.board.settings.values.prompt") == "a red apple, trigger77, blue hair"
    assert board.value("hypersd.board.settings.values.styles") == {}, "a word is no choice of the style"


def test_files_are_read_behind_with_progress(studio: Served, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    read = {"done": 1200}
    monkeypatch.setattr(studio.engine, "status", lambda: {"backend": "fake", "loaded": [], "scan": (read["done"], MANY)})
    board = visitor(studio.address)
    page = board.page
    page.goto(board.address)
    page.get_by_role("tab", name="Styles").click()
    expect(page.locator(".hs-s-scan")).to_have_text("1,200 of 3,000 style files read")
    expect(page.locator(".hs-cards .hs-style")).to_have_count(3)
    studio.engine.own = many()
    read["done"] = MANY
    expect(page.locator(".hs-s-scan")).to_be_hidden(timeout=WAIT)
    expect(page.locator(".hs-cards .hs-style")).to_have_count(24, timeout=WAIT)


def test_a_wrong_file_is_named_for_what_it_is(studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    board = visitor(studio.address)
    board.page.goto(board.address)
    board.page.get_by_role("tab", name="Styles").click()
    board.page.locator(".hs-cards .hs-style").first.wait_for()
    path = tmp_path / "vae.safetensors"
    save_file({"decoder.conv_in.weight": np.zeros((4, 4), np.float32)}, path)
    drop(board.page, path.read_bytes(), "vae.safetensors")
    expect(board.page.locator(".toast-body")).to_contain_text("vae", timeout=WAIT)
    expect(board.page.locator(".hs-cards .hs-style")).to_have_count(3)


def test_real_models_have_a_grammar_and_clip_skip_and_pocket_has_neither(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    page = board.page
    page.locator('[aria-controls="hs-settings"]').click()
    grammar, skip = page.locator('[data-set="grammar"]'), page.locator('[data-set="clipSkip"]')
    expect(grammar).to_be_hidden()
    expect(skip).to_be_hidden()
    page.locator('[data-set="model"]').select_option("large")
    page.locator(".hs-prompt").fill("a (red:1.2) apple")
    grammar.select_option("comfyui")
    skip.select_option("2")
    board.wait_for("hypersd.board.shown.head.clip_skip === 2 && hypersd.board.shown.head.prompt.includes('1.2')")
    asked = studio.engine.requests[-1]
    assert (asked.prompt_grammar, asked.clip_skip) == ("comfyui", 2)
    expect(page.locator(".hs-tokens")).to_have_text("3/75")
    page.locator(".hs-prompt").fill("apple " * 80)
    expect(page.locator(".hs-tokens")).to_have_text("80/150")
    page.locator(".hs-prompt").fill("x " * 2500)
    expect(page.locator(".hs-tokens")).to_have_text("2500/2550")
    recipe = board.value("JSON.stringify(hypersd.board.recipe())")
    page.locator('[data-set="model"]').select_option("pocket")
    board.settle()
    assert studio.engine.requests[-1].clip_skip is None and studio.engine.requests[-1].prompt_grammar == ""
    board.page.evaluate("(recipe) => hypersd.board.restore(recipe)", json.loads(recipe))
    assert (grammar.input_value(), skip.input_value()) == ("comfyui", "2")


def test_a_v_prediction_model_says_so_where_it_is_chosen(studio: Served, visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (POCKET, replace(LARGE, name="velocity", title="Velocity", note="v-prediction, zero terminal SNR"))
    monkeypatch.setattr(studio.engine, "models", lambda: rows)
    board = visitor(studio.address)
    page = board.page
    page.goto(board.address)
    page.get_by_role("tab", name="Styles").click()
    page.locator(".hs-s-model").select_option("velocity")
    expect(page.locator(".hs-s-note")).to_have_text("v-prediction, zero terminal SNR")
    page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board.shown && hypersd.board.shown.head.model === 'velocity'")


def test_the_page_of_three_thousand_is_small(thousands: FakeEngine) -> None:
    from hypersd_app.ui.page_config import catalogue

    started = time.perf_counter()
    text = json.dumps(catalogue(thousands))
    assert len(text) < 400_000, "pictures and words come when they are shown"
    assert time.perf_counter() - started < 30
