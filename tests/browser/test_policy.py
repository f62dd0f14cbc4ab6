"""The page under its own content security policy, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.board_page import BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser


def test_the_page_breaks_no_rule_of_its_policy_and_asks_nobody_else(studio: Served, visitor: Callable[..., BoardPage]) -> None:
    told: list[str] = []
    foreign: list[str] = []
    board = visitor(studio.address)
    page = board.page
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((studio.address, "data:", "blob:", "ws:")) else foreign.append(request.url),
    )
    page.reload()
    page.get_by_role("tab").first.wait_for()
    for tab in page.get_by_role("tab").all():
        tab.click()
    assert not [text for text in told if "Content Security Policy" in text or "Error" in text] and not foreign


def test_markup_that_is_put_into_the_page_runs_nothing(studio: Served, visitor: Callable[..., BoardPage]) -> None:
    page = visitor(studio.address).page
    page.get_by_role("tab").first.wait_for()
    page.evaluate("""() => {
        const place = document.createElement("div");
        const broken = "window.broken = true";
        place.innerHTML = `<img src='data:,' onerror='${broken}'><a id='trap' href='javascript:${broken}'>x</a>`;
        document.body.append(place);
        const script = document.createElement("script");
        script.textContent = "window.broken = true";
        document.body.append(script);
        document.getElementById("trap").click();
        return new Promise((resolve) => place.firstChild.addEventListener("error", () => setTimeout(resolve)));
    }""")
    assert page.evaluate("window.broken") is None
