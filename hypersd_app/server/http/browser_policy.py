"""What browsers are told to allow on our pages: scripts of this server only, no plugins, no frames of strangers."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRAMES = "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
# A file of a visitor is never a page: even one opened by its address runs nothing.
FILES = f"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; sandbox; {FRAMES}"
FILE_PATHS = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/file/")
HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-:[]")
LARGEST_PAGE = 16 * 1024 * 1024  # bytes


def page_policy(host: str, scripts: list[str]) -> str:
    """The policy of a page at `host` with the inline scripts that hash to `scripts`.

    `unsafe-eval`: Gradio compiles the scripts of its components (`js_on_load`, `js=`) from text. Inline scripts are those that
    stood in the page when it was sent, and no others: what is put into it later as HTML runs nothing.
    """
    sockets = f" ws://{host} wss://{host}" if host and set(host.lower()) <= HOST_LETTERS else ""
    hashes = "".join(f" 'sha256-{digest}'" for digest in scripts)
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'unsafe-eval' blob:{hashes}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' data: blob:{sockets}",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            FRAMES,
        )
    )


def inline_scripts(page: bytes) -> Iterator[str]:
    """SHA-256 in base64 of each inline script of a page, as browsers compute it."""
    at = 0
    while (start := page.find(b"<script", at)) >= 0:
        opened, end = page.find(b">", start), page.find(b"</script", start)
        if opened < 0 or end < opened:
            return
        if b" src=" not in page[start:opened]:
            # Browsers hash what their parser made of the text: line breaks of one kind.
            text = page[opened + 1 : end].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield base64.b64encode(hashlib.sha256(text).digest()).decode()
        at = end


class BrowserPolicy:
    """ASGI middleware that puts the policy on every answer; what a route says of itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(scope, send).send)


class _Answer:
    """One answer on its way back. A page is held until all of it is there, since its policy names its scripts."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._host = Headers(scope=scope).get("host", "")
        self._is_file = scope["path"].startswith(FILE_PATHS)
        self._send = send
        self._start: Message | None = None
        self._page = bytearray()

    async def send(self, message: Message) -> None:
        """Pass a message on, or hold it."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers.setdefault("x-content-type-options", "nosniff")
            headers.setdefault("referrer-policy", "same-origin")
            page = headers.get("content-type", "").startswith("text/html") and "content-encoding" not in headers
            if page and not self._is_file and "content-security-policy" not in headers:
                self._start = message
                return
            headers.setdefault("content-security-policy", FILES if self._is_file else page_policy(self._host, []))
        elif self._start is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if message.get("more_body", False) and len(self._page) < LARGEST_PAGE:
                return
            headers = MutableHeaders(raw=self._start["headers"])
            headers["content-security-policy"] = page_policy(self._host, list(inline_scripts(bytes(self._page))))
            await self._send(self._start)
            self._start = None
            message = {**message, "body": bytes(self._page)}
        await self._send(message)
