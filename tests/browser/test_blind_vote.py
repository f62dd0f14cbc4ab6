"""The blind vote of Compare: images without labels, keys and clicks, what the votes say, and that they stay in the browser."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.support.board_page import WAIT, BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]
READY = "() => !document.querySelector('.hs-vote-pair').getAttribute('aria-busy')"


@pytest.fixture
def board(studio: Served, visitor: Visitor) -> BoardPage:
    """A comparison of 1, 2 and 4 steps with two seeds, all images there."""
    opened = visitor(studio.address)
    opened.page.goto(opened.address)
    compared(opened.page)
    return opened


def compared(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1, 2, 4")
    page.locator(".hs-c-y").select_option("seed")
    page.locator(".hs-c-ys").fill("7, 8")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(6, timeout=WAIT)
    expect(page.locator(".hs-c-run")).to_have_text("Compare", timeout=WAIT)


def press(page: Page, key: str) -> None:
    page.wait_for_function(READY, timeout=WAIT)
    page.keyboard.press(key)


def votes(board: BoardPage) -> list[dict[str, object]]:
    found: list[dict[str, object]] = board.value("JSON.parse(localStorage.getItem('hypersd.votes') || '[]')")
    return found


def downloaded(page: Page, kind: str) -> str:
    with page.expect_download() as download:
        page.locator(f'[data-votes="{kind}"]').click()
    return Path(download.value.path()).read_text(encoding="utf-8-sig")


def test_a_vote_of_keys_hides_what_is_what_until_its_end(board: BoardPage, studio: Served) -> None:
    page = board.page
    asked = len(studio.engine.requests)
    page.locator('[data-do="vote"]').click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.wait_for_function(READY, timeout=WAIT)
    expect(dialog.get_by_role("status")).to_have_text("1 of 6: a red apple")
    assert "Steps" not in dialog.inner_html(), "neither in words nor in names for screen readers"
    for key in ("ArrowLeft", "1", "ArrowRight", "2", "ArrowDown"):
        press(page, key)
    press(page, "Backspace")
    expect(dialog.get_by_role("status")).to_contain_text("5 of 6")
    assert len(votes(board)) == 4
    for key in ("0", "ArrowLeft"):
        press(page, key)
    expect(dialog.locator("table tr")).to_have_count(4)
    found = votes(board)
    assert [vote["choice"] for vote in found] == ["left", "left", "right", "right", "tie", "left"]
    pairs = Counter(frozenset((vote["left"]["label"], vote["right"]["label"])) for vote in found)  # type: ignore[index]
    assert set(pairs.values()) == {2} and len(pairs) == 3, "every two settings, for each seed"
    assert len(studio.engine.requests) == asked, "the images of the grid were enough"
    for vote in found:
        assert vote["winner"] == ("" if vote["choice"] == "tie" else vote[str(vote["choice"])]["label"])  # type: ignore[index]
    page.locator('[data-vote="close"]').click()
    expect(page.locator(".hs-votes table tr")).to_have_count(4)
    assert "to" in page.locator(".hs-votes td").last.inner_text()
    assert board.errors == []


def test_two_picked_settings_go_on_with_other_prompts_and_seeds(board: BoardPage, studio: Served) -> None:
    page = board.page
    page.locator(".hs-cell").nth(0).click()
    page.locator(".hs-cell").nth(2).click()
    page.locator('[data-do="vote"]').click()
    page.wait_for_function(READY, timeout=WAIT)
    page.get_by_role("button", name="Image 1 is better").click()
    page.wait_for_function(READY, timeout=WAIT)
    page.get_by_role("button", name="End and see").click()
    expect(page.locator(".hs-vote table tr")).to_have_count(2)
    page.locator(".hs-vote textarea").fill("a cat\n\na blue car")
    page.locator(".hs-vote textarea").press("Backspace")
    page.locator(".hs-vote textarea").press("r")
    page.locator(".hs-vote form input").fill("2")
    studio.engine.requests.clear()
    page.get_by_role("button", name="Go on").click()
    for _ in range(4):
        press(page, "ArrowDown")
    expect(page.locator(".hs-vote table tr")).to_have_count(2)
    made = studio.engine.requests
    assert sorted(request.num_inference_steps for request in made) == [1] * 4 + [4] * 4
    assert Counter(request.prompt for request in made) == {"a cat": 4, "a blue car": 4}
    assert len({request.seed for request in made}) == 2, "seeds that nobody saw, the same for both sides"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    cells = page.locator(".hs-votes td").all_inner_texts()
    assert cells[:2] == ["Steps 1", "Steps 4"] and cells[3] == "4" and int(cells[2]) + int(cells[4]) == 1
    assert board.errors == []


def test_votes_outlive_the_page_leave_as_files_and_come_back_when_forgotten(board: BoardPage) -> None:
    page = board.page
    page.locator('[data-do="vote"]').click()
    for key in ("ArrowLeft", "ArrowRight"):
        press(page, key)
    page.wait_for_function(READY, timeout=WAIT)
    page.locator('[data-vote="end"]').click()
    page.reload()
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-votes table").wait_for()
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "csv"))))
    exact = json.loads(downloaded(page, "json"))
    assert [row["choice"] for row in rows] == ["left", "right"] == [row["choice"] for row in exact]
    assert rows[0]["prompt"] == "a red apple" and rows[0]["winner"] == rows[0]["left"] == exact[0]["left"]["label"]
    assert exact[0]["left"]["head"]["num_inference_steps"] == int(rows[0]["left"].removeprefix("Steps "))
    page.locator('[data-votes="clear"]').click()
    expect(page.locator(".hs-votes")).to_be_hidden()
    page.get_by_role("button", name="Bring back").click()
    expect(page.locator(".hs-votes table")).to_be_visible()
    assert len(votes(board)) == 2


def test_a_vote_says_what_failed_and_a_phone_shows_both_images(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = board.page
    page.goto(board.address)
    compared(page)
    page.locator('[data-do="vote"]').click()
    page.wait_for_function(READY, timeout=WAIT)
    for image in page.locator(".hs-vote-side").all():
        box = image.bounding_box()
        assert box is not None and box["width"] >= 250 and box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert box["y"] + box["height"] <= 844
    tie = page.get_by_role("button", name="Both alike").bounding_box()
    assert tie is not None and tie["y"] + tie["height"] <= 844
    page.get_by_role("button", name="End and see").tap()
    page.context.set_offline(True)
    page.get_by_role("button", name="Go on").tap()
    expect(page.locator(".hs-vote .hs-notice")).to_be_visible(timeout=WAIT)
    expect(page.locator("[data-vote=close]")).to_be_visible()
    page.context.set_offline(False)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_vote(theme: str, visitor: Visitor, studio: Served) -> None:
    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    page = visitor(studio.address, color_scheme=theme, bypass_csp=True).page
    page.goto(studio.address)
    compared(page)
    page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
    page.locator('[data-do="vote"]').click()
    press(page, "ArrowLeft")
    page.wait_for_function(READY, timeout=WAIT)
    page.evaluate(axe)
    for end in (False, True):
        if end:
            page.locator('[data-vote="end"]').click()
        found = page.evaluate("() => axe.run('.hs-compare', { resultTypes: ['violations'] })")
        serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in serious] == []
