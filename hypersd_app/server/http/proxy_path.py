"""The studio below a path of a reverse proxy: `https://example.org/studio/`, whether or not the proxy takes the path off.

Gradio builds addresses of files and calls from the Host header, or from X-Forwarded-Host. A path that is not the same for
everybody is known to neither, so it is added to the latter, which Gradio takes over as it is.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypersd_app.settings import PROXY_PATH

FORWARDED_PREFIX = "x-forwarded-prefix"
FORWARDED_HOST = "x-forwarded-host"


def clean_path(text: str) -> str:
    """A path without a slash at its end; "" for none and for what is no plain path."""
    path = text.strip()
    return path.rstrip("/") if PROXY_PATH.fullmatch(path) else ""


class ProxyPath:
    """ASGI middleware. The path is `root_path`, or what a proxy sends as X-Forwarded-Prefix.

    Anybody may send that header; as with X-Forwarded-Host, it changes only the addresses in the answer to the same request.
    """

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app = app
        self._root_path = clean_path(root_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as if it had been sent to the top."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        prefix = self._root_path or clean_path(headers.get(FORWARDED_PREFIX, ""))
        if not prefix:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(_below(scope, prefix), receive, send)
        elif scope["path"] == prefix:  # a page's relative addresses need the slash
            await RedirectResponse(f"{prefix}/")(scope, receive, send)
        else:
            host = headers.get(FORWARDED_HOST, headers.get("host", "")).partition(",")[0].strip()
            await self._app(_with_host(_below(scope, prefix), f"{host}{prefix}"), receive, _redirecting(send, host, prefix))


def _below(scope: Scope, prefix: str) -> Scope:
    path = scope["path"]
    if path.startswith(f"{prefix}/"):
        path = path.removeprefix(prefix)
    return {**scope, "path": path, "raw_path": quote(path).encode(), "root_path": ""}


def _with_host(scope: Scope, host: str) -> Scope:
    headers = MutableHeaders(raw=list(scope["headers"]))
    headers[FORWARDED_HOST] = host
    return {**scope, "headers": headers.raw}


def _redirecting(send: Send, host: str, prefix: str) -> Send:
    """`send` with the path in the Location of answers that lead to this host."""

    async def redirected(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            parts = urlsplit(headers.get("location", ""))
            if parts.path.startswith("/") and parts.netloc in ("", host) and not f"{parts.path}/".startswith(f"{prefix}/"):
                headers["location"] = urlunsplit(parts._replace(path=f"{prefix}{parts.path}"))
        await send(message)

    return redirected
