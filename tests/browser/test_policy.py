"""The page under its own content security policy, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.support.studio import Served

pytestmark = pytest.mark.browser
TABS = ("Drawing board", "Styles", "Compare", "Timeline")


def test_the_page_breaks_no_rule_of_its_policy_and_asks_nobody_else(studio: Served, browser: Browser) -> None:
    told: list[str] = []
    foreign: list[str] = []
    own = (studio.address, "data:", "blob:", "ws:")
    page = browser.new_page()
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(own) else foreign.append(request.url))
    page.goto(studio.address)
    for name in TABS:
        page.get_by_role("tab", name=name).click()
    # What is put into the page later runs nothing.
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.broken = true";
        document.body.append(script);
    }""")
    broken = page.evaluate("window.broken === true")
    page.close()
    refused = [text for text in told if "Content Security Policy" in text]
    assert not broken and len(refused) == 1 and not foreign, (refused, foreign)
