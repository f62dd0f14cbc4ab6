"""The server under load: where it is, what it says of itself, and one of its own if none is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from hypersd_app.errors import InvalidRequest, ModelUnavailable

BRIDGE = "hs-bridge"
START_SECONDS = 300.0


class RunningServer:
    """A studio at `address`, reached as a browser reaches it; `visitor` is the network address it is told of, "" for this one."""

    def __init__(self, address: str, visitor: str = "") -> None:
        self.address = address.rstrip("/")
        self.socket_address = self.address.replace("http", "ws", 1) + "/studio/board"
        self.headers = {"x-forwarded-for": visitor} if visitor else {}
        self._http = httpx.AsyncClient(timeout=30.0, headers=self.headers)
        self._bridge: Mapping[str, Any] = {}

    async def open(self) -> None:
        """Read the page's configuration. Raises ModelUnavailable if there is no studio."""
        try:
            config = (await self._http.get(f"{self.address}/config")).json()
            self._bridge = next(row for row in config["components"] if row["props"].get("elem_id") == BRIDGE)
        except (httpx.HTTPError, ValueError, KeyError, StopIteration) as error:
            raise ModelUnavailable(f"There is no studio at {self.address}: {error!r}") from error

    async def token(self) -> str:
        """A pass for the socket, through Gradio as the page gets it."""
        body = {"session_hash": secrets.token_hex(6), "component_id": self._bridge["id"], "fn_name": "board_token", "data": None}
        # A connection of its own, as every browser that comes: one kept since the last visit may have been closed meanwhile.
        alone = {"connection": "close"}
        reply = await self._http.post(f"{self.address}/gradio_api/component_server", json=body, headers=alone)
        reply.raise_for_status()
        return str(reply.json())

    async def page_seconds(self) -> float:
        """Seconds in which the page and its configuration come. Raises httpx.HTTPError."""
        began = time.perf_counter()
        for path in ("/", "/config"):
            (await self._http.get(f"{self.address}{path}")).raise_for_status()
        return time.perf_counter() - began

    def sizes(self, model: str) -> list[int]:
        """Sides in pixels that the page offers with a model. Raises InvalidRequest for one that is not there."""
        rows = {str(row["name"]): row for row in self._bridge["props"]["props"]["config"]["models"]}
        if model not in rows:
            raise InvalidRequest("model", model, "one of " + ", ".join(rows))
        return [int(side) for side in rows[model].get("sizes") or ()]

    def styles(self, model: str = "pocket") -> list[str]:
        """Names of the styles that the page offers."""
        rows = self._bridge["props"]["props"]["config"]["models"]
        return [str(style["name"]) for row in rows if row["name"] == model for style in row["styles"]]

    async def metrics(self) -> dict[str, float]:
        """Samples without labels, and those with, summed by name."""
        text = (await self._http.get(f"{self.address}/metrics")).text
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith("_bucket"):
                    found[sample.name] = found.get(sample.name, 0.0) + sample.value
        return found

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()


@contextlib.contextmanager
def own_server(environment: Mapping[str, str] | None = None, options: Sequence[str] = ()) -> Iterator[str]:
    """A studio in a process of its own on a free port, ready to draw; yields its address. Raises ModelUnavailable.

    `options` are more of `serve`'s.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hypersd_app", "serve", "--port", str(port), *options]
    process = subprocess.Popen(command, env=own_environment(environment or {}), stderr=subprocess.DEVNULL)
    try:
        asyncio.run(_await_ready(f"http://127.0.0.1:{port}", process))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """This process's variables with those of `environment`, for a server that nobody but this machine can reach."""
    own = {**os.environ, **environment, "HYPERSD_HOST": "127.0.0.1", "HYPERSD_SHARE": "0"}
    own.pop("GRADIO_SERVER_NAME", None)
    return own


async def _await_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with httpx.AsyncClient(timeout=5.0) as http:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"{address}/ready")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.1)
    raise ModelUnavailable("The server did not start; run `python -m hypersd_app serve` to see why.")
