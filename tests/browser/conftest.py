"""A real Chromium against the studio with the fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from hypersd_app.bench.browser.chromium import open_browser
from tests.support.board_page import BoardPage
from tests.support.fake_engine import FakeEngine
from tests.support.studio import Served, served


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with open_browser() as launched:
        yield launched


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    styles = tmp_path_factory.mktemp("styles")
    with served(FakeEngine(delay=0.02, folder=styles), styles=styles) as running:
        yield running


@pytest.fixture
def studio(shared: Served) -> Served:
    """The shared server, with the engine as new."""
    shared.engine.delay = 0.02
    shared.engine.failure = None
    shared.engine.own = ()
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
