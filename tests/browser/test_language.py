"""Another language reaches every word of the page: a pseudo-language marks each text, and what is unmarked was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError, expect

from hypersd_app.ui.i18n.texts import ENGLISH, LANGUAGES
from tests.support.board_page import WAIT, BoardPage
from tests.support.fake_engine import LARGE, POCKET, STYLES, FakeEngine
from tests.support.studio import Served, served

pytestmark = pytest.mark.browser
TABS = ("text", "board", "styles", "compare", "timeline")
# What models, recipes and styles are called is data, and so are prompts.
TRIGGERS = [style.trigger for style in STYLES if style.trigger]
ROWS = (POCKET, LARGE, *POCKET.recipes, *LARGE.controls, *STYLES)
# What is there once a tab is complete.
SHOWN = {
    "text": "#hs-text-gallery img",
    "board": ".hs-board",
    "styles": ".hs-cards .hs-style",
    "compare": ".hs-cell img[src]",
    "timeline": ".hs-t-frame",
}
DATA = (
    *(row.title for row in ROWS),
    *TRIGGERS,
    ENGLISH["text.first_prompt"],
    *ENGLISH["text.ideas"].split("|"),
)

# Texts that are seen, and labels of what is seen, with three letters in a row outside of the marks and besides names and
# prompts. Gradio's own footer and the buttons over its images and in its upload field speak the browser's language.
UNMARKED = """(data) => {
    const found = new Set();
    const tell = (words) => {
        let bare = words || "";
        while (/⟦[^⟦⟧]*⟧/.test(bare)) bare = bare.replace(/⟦[^⟦⟧]*⟧/g, " "); // one text may stand in another
        for (const name of data) bare = bare.replaceAll(name, "");
        if (/[A-Za-z]{3}/.test(bare)) found.add(bare.trim());
    };
    for (const each of document.body.querySelectorAll("*")) {
        if (each.closest("footer, script, style, .icon-button-wrapper, #hs-style-file .wrap")) continue;
        if (!each.checkVisibility({ visibilityProperty: true })) continue;
        for (const node of each.childNodes) if (node.nodeType === Node.TEXT_NODE) tell(node.textContent);
        if (!each.closest(".hs-page, .hs-board, .hs-header")) continue;
        for (const name of ["aria-label", "title", "placeholder", "alt"]) tell(each.getAttribute(name));
    }
    return [...found];
}"""


@pytest.fixture
def marked() -> Iterator[Served]:
    """A studio in the pseudo-language."""
    drawn = ("text.first_prompt", "text.ideas")
    LANGUAGES["marked"] = {key: words if key in drawn else f"⟦{words}⟧" for key, words in ENGLISH.items()}
    with served(FakeEngine(delay=0.02), language="marked") as running:
        yield running
    del LANGUAGES["marked"]


def test_no_word_of_the_page_stands_outside_the_table(marked: Served, visitor: Callable[..., BoardPage]) -> None:
    page = visitor(marked.address).page
    page.goto(marked.address)
    expect(page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    left_out: dict[str, list[str]] = {}
    for tab in TABS:
        page.get_by_role("tab", name=f"⟦{ENGLISH[f'tab.{tab}']}⟧", exact=True).click()
        if tab == "board":
            page.wait_for_function("() => hypersd.board.image && hypersd.board.link.idle", timeout=WAIT)
            for fold in page.locator(".hs-fold").all():
                fold.click()
        if tab == "compare":
            page.locator(".hs-c-xs").fill("1 | 2")
            page.locator(".hs-c-run").click()
            expect(page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
        expect(page.locator(SHOWN[tab]).first).to_be_visible(timeout=WAIT)
        with suppress(TimeoutError):  # what Gradio shows only while it works goes by itself
            page.wait_for_function(f"(data) => ({UNMARKED})(data).length === 0", arg=DATA, timeout=WAIT / 10)
        left_out[tab] = page.evaluate(UNMARKED, DATA)
    assert left_out == {tab: [] for tab in TABS}
