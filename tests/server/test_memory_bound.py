"""Memory with every limit at its top at once: worked out, and tried scaled down."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace

import httpx
import psutil
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from hypersd_app.server.http.bodies import BodyMemory
from hypersd_app.server.http.wire import Message, pack
from hypersd_app.server.scheduling.limits import MEGABYTE, BoardLimits
from hypersd_app.server.scheduling.memory import most_memory
from tests.support.server_process import await_ready
from tests.support.studio import free_port

POCKET, SLACK = 256 * 256, 48 * MEGABYTE  # the second for threads and fragments
SMALL = {
    "sessions": 4, "frame_bytes": 500_000, "bodies": 4 * MEGABYTE, "body_bytes": MEGABYTE, "jobs": 4, "upload_bytes": MEGABYTE,
    "sketch_pixels": 1_000_000, "bytes_per_second": 1000.0, "free_memory": 0,
}  # fmt: skip
OTHERS = ("198.51.100.7", "203.0.113.9", "192.0.2.1")


def test_all_limits_together_are_what_a_small_machine_has() -> None:
    found = most_memory(BoardLimits(), POCKET)
    assert sum(found.values()) < 2.6e9, found
    assert sum(most_memory(BoardLimits()).values()) < 8e9, "with images of a megapixel"


@pytest.mark.parametrize("name", ["sessions", "frame_bytes", "bodies", "jobs", "upload_bytes", "sketch_pixels"])
def test_each_limit_counts(name: str) -> None:
    limits = BoardLimits()
    more = replace(limits, **{name: 2 * getattr(limits, name)})
    assert sum(most_memory(more).values()) > sum(most_memory(limits).values())


def test_one_address_has_a_quarter_of_the_memory_for_bodies() -> None:
    bodies = BodyMemory(BoardLimits(bodies=100, body_bytes=10))
    with bodies.body("203.0.113.9", 25):
        assert not bodies.room("203.0.113.9", 1) and bodies.room("203.0.113.10", 25)
        with bodies.body("127.0.0.1", 70):
            assert bodies.room("203.0.113.10", 5) and not bodies.room("203.0.113.10", 6)
    assert bodies.room("203.0.113.9", 25) and not bodies._held, "nothing is kept of who left"


@pytest.fixture
def server() -> Iterator[tuple[str, int, psutil.Process]]:
    port = free_port()
    limits = " ".join(f"{name}={value}" for name, value in SMALL.items())
    process = subprocess.Popen([sys.executable, "-m", "tests.support.serve_fake", str(port), limits], stderr=subprocess.DEVNULL)
    await_ready(port, process, answers=(200, 503))
    yield f"http://127.0.0.1:{port}", port, psutil.Process(process.pid)
    process.kill()
    process.wait(10)


def test_a_server_with_everything_at_its_top_stays_below_that(server: tuple[str, int, psutil.Process]) -> None:
    address, port, process = server
    bound = sum(most_memory(BoardLimits(**SMALL), POCKET).values())
    stop = threading.Event()

    def greedy_board(token: str) -> None:
        with suppress(ConnectionClosed, OSError), connect(f"ws://127.0.0.1:{port}/studio/board", max_queue=1) as board:
            board.send(json.dumps({"token": token}))
            while not stop.is_set():
                board.send(pack(Message(1, {"prompt": "a cat"}, bytes(480_000))))  # and reads nothing

    def greedy_call(number: int) -> None:
        # Files of a megapixel as a sketch, and as many images as there may be.
        buffer = io.BytesIO()
        Image.new("RGB", (1000, 1000), "white").save(buffer, "PNG")
        files = {"files": (f"{number}.png", buffer.getvalue())}
        while not stop.is_set():
            with suppress(httpx.HTTPError, ValueError, KeyError):
                path = httpx.post(f"{address}/gradio_api/upload", files=files, timeout=20).json()[0]
                sketch = {"path": path, "meta": {"_type": "gradio.FileData"}}
                data = {"data": ["a cat", 8, 5, 8, "", "", "", "", None, None, None, None]}
                kind = "recipe_from_png" if number % 2 else "text_to_image"
                asked = {"data": [sketch]} if number % 2 else data
                httpx.post(f"{address}/gradio_api/run/{kind}", json=asked, timeout=20)

    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        tokens = [board_token(address) for _ in range(SMALL["sessions"])]
        httpx.get(address, timeout=20)
        before = process.memory_info().rss
        for token in tokens:
            pool.submit(greedy_board, token)
        for number in range(8):
            pool.submit(greedy_call, number)
        for i in range(60):  # bodies that never end, each of a megabyte of which the last byte is missing
            line = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
            head = f"POST /gradio_api/queue/join HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {OTHERS[i % 3]}\r\n"
            line.sendall(f"{head}content-length: {MEGABYTE - 1000}\r\n\r\n".encode())
            with suppress(OSError):
                line.settimeout(2)
                line.sendall(bytes(MEGABYTE - 1001))
        most, end = 0, time.monotonic() + 6
        while time.monotonic() < end:
            most = max(most, process.memory_info().rss - before)
            time.sleep(0.05)
        stop.set()
    assert most < bound + SLACK, f"{most / 1e6:.0f} MB, {bound / 1e6:.0f} were worked out"
    assert httpx.get(f"{address}/health", timeout=20).status_code == 200


def board_token(address: str) -> str:
    config = httpx.get(f"{address}/config", timeout=20).json()
    bridge = next(row for row in config["components"] if row["props"].get("elem_id") == "hs-bridge")
    body = {"session_hash": "s", "component_id": bridge["id"], "fn_name": "board_token", "data": None}
    return str(httpx.post(f"{address}/gradio_api/component_server", json=body, timeout=20).json())
