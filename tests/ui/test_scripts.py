"""How the page's modules reach the browser."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from hypersd_app.ui.shell.scripts import MAIN, head, module_route, modules, mount


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=[module_route()]), base_url="http://studio/")


def test_every_module_is_served_as_javascript_that_may_be_kept(client: TestClient) -> None:
    for name, source in modules().sources.items():
        reply = client.get(f"/{modules().address(name)}")
        assert (reply.status_code, reply.content) == (200, source)
        assert reply.headers["content-type"].startswith("text/javascript")
        assert "immutable" in reply.headers["cache-control"]
        assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["board.html", "../scripts.py", "%2e%2e/scripts.py", "nothing.js", ""])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/{modules().address(name)}").status_code == 404


def test_another_version_is_not_found_and_that_is_not_kept(client: TestClient) -> None:
    reply = client.get(f"/{modules().address()}".replace(modules().version, "0" * 16))
    assert (reply.status_code, reply.headers["cache-control"]) == (404, "no-store")


def test_the_head_names_every_module_once_and_has_no_script_of_its_own() -> None:
    named = re.findall(r'(?:src|href)="([^"]+)"', head())
    assert sorted(named) == sorted(modules().address(name) for name in modules().sources)
    assert re.findall(r"<script[^>]*>(.*?)</script>", head()) == [""]
    assert not any(address.startswith("/") for address in named), "the page may lie below a proxy's path"


def test_a_component_is_handed_over_by_the_same_main_module() -> None:
    assert modules().address(MAIN) in mount("mountBoard")
    assert "studio.mountBoard(element, props, trigger, server)" in mount("mountBoard")
