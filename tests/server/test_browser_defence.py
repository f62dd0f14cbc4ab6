# ruff: noqa: E501 - tables of requests
"""What a page of another site, and a name that resolves to this machine, reach on a private studio: nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from hypersd_app.server.http.browser_policy import inline_scripts, page_policy
from hypersd_app.server.http.origins import AllowedHosts, allowed_hosts, host_name
from hypersd_app.settings import Settings
from tests.support.studio import Served, served


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running


FOREIGN = ("http://evil.example", "https://evil.example:7860", "null", "http://localhost.evil.example", "http://[", "")


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/health", "/gradio_api/mcp/"])
def test_a_name_that_resolves_here_gets_nothing(studio: Served, path: str) -> None:
    for host in ("evil.example", f"evil.example:{studio.port}", "127.0.0.1.evil.example", "0.0.0.0", "192.168.1.5"):
        assert httpx.get(f"{studio.address[:-1]}{path}", headers={"host": host}).status_code == 403
    assert httpx.get(studio.address, headers={"host": f"localhost:{studio.port}"}).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_site_posts_nothing(studio: Served, origin: str) -> None:
    files = {"files": ("x.png", b"x")}
    refused = httpx.post(f"{studio.address}gradio_api/upload", files=files, headers={"origin": origin})
    assert refused.status_code == 403 and "HYPERSD_ALLOWED_HOSTS" in refused.json()["detail"]
    form = {"component_id": "1", "fn_name": "board_token", "session_hash": "s"}
    refused = httpx.post(f"{studio.address}gradio_api/component_server", data=form, files=files, headers={"origin": origin})
    assert refused.status_code == 403 and "token" not in refused.text


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_a_page_of_another_site_opens_no_socket(studio: Served, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus), connect(f"ws://127.0.0.1:{studio.port}/studio/board", additional_headers=headers):
        pass


def test_the_studio_itself_and_programs_come_in(studio: Served) -> None:
    for host, headers in (
        ("127.0.0.1", {}),
        ("127.0.0.1", {"origin": studio.address.rstrip("/")}),
        ("localhost", {"origin": f"http://localhost:{studio.port}"}),
    ):
        files = {"files": ("x.png", b"x")}
        assert httpx.post(f"{studio.address}gradio_api/upload", files=files, headers=headers).status_code == 200
        with connect(f"ws://{host}:{studio.port}/studio/board", additional_headers=headers):
            assert True


@pytest.mark.parametrize(
    ("settings", "host", "expected"),
    [
        (Settings(), "localhost:7860", True), (Settings(), "[::1]:7860", True), (Settings(), "127.8.9.1", True),
        (Settings(), "LOCALHOST.", True), (Settings(), "a.localhost", True), (Settings(), "studio.example", False),
        (Settings(), "", False), (Settings(), "127.0.0.1.evil.example", False),
        (Settings(allowed_hosts="studio.example, .local"), "Studio.Example:443", True),
        (Settings(allowed_hosts="studio.example, .local"), "den.local", True),
        (Settings(allowed_hosts="studio.example, .local"), "notlocal", False),
        (Settings(allowed_hosts="*"), "anything", True),
        (Settings(host="0.0.0.0"), "anything", True), (Settings(share=True), "x.gradio.live", True),
        (Settings(host="0.0.0.0", allowed_hosts="studio.example"), "other.example", False),
        (Settings(host="192.168.1.5", allowed_hosts="studio.example"), "192.168.1.5:7860", True),
    ],
)  # fmt: skip
def test_which_names_are_ours(settings: Settings, host: str, expected: bool) -> None:
    assert allowed_hosts(settings).allow(host) is expected


def test_names_of_hosts() -> None:
    assert [host_name(host) for host in ("A.b:1", "[::1]:8", "::1", "[::1", "x.")] == ["a.b", "::1", "::1", "::1", "x"]
    assert AllowedHosts(frozenset({"a"})).allow("a") and not AllowedHosts().allow("a")


@pytest.mark.parametrize("path", ["/", "/config", "/health", "/nowhere", "/gradio_api/info", "/gradio_api/file=/etc/passwd"])
def test_every_answer_tells_browsers_what_to_allow(studio: Served, path: str) -> None:
    headers = httpx.get(f"{studio.address[:-1]}{path}").headers
    assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'self' https://huggingface.co" in policy
    assert "sandbox" in policy or ("object-src 'none'" in policy and "base-uri 'self'" in policy and "form-action 'self'" in policy)


def test_the_page_runs_its_own_scripts_and_no_others(studio: Served) -> None:
    page = httpx.get(studio.address)
    scripts = next(part for part in page.headers["content-security-policy"].split("; ") if part.startswith("script-src"))
    assert (
        "unsafe-inline" not in scripts
        and "http:" not in scripts
        and scripts.count("sha256-") == len(set(inline_scripts(page.content)))
    )
    assert page.text.endswith("</html>") or "</html>" in page.text, "nothing of it was lost while it was held"


def test_hashes_of_scripts_are_those_that_browsers_compute() -> None:
    page = b"<script src='x' ></script><script src=\"a.js\"></script><script>one\r\ntwo</script><script type=module>3</script><script>cut"
    wanted = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"one\ntwo", b"3")]
    assert [found for found in inline_scripts(page) if found in wanted] == wanted
    assert " ws://" not in page_policy("evil.example; script-src *", [])


@pytest.mark.parametrize(
    ("name", "data"), [("x.html", b"<script>alert(1)</script>"), ("x.svg", b"<svg onload='alert(1)'/>"), ("x.png", b"<html>")]
)
def test_uploads_are_never_active(studio: Served, name: str, data: bytes) -> None:
    (path,) = httpx.post(f"{studio.address}gradio_api/upload", files={"files": (name, data)}).json()
    answer = httpx.get(f"{studio.address}gradio_api/file={path}")
    assert answer.headers["x-content-type-options"] == "nosniff" and "sandbox" in answer.headers["content-security-policy"]
    assert "attachment" in answer.headers.get("content-disposition", "") or answer.headers["content-type"].startswith("image/png")
