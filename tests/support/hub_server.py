"""A server that speaks the Hub's protocol for a folder of repositories, and can fail in the Hub's ways."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".pth")  # stored as LFS files, whose ETag is their SHA-256
FAULTS = (
    "missing-repo", "missing-file", "missing-revision", "unauthorized", "gated", "cut", "wrong-hash", "truncated", "broken",
    "garbled",
)  # fmt: skip


class HubServer:
    """Serves `root/owner/name`. `fail` makes requests whose path ends so go wrong, `times` times (-1: always).

    `ranges` holds the Range headers of GET, by path. With a `token` nobody else is served; `revisions` are those there are.
    """

    def __init__(self, root: Path, token: str = "") -> None:
        self.root = root
        self.token = token
        self.revisions = {"main", COMMIT}
        self.requests: list[tuple[str, str]] = []
        self.ranges: list[tuple[str, str]] = []
        self._faults: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def fail(self, ending: str, fault: str, times: int = -1) -> None:
        """Make GET and HEAD of paths ending in `ending` fail."""
        assert fault in FAULTS
        self._faults[ending] = (fault, times)

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def fault_of(self, path: str, spend: bool) -> str:
        """The fault that this request meets, or ""."""
        with self._lock:
            for ending, (fault, times) in self._faults.items():
                if path.endswith(ending) and times != 0:
                    if spend:
                        self._faults[ending] = (fault, times - 1)
                    return fault
        return ""

    @contextmanager
    def running(self) -> Iterator[HubServer]:
        """Serve in a thread while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(_Handler):
            server_hub = hub

        return Handler


class _Handler(BaseHTTPRequestHandler):
    server_hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Tests read `requests` instead."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server_hub.requests.append((self.command, path))
        if body:
            self.server_hub.ranges.append((path, self.headers.get("Range", "")))
        fault = self.server_hub.fault_of(path, spend=body)
        if self.server_hub.token and self.headers.get("Authorization") != f"Bearer {self.server_hub.token}":
            fault = "unauthorized"
        errors = {
            "missing-repo": (404, "RepoNotFound"), "missing-file": (404, "EntryNotFound"), "gated": (403, "GatedRepo"),
            "missing-revision": (404, "RevisionNotFound"), "unauthorized": (401, ""), "broken": (500, ""),
        }  # fmt: skip
        if fault in errors:
            return self._error(*errors[fault])
        if path.startswith("/api/models/"):
            return self._info(path.removeprefix("/api/models/"), fault)
        owner, name, kind, revision, *rest = [*path.strip("/").split("/"), "", "", "", ""]
        file = self.server_hub.root / owner / name / "/".join(part for part in rest if part)
        if not (self.server_hub.root / owner / name).is_dir():
            return self._error(404, "RepoNotFound")
        if revision not in self.server_hub.revisions:
            return self._error(404, "RevisionNotFound")
        if kind != "resolve" or not file.is_file():
            return self._error(404, "EntryNotFound")
        return self._file(file, body, fault, revision)

    def _error(self, status: int, code: str) -> None:
        content = json.dumps({"error": code or "no"}).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _info(self, repo: str, fault: str) -> None:
        name, _, revision = repo.partition("/revision/")
        folder = self.server_hub.root / name
        if not folder.is_dir():
            return self._error(404, "RepoNotFound")
        if revision and revision not in self.server_hub.revisions:
            return self._error(404, "RevisionNotFound")
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        sha = revision if len(revision) == len(COMMIT) else COMMIT
        info = {"id": name, "modelId": name, "sha": sha, "private": False, "siblings": [{"rfilename": row} for row in names]}
        content = b"<html>" if fault == "garbled" else json.dumps(info).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._send(content, fault)

    def _file(self, file: Path, body: bool, fault: str, revision: str) -> None:
        content = file.read_bytes()
        if fault == "truncated":
            content = content[: len(content) // 2]
        digest = hashlib.sha256(content).hexdigest() if file.suffix in LARGE else hashlib.sha1(content).hexdigest()
        if fault == "wrong-hash":
            content = content[:-4] + bytes(4 * [0x55])
        start = self._range_start()
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Linked-Etag", f'"{digest}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Repo-Commit", revision if len(revision) == len(COMMIT) else COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self._send(content[start:], fault)

    def _send(self, content: bytes, fault: str) -> None:
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(content)

    def _range_start(self) -> int:
        text = self.headers.get("Range", "")
        return int(text.removeprefix("bytes=").split("-")[0]) if text.startswith("bytes=") else 0
