"""A real Chromium against the studio with the fake engine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.board_page import BoardPage
from tests.fake_engine import FakeEngine
from tests.studio import Served, served

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-sync", "--disable-component-update",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        launched = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def shared() -> Iterator[Served]:
    with served(FakeEngine(delay=0.02)) as running:
        yield running


@pytest.fixture
def studio(shared: Served) -> Served:
    """The shared server, with the engine as new."""
    shared.engine.delay = 0.02
    shared.engine.failure = None
    shared.engine.requests.clear()
    return shared


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., BoardPage]]:
    """Makes visitors, each with cookies and storage of their own: `visitor(address, query="", **context options)`."""
    contexts: list[BrowserContext] = []

    def make(address: str, query: str = "", **options: object) -> BoardPage:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))  # type: ignore[arg-type]
        page: Page = contexts[-1].new_page()
        return BoardPage(page, f"{address}{query}")

    yield make
    for context in contexts:
        context.close()
