"""The page below a path of a reverse proxy, which takes the path off before the server sees it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Route

from tests.support.board_page import BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser
PREFIX = "deep/studio/"


def test_the_modules_come_from_below_the_path(studio: Served, visitor: Callable[..., BoardPage]) -> None:
    asked: list[str] = []

    def proxy(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(response=route.fetch(url=route.request.url.replace(PREFIX, "")))

    board = visitor(f"{studio.address}{PREFIX}")
    board.page.route(f"**/{PREFIX}**", proxy)
    board.page.on("request", lambda request: PREFIX in request.url or "/static/" not in request.url or asked.append(request.url))
    board.open()
    modules = [address for address in asked if "/studio/static/" in address]
    assert modules and all(PREFIX in address for address in modules)
    assert len(modules) == len(set(modules)), "each is fetched once"
    assert board.errors == []
