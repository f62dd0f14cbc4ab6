"""The page below a path of a reverse proxy: nginx and Caddy as the documents set them up, which take the path off or leave it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from tests.support.board_page import WAIT, BoardPage
from tests.support.event_loop import run_apart
from tests.support.reverse_proxies import reverse_proxy
from tests.support.studio import Served

pytestmark = pytest.mark.browser
PATH = "/deep/my.studio"
LOADED = "() => document.querySelector('#hs-text-gallery img')?.naturalWidth > 0"


def leaving_the_path(lines: str) -> str:
    """The documented lines without what takes the path off."""
    changed = lines.replace("handle_path", "handle").replace("/;  # the slash takes the path off", ";")
    assert changed != lines
    return changed


@pytest.fixture(params=["nginx", "caddy", "nginx, path left", "caddy, path left"])
def behind(request: pytest.FixtureRequest, shared: Served, tmp_path: Path) -> Iterator[str]:
    name, _, kind = request.param.partition(",")
    with reverse_proxy(name, tmp_path, shared.port, PATH, leaving_the_path if kind else str) as address:
        yield address


def test_page_socket_and_images_go_through_it(studio: Served, visitor: Callable[..., BoardPage], behind: str) -> None:
    board = visitor(behind.rstrip("/"))  # as people type it
    asked: list[str] = []
    board.page.on("request", lambda request: asked.append(request.url))
    board.page.on("websocket", lambda socket: asked.append(socket.url))
    board.open()
    assert board.page.url.startswith(behind)
    board.stroke((0.2, 0.2), (0.6, 0.5))
    board.settle()
    assert board.value("hypersd.board.link.transport.name") == "socket"
    board.page.get_by_role("tab", name="Text to image").click()
    board.page.locator("#hs-text-prompt textarea").fill("a red apple")
    board.page.wait_for_function(LOADED, timeout=WAIT)
    elsewhere = [url for url in asked if url.startswith(("http", "ws")) and f"{PATH}/" not in url and not url.endswith(PATH)]
    assert [url for url in elsewhere if not url.endswith("/manifest.json")] == []
    assert board.errors == []


def test_programs_and_mcp_go_through_it(studio: Served, behind: str) -> None:
    assert httpx.get(f"{behind}health", timeout=30).status_code == 200
    made = Client(behind, verbose=False).predict("a red apple", 1, 3, 1, api_name="/text_to_image")
    assert Image.open(made[0]["image"]).size == (256, 256)

    async def tools() -> list[str]:
        async with streamable_http_client(f"{behind}gradio_api/mcp/") as (read, write, *_), ClientSession(read, write) as session:
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    assert any(name.endswith("text_to_image") for name in run_apart(tools()))
