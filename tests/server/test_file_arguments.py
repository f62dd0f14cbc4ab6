"""Whatever stands where a file is expected: no file of this machine is read and no address is asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.support.recipe_files import a1111, with_text
from tests.support.studio import Served, served

SECRET = "SECRETWORD"
JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
GOOD: dict[str, Any] = {"Number": 1, "Textbox": "", "File": None}


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a recipe beside the studio, which nobody uploaded."""
    path = tmp_path_factory.mktemp("private") / "secret.png"
    path.write_bytes(with_text(a1111(SECRET)))
    return path


class Asked(BaseHTTPRequestHandler):
    """Notes who comes, and would give them the secret."""

    paths: ClassVar[list[str]] = []
    content = with_text(a1111(SECRET))

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of a server that must not be asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/secret.png"
    server.shutdown()
    server.server_close()


def forms(path: Path, address: str) -> list[Any]:
    """Ways to write a path or an address."""
    told = {"meta": {"_type": "gradio.FileData"}, "orig_name": "a.png", "mime_type": "image/png"}
    names = [
        str(path),
        f"file://{path}", f"file={path}", f"/gradio_api/file={path}", f"//{path}",
        f"{path.parent}/../private/{path.name}", f"{path}\0.png",
        str(path).replace("/", "%2f"), "/proc/self/environ", "~/.bashrc", "app.py",
    ]  # fmt: skip
    addresses = [
        address,
        address.replace("http", "HTTP"),
        f"//{address[7:]}",
        f"url:{address}",
        address.replace("127.0.0.1", "0x7f.1"),
    ]
    by_path = [{"path": name, **told} for name in [*names, *addresses]]
    by_address = [{"path": None, "url": name, **told} for name in [*addresses, f"file://{path}"]]
    both = [{"path": "a.png", "url": address, "is_stream": stream, **told} for stream in (True, False)]
    return [*names, *addresses, *by_path, *by_address, *both, {"path": str(path)}, {"url": address}]


def file_endpoints(studio: Served) -> dict[str, list[dict[str, Any]]]:
    info = httpx.get(f"{studio.address}gradio_api/info", timeout=30).json()["named_endpoints"]
    rows = {name.removeprefix("/"): row["parameters"] for name, row in info.items()}
    return {name: row for name, row in rows.items() if any(parameter["component"] == "File" for parameter in row)}


LISTS = ("animate", "sticker_pack")  # what takes several files


def asked(http: httpx.Client, name: str, parameters: list[dict[str, Any]], form: Any) -> httpx.Response:
    """What the endpoint of this name says to it."""
    value = [form] if name in LISTS else form
    values = [value if row["component"] == "File" else GOOD[row["component"]] for row in parameters]
    return http.post(f"run/{name}", content=json.dumps({"data": values}))


def asked_as_a_tool(http: httpx.Client, name: str, form: Any) -> httpx.Response:
    """What the tool of this name says to it."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": {"picture": form}}}
    return http.post("mcp/", content=json.dumps(call))


def harmless(answer: httpx.Response) -> bool:
    """Whether it is a refusal that tells nothing of this machine."""
    refused = 400 <= answer.status_code < 500 or (answer.status_code == 200 and '"isError":true' in answer.text.replace(" ", ""))
    return refused and not any(word in answer.text for word in (SECRET, "PATH=", "HOME="))


def test_the_secret_would_be_told(studio: Served) -> None:
    """Uploaded it is read, so that a leak would be seen."""
    files = {"files": ("a.png", with_text(a1111(SECRET)))}
    (path,) = httpx.post(f"{studio.address}gradio_api/upload", files=files, timeout=30).json()
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    answer = httpx.post(f"{studio.address}gradio_api/run/recipe_from_png", json=body, timeout=30)
    assert SECRET in answer.text


def test_no_file_is_read_and_no_address_asked(studio: Served, secret: Path, elsewhere: str) -> None:
    told, endpoints = [], file_endpoints(studio)
    assert {"scribble", "recipe_from_png", "make_again", "annotate", "add_style"} <= set(endpoints)
    with httpx.Client(base_url=f"{studio.address}gradio_api/", headers=JSON, timeout=30) as http:
        for i, form in enumerate(forms(secret, elsewhere)):
            for name in [*endpoints, *endpoints][i % len(endpoints) :][:4]:
                told.append((name, form, asked(http, name, endpoints[name], form)))
            tool = ("recipe_from_png", "make_again", "sticker")[i % 3]  # a call of a tool takes ten times as long
            told.append((tool, form, asked_as_a_tool(http, tool, form)))
    wrong = [(name, form, answer.status_code, answer.text[:200]) for name, form, answer in told if not harmless(answer)]
    assert not wrong, "\n".join(str(row) for row in wrong[:8])
    assert not Asked.paths, f"asked for {Asked.paths}"
