"""A Chromium's tab over the DevTools protocol, for timing.

Playwright's tabs report every WebSocket message and every image to its driver, bytes and all: on two cores that alone
took up to a sixth of the time from the pen to its image. Nothing is reported here.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from hypersd_app.bench.browser.chromium import ARGUMENTS, chromium_path
from hypersd_app.errors import HyperSDError, ModelUnavailable

SIZE = (1280, 900)  # CSS pixels of the page
START, PATIENCE, END = 30.0, 30.0, 10.0  # seconds for a browser to start, to answer, to close
LOOK_EVERY = 0.1  # seconds between two looks whether something is there


class Tab:
    """A page, and the mouse on it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self._at = (0.0, 0.0)
        self._pressed = 0
        width, height = SIZE
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def go(self, address: str) -> None:
        """Open another page, without waiting for all of it. Raises HyperSDError if nothing answers there."""
        told = self._send("Page.navigate", url=address)
        if "errorText" in told:
            raise HyperSDError(f"{address} cannot be opened: {told['errorText']}")

    def evaluate(self, function: str) -> Any:
        """What a JavaScript function gives, as JSON. Raises HyperSDError with what it throws."""
        told = self._send("Runtime.evaluate", expression=f"({function})()", awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise HyperSDError(f"The page failed: {told['result'].get('description', told['exceptionDetails'])}")
        return told["result"].get("value")

    def run(self, script: str) -> None:
        """Run a whole script. Raises HyperSDError with what it throws."""
        self.evaluate(f"() => {{ {script}\n}}")

    def wait_for(self, function: str) -> None:
        """Until a JavaScript function gives something true. Raises HyperSDError if it never does."""
        deadline = time.monotonic() + PATIENCE
        while not self.evaluate(f"() => Boolean(({function})())"):
            if time.monotonic() > deadline:
                raise HyperSDError(f"The page was waited for in vain: {function}")
            time.sleep(LOOK_EVERY)

    def counts(self) -> dict[str, float]:
        """Bytes of the scripts' heap, elements, listeners and more, once the garbage is gone."""
        self._send("HeapProfiler.collectGarbage")
        self._send("Performance.enable")
        told = self._send("Performance.getMetrics")["metrics"]
        return {str(row["name"]): float(row["value"]) for row in told}

    def move(self, x: float, y: float) -> None:
        """The mouse to a place, in CSS pixels."""
        self._at = (x, y)
        self._mouse("mouseMoved")

    def down(self) -> None:
        """Press its left button."""
        self._pressed = 1
        self._mouse("mousePressed")

    def up(self) -> None:
        """Let it go."""
        self._pressed = 0
        self._mouse("mouseReleased")

    def _mouse(self, kind: str) -> None:
        x, y = self._at
        button = "none" if kind == "mouseMoved" and not self._pressed else "left"
        self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=self._pressed, clickCount=1)

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        try:
            self._connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
            while True:
                told = json.loads(self._connection.recv(PATIENCE))
                if told.get("id") == self._number:
                    break
        except (WebSocketException, TimeoutError) as error:
            raise HyperSDError(f"The browser does not answer {method}: {error}") from error
        if "error" in told:
            raise HyperSDError(f"The browser refused {method}: {told['error']['message']}")
        answer: dict[str, Any] = told["result"]
        return answer


@contextmanager
def open_tab() -> Iterator[Tab]:
    """An empty tab of a headless Chromium of its own, until the block ends. Raises ModelUnavailable without any Chromium."""
    with tempfile.TemporaryDirectory(prefix="hypersd-browser-", ignore_cleanup_errors=True) as folder:
        profile = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"]
        process = subprocess.Popen([chromium_path(), *ARGUMENTS, *profile], stderr=subprocess.DEVNULL)
        try:
            address = _address(process, Path(folder) / "DevToolsActivePort")
            with connect(address, max_size=None, compression=None) as connection:
                yield Tab(connection)
        finally:
            process.terminate()
            try:
                process.wait(timeout=END)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[bytes], told: Path) -> str:
    """The address of the only tab; the browser writes the port into a file."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            tabs = httpx.get(f"http://127.0.0.1:{told.read_text(encoding='utf-8').split()[0]}/json/list").json()
            return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
        except (OSError, IndexError, StopIteration, httpx.TransportError):
            time.sleep(LOOK_EVERY)
    raise ModelUnavailable("Chromium could not be started.")
