"""Ports in use, hosts that are not ours, proxies before the studio and between it and itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from hypersd_app.cli import main
from hypersd_app.errors import CannotListen, InvalidRequest
from hypersd_app.server.http.address import reach_ourselves, require_free, url_host
from hypersd_app.server.http.proxy_path import ProxyPath
from hypersd_app.settings import Settings, from_environment


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_in_use_is_told_before_anything_is_loaded(
    taken: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hypersd_app.ui.app.open_engine", lambda _settings: pytest.fail("a model was loaded first"))
    assert main(["serve", "--port", str(taken)]) == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(f"error: Port {taken} is in use by another program") and "--port" in told


@pytest.mark.parametrize("host", ["203.0.113.7", "nowhere.invalid", "not a host"])
def test_a_host_of_another_machine_is_told(host: str) -> None:
    with pytest.raises(CannotListen, match="is no address of this machine"):
        require_free(host, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "", "::1", "[::1]", "::"])
def test_hosts_of_this_machine_are_free(host: str) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    require_free(host, 0)


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert [url_host(host) for host in ("::1", "[::1]", "127.0.0.1")] == ["[::1]", "[::1]", "127.0.0.1"]
    assert Settings(host="::").public and not Settings(host="::1").public


def test_the_process_reaches_itself_without_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "intranet.example, 127.0.0.1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    reach_ourselves("[fd00::7]")
    reach_ourselves("[fd00::7]")
    assert os.environ["no_proxy"] == "intranet.example,127.0.0.1,localhost,::1,fd00::7"
    assert os.environ["NO_PROXY"] == "localhost,127.0.0.1,::1,fd00::7"


async def told(request: Request) -> JSONResponse:
    """What a route behind the proxy sees."""
    return JSONResponse({"path": request.url.path, "host": request.headers.get("x-forwarded-host")})


async def board(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"host": websocket.headers.get("x-forwarded-host")})
    await websocket.close()


def client(root_path: str = "") -> TestClient:
    routes = [Mount("/tools", routes=[Route("/", told)]), Route("/config", told), WebSocketRoute("/board", board)]
    return TestClient(ProxyPath(Starlette(routes=routes), root_path), base_url="http://studio.example", follow_redirects=False)


@pytest.mark.parametrize("path", ["/a/b/config", "/config"])
@pytest.mark.parametrize("headers", [{"x-forwarded-prefix": "/a/b/"}, {}])
def test_the_path_is_taken_off_and_told_to_gradio(path: str, headers: dict[str, str]) -> None:
    through = client("" if headers else "/a/b")
    assert through.get(path, headers=headers).json() == {"path": "/config", "host": "studio.example/a/b"}
    forwarded = {**headers, "x-forwarded-host": "public.example, inner.example"}
    assert through.get(path, headers=forwarded).json()["host"] == "public.example/a/b"


def test_a_page_without_its_slash_is_sent_there() -> None:
    assert client("/a/b").get("/a/b").headers["location"] == "/a/b/"


def test_redirects_stay_below_the_path() -> None:
    assert client("/a/b").get("/tools").headers["location"] == "http://studio.example/a/b/tools/"


@pytest.mark.parametrize("prefix", ["", "/", "a", "//evil.example", "/a/../b", "/a?x", "/a\\b", "/" + 300 * "a"])
def test_what_is_no_path_changes_nothing(prefix: str) -> None:
    assert client().get("/config", headers={"x-forwarded-prefix": prefix}).json() == {"path": "/config", "host": None}


def test_the_socket_keeps_the_name_that_its_origin_is_compared_with() -> None:
    with client("/a/b").websocket_connect("/a/b/board") as socket_:
        assert socket_.receive_json() == {"host": None}


def test_the_path_is_a_setting() -> None:
    assert from_environment({"HYPERSD_ROOT_PATH": "/a"}).root_path == "/a"
    assert from_environment({"GRADIO_ROOT_PATH": "https://example.org/b"}).root_path == "/b"
    with pytest.raises(InvalidRequest, match="root_path"):
        Settings(root_path="studio")
