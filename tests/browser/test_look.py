"""What everybody must be able to read and reach: contrast, names of controls, nothing sticking out, light and dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.board_page import WAIT, BoardPage, still
from tests.support.studio import Served

pytestmark = pytest.mark.browser
TABS = ("Text to image", "Drawing board", "Styles", "Compare", "Timeline")

# Visible texts whose contrast with what lies behind them is below WCAG's AA (4.5, large ones 3). Semi-transparent colours
# are blended; texts over images and disabled controls don't count.
FAINT = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = "#0000"; canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
    };
    const over = (top, under) => top.slice(0, 3).map((value, i) => value * top[3] + under[i] * (1 - top[3]));
    const behind = (element) => {
        const layers = [];
        for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
        return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
    };
    const light = (color) => {
        const [r, g, b] = color.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        const words = node.textContent.trim();
        if (!words || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        if (element.closest("script, style, option, [disabled], [aria-disabled=true], [aria-hidden=true], footer")) continue;
        const box = element.getBoundingClientRect();
        if (box.width < 2 || box.height < 2) continue;
        const style = getComputedStyle(element);
        const back = behind(element);
        const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5)) found.push(`${words.slice(0, 40)}: ${ratio.toFixed(2)} ${element.className}`);
    }
    return [...new Set(found)];
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, [role=img], [role=tab]")].filter((each) => {
    if (!each.checkVisibility({ visibilityProperty: true }) || each.type === "hidden") return false;
    const labels = [...(each.labels || [])].map((label) => label.textContent.trim()).join("");
    return !(each.ariaLabel || each.title || labels || each.textContent.trim() || each.getAttribute("aria-labelledby"));
}).map((each) => each.outerHTML.slice(0, 160))"""


@pytest.fixture
def page(studio: Served, visitor: Callable[..., BoardPage]) -> Page:
    """A visitor with something to see in every tab."""
    board = visitor(studio.address).open()
    board.stroke((0.3, 0.4), (0.7, 0.6))
    board.settle()
    board.page.get_by_role("tab", name="Compare").click()
    board.page.locator(".hs-c-xs").fill("1 | 2")
    board.page.locator(".hs-c-run").click()
    expect(board.page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    return board.page


def test_everything_can_be_read_and_has_a_name(page: Page) -> None:
    faint: dict[str, list[str]] = {}
    for tab in TABS:
        page.get_by_role("tab", name=tab, exact=True).click()
        still(page)
        assert page.evaluate(NAMELESS) == [], tab
        for theme in ("light", "dark"):
            page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", theme == "dark")
            still(page)  # colours fade from one to the other
            faint[f"{tab}, {theme}"] = page.evaluate(FAINT)
    assert {where: what for where, what in faint.items() if what} == {}


def test_nothing_sticks_out_at_any_width(page: Page) -> None:
    for width in (390, 820, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        for tab in TABS:
            page.get_by_role("tab", name=tab, exact=True).click()
            still(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{tab} at {width} px"


def test_the_board_is_drawn_on_by_keyboard_commands(page: Page) -> None:
    page.get_by_role("tab", name="Drawing board").click()
    page.locator(".hs-paper").focus()
    for key, state in (("e", "eraser"), ("h", "hand"), ("b", "brush")):
        page.keyboard.press(key)
        assert page.locator(f'button[data-tool="{state}"]').get_attribute("aria-pressed") == "true"
    page.keyboard.press("Delete")
    assert page.evaluate("hypersd.board.drawing.visible.length") == 0
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "who moves by keyboard sees where"
