"""How the board takes the screen, measured: paper and image are large, nothing overlaps or is cut, and keys reach everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect

from tests.support.board_page import BoardPage, still
from tests.support.fake_engine import FakeEngine
from tests.support.studio import Served, served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]
SCREENS = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "tablet": {"viewport": {"width": 820, "height": 1180}, "has_touch": True},
    "laptop": {"viewport": {"width": 1280, "height": 800}},
    "wide": {"viewport": {"width": 2560, "height": 1440}},
}
FILLED = """() => ["paper", "output"].map((name) => {
    const { left, right, top, bottom } = document.querySelector(`.hs-${name}`).getBoundingClientRect();
    const [wide, tall] = [Math.min(right, innerWidth) - Math.max(left, 0), Math.min(bottom, innerHeight) - Math.max(top, 0)];
    return Math.max(0, wide) * Math.max(0, tall);
}).reduce((sum, area) => sum + area) / (innerWidth * innerHeight)"""

# Pairs of controls, paper and image that lie over each other, and texts that are cut, within what can be scrolled to.
UNTIDY = """() => {
    const seen = [...document.querySelectorAll(".hs-board :is(button, input:not(.hs-file), .hs-frame, .hs-prompt, .hs-meter)")]
        .filter((each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
        .filter((each) => !each.closest(".hs-popover, .hs-strip, .hs-selection"));
    const inside = (each) => each.closest(".hs-inks") && each.closest(".hs-inks").getBoundingClientRect();
    const boxes = seen.map((each) => {
        const { left, right, top, bottom } = each.getBoundingClientRect(), row = inside(each);
        return [Math.max(left, row ? row.left : left), Math.min(right, row ? row.right : right), top, bottom];
    });
    const name = (each) => each.getAttribute("aria-label") || each.className;
    const found = [];
    boxes.forEach((a, i) => boxes.forEach((b, j) => {
        if (j <= i || seen[i].contains(seen[j]) || a[0] >= a[1] || b[0] >= b[1]) return;
        const [wide, tall] = [Math.min(a[1], b[1]) - Math.max(a[0], b[0]), Math.min(a[3], b[3]) - Math.max(a[2], b[2])];
        if (wide > 1 && tall > 1) found.push(`${name(seen[i])} over ${name(seen[j])}`);
    }));
    const texts = ".hs-board :is(.hs-tool span, .hs-size span, .hs-state, .hs-fold, .hs-plain, .hs-button)";
    for (const each of document.querySelectorAll(texts)) {
        if (!each.checkVisibility()) continue;
        const { left, right } = each.getBoundingClientRect();
        const inline = getComputedStyle(each).display === "inline";
        if (each.scrollWidth > each.clientWidth + 1 && !inline) found.push(`cut: ${each.textContent}`);
        if (left < -1 || right > innerWidth + 1) found.push(`outside: ${each.textContent}`);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def german() -> Iterator[Served]:
    """The longer words."""
    with served(FakeEngine(delay=0.02), language="de") as running:
        yield running


@pytest.mark.parametrize("screen", SCREENS)
def test_paper_and_image_fill_the_screen_and_nothing_is_cut(studio: Served, visitor: Visitor, screen: str) -> None:
    board = visitor(studio.address, **SCREENS[screen]).open()
    board.stroke((0.3, 0.3), (0.7, 0.7))
    still(board.page)
    assert board.page.evaluate(FILLED) >= 0.6
    assert board.page.evaluate(UNTIDY) == []
    assert board.value("document.documentElement.scrollWidth <= innerWidth")
    board.page.locator('[data-opens="hs-pen"]').click()
    board.page.locator(".hs-lefthanded").check()
    board.page.keyboard.press("Escape")
    still(board.page)
    assert board.page.evaluate(FILLED) >= 0.6, "left-handed"
    assert board.page.evaluate(UNTIDY) == []
    for button in [each for each in board.page.locator("[data-opens]").all() if each.is_visible()]:
        button.click()
        box = board.page.locator(".hs-popover:visible").bounding_box()
        size = SCREENS[screen]["viewport"]
        assert box is not None and isinstance(size, dict)
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]
        board.page.keyboard.press("Escape")


def test_a_phone_has_the_pictures_tools_in_reach_and_what_opens_leaves_the_picture_in_sight(
    studio: Served, visitor: Visitor
) -> None:
    board = visitor(studio.address, **SCREENS["phone"]).open()
    board.stroke((0.3, 0.3), (0.7, 0.7))
    still(board.page)
    board.page.evaluate("() => scrollTo(0, 0)")
    picture = board.page.locator(".hs-output").bounding_box()
    assert picture is not None
    for opened in ("hs-picture-menu", "hs-sticker", "hs-layers", "hs-pen"):
        if opened == "hs-sticker":
            board.page.locator('[data-opens="hs-picture-menu"]').tap()
        button = board.page.locator(f'[data-opens="{opened}"]')
        at = button.bounding_box()
        assert at is not None and at["y"] + at["height"] <= 844 and at["height"] >= 44, "without scrolling"
        button.tap()
        panel = board.page.locator(".hs-popover:visible")
        assert panel.count() == 1 and panel.get_attribute("id") == opened
        box = panel.bounding_box()
        assert box is not None and box["y"] >= picture["y"] + picture["height"] - 1 and box["y"] + box["height"] <= 844
        board.page.keyboard.press("Escape")
        assert board.value("document.activeElement.dataset.opens") == ("hs-picture-menu" if opened == "hs-sticker" else opened)
    with board.page.expect_download():
        board.page.locator('[data-opens="hs-picture-menu"]').tap()
        board.page.locator('[data-act="save"]').tap()
    board.page.set_viewport_size({"width": 1000, "height": 800})
    assert board.page.locator('.hs-bench > .hs-picture-tools [data-act="save"]').is_visible(), "turned, they lie below again"
    assert board.errors == []


EDGES = """() => [[".hs-header"], [".hs-promptbar"], [".hs-paper", ".hs-output"], [".hs-below"]].map((row) => {
    const boxes = row.map((each) => document.querySelector(each).getBoundingClientRect());
    return [boxes[0].left, boxes.at(-1).right].map(Math.round); })"""


@pytest.mark.parametrize("size", [(1280, 900), (1600, 900), (2560, 1440)])
def test_all_of_the_board_ends_at_the_same_edges(studio: Served, visitor: Visitor, size: tuple[int, int]) -> None:
    board = visitor(studio.address, viewport={"width": size[0], "height": size[1]}).open()
    header, *others = board.page.evaluate(EDGES)
    assert all(abs(edge - own) <= 1 for other in others for edge, own in zip(other, header, strict=True)), (header, others)


def test_the_left_hand_has_paper_and_tools_mirrored(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    left = "document.querySelector('{}').getBoundingClientRect().left"
    right = f"{left.format('.hs-paper')} < {left.format('.hs-output')}"
    assert board.value(right)
    board.page.locator('[data-opens="hs-pen"]').click()
    board.page.locator(".hs-lefthanded").check()
    assert not board.value(right)
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board && hypersd.board.image")
    assert not board.value(right), "kept"
    board.stroke((0.2, 0.2), (0.8, 0.8))
    assert board.strokes() == 1


def test_few_stops_of_the_tab_key_lead_to_the_paper(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.page.evaluate("() => { document.activeElement.blur(); getSelection().removeAllRanges(); }")
    stops: list[str] = []
    for _ in range(20):
        board.page.keyboard.press("Tab")
        stops.append(
            board.value(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim().slice(0, 20)"
            )
        )
        if board.value("document.activeElement.classList.contains('hs-paper')"):
            break
    assert len(stops) <= 8, stops


def test_arrows_go_through_a_toolbar_and_every_tool_has_a_key(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    page: Page = board.page
    page.locator('button[data-tool="brush"]').focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert board.value("document.activeElement.dataset.tool") == "fill"
    page.keyboard.press("Enter")
    assert board.value("hypersd.board.tools.tool") == "fill"
    page.keyboard.press("End")
    assert board.value("document.activeElement.dataset.opens") == "hs-pen"
    assert board.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#hs-pen")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#hs-pen")).to_be_hidden()
    assert board.value("document.activeElement.dataset.opens") == "hs-pen", "back at its button"
    page.locator(".hs-paper").focus()
    for key, tool in {"b": "brush", "e": "eraser", "f": "fill", "u": "shape", "i": "pick", "v": "select", "h": "hand"}.items():
        page.keyboard.press(key)
        assert board.value("hypersd.board.tools.tool") == tool
        assert f"({key.upper()}" in (page.locator(f'button[data-tool="{tool}"]').get_attribute("title") or "")[-40:].replace(
            "; press", ""
        )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_board(studio: Served, visitor: Visitor, theme: str) -> None:
    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js")
    board = visitor(studio.address, color_scheme=theme, bypass_csp=True).open()
    board.stroke((0.3, 0.3), (0.7, 0.7))
    board.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
    still(board.page)
    board.page.evaluate(axe.read_text(encoding="utf-8"))
    for opened in (None, "hs-layers", "hs-pen"):
        if opened:
            board.page.locator(f'[data-opens="{opened}"]').click()
        found = board.page.evaluate("() => axe.run('.hs-board, .hs-header', { resultTypes: ['violations'] })")
        serious = [
            (each["id"], [node["html"][:160] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], json.dumps(serious, indent=1)


@pytest.mark.parametrize("screen", ["phone", "laptop"])
def test_longer_words_fit_too(german: Served, visitor: Visitor, screen: str) -> None:
    board = visitor(german.address, **SCREENS[screen])
    board.page.goto(board.address)
    board.page.get_by_role("tab", name="Zeichenbrett").click()
    board.wait_for("hypersd.board && hypersd.board.image")
    still(board.page)
    assert board.page.evaluate(UNTIDY) == []
