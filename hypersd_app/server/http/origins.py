"""Which names the studio answers to. On a private one a page from elsewhere reaches nothing.

A browser runs pages of all sites, and any of them may send requests to this machine: directly (a form, a socket), or as its own
by a name that it makes resolve to 127.0.0.1 (DNS rebinding). Both show in headers a page can't change: Origin and Host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from hypersd_app.server.http.answers import refuse
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.settings import Settings

ANY = "*"
CHECKED = "hypersd.origin"  # of a scope whose Origin the settings name; another port of this machine is not enough for that
PROBES = ("/health", "/ready", "/metrics")  # asked for by a pod's or container's address


@dataclass(frozen=True)
class AllowedHosts:
    """Names and addresses the studio is reached at, besides this machine's own. `.example.org` stands for all names below.

    `everywhere` answers to any name: a public studio that was told none.
    """

    names: frozenset[str] = frozenset()
    everywhere: bool = False
    public: bool = False

    def allow(self, host: str) -> bool:
        """Whether a host, as a URL or the Host header names it, is one of ours."""
        return self.everywhere or is_own_machine(host_name(host)) or self.name(host)

    def name(self, host: str) -> bool:
        """Whether a host is one that the settings name."""
        name = host_name(host)
        return name in self.names or any(entry.startswith(".") and name.endswith(entry) for entry in self.names)


def allowed_hosts(settings: Settings, others: Iterable[str] = ()) -> AllowedHosts:
    """What the settings allow: everything on a public studio unless they name hosts; `others` are allowed as well."""
    named = [name.strip() for name in settings.allowed_hosts.split(",") if name.strip()]
    everywhere = ANY in named or (settings.public and not named)
    names = {host_name(name) for name in (*named, *others, settings.host) if name}
    return AllowedHosts(frozenset(names), everywhere, settings.public)


def host_name(host: str) -> str:
    """`studio.example` of `Studio.example.:7860`, `::1` of `[::1]:7860`; "" for what is no host."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") > 1:
        return host  # an IPv6 address without brackets
    return host.partition(":")[0].removesuffix(".")


def is_own_machine(name: str) -> bool:
    """Whether a name always means the machine it is used on."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class OriginGuard:
    """ASGI middleware. Refuses requests and sockets that are sent to another name, or by another site's page."""

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, metrics: Metrics) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] not in ("http", "websocket") or self._hosts.everywhere:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        fault = self._fault(headers, scope["path"])
        if not fault:
            host = urlsplit_host(headers.get("origin", ""))
            await self._app({**scope, CHECKED: not is_own_machine(host_name(host)) and self._hosts.name(host)}, receive, send)
            return
        self._metrics.refused("origin")
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "origin"})
            return
        await refuse(send, 403, fault)

    def _fault(self, headers: Headers, path: str) -> str:
        """What is wrong with the names in a request, "" if nothing is."""
        host, origin = headers.get("host"), headers.get("origin")
        probe = self._hosts.public and path in PROBES and origin is None
        if host is not None and not probe and not self._hosts.allow(host):
            return f"This studio does not answer to the host {host[:100]!r}. Allow it with HYPERSD_ALLOWED_HOSTS."
        if origin is not None and not self._hosts.allow(urlsplit_host(origin)):
            return f"This studio takes no requests of pages of {origin[:100]!r}. Allow their host with HYPERSD_ALLOWED_HOSTS."
        return ""


def urlsplit_host(origin: str) -> str:
    """The host in an Origin header; "" for "null" (a sandboxed frame, a file) and what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
