"""The whole server with real faults: what is lost, who is told, and that it serves again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from hypersd_app.server.http.wire import Message, pack, unpack
from tests.support.sockets import opened
from tests.support.studio import free_port

pytestmark = pytest.mark.slow  # each starts a server of its own

HEAD = {"prompt": "a cat", "model": "pocket", "num_inference_steps": 1, "seed": 5}
PATIENCE = 120.0  # a machine that is busy with other tests takes its time to start a process
REST = [1, 5, 1, "", "", "", "", None, None, None, None]  # of the arguments of /text_to_image


class Server:
    """The studio in a process of its own."""

    def __init__(self, port: int, process: subprocess.Popen[str]) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.port = port
        self.process = process

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.address}{path}", timeout=10)

    def token(self) -> str:
        config = self.get("/config").json()
        bridge = next(row for row in config["components"] if row["props"].get("elem_id") == "hs-bridge")
        body = {"session_hash": "s", "component_id": bridge["id"], "fn_name": "board_token", "data": None}
        return str(httpx.post(f"{self.address}/gradio_api/component_server", json=body, timeout=10).json())

    def board(self, token: str = "") -> ClientConnection:
        socket = opened(f"ws://127.0.0.1:{self.port}/studio/board", max_size=None)
        socket.send(json.dumps({"token": token or self.token()}))
        assert json.loads(socket.recv(timeout=10))["type"] == "ready"
        return socket


@contextmanager
def serving(**environment: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.serve_faulty", str(port)]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.DEVNULL, encoding="utf-8")
    server = Server(port, process)
    try:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                if server.get("/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def drawn(socket: ClientConnection, sequence: int, **changes: object) -> dict[str, object]:
    socket.send(pack(Message(sequence, {**HEAD, **changes})))
    data = socket.recv(timeout=PATIENCE)
    return dict(unpack(data).head) if isinstance(data, bytes) else dict(json.loads(data))


@pytest.mark.parametrize("fault", ["die", "crash", "hang"])
def test_who_was_in_flight_is_told_and_the_next_stroke_is_drawn(server: Server, fault: str) -> None:
    with server.board() as victim, server.board() as other:
        assert drawn(victim, 1)["type"] == drawn(other, 1)["type"] == "picture"
        began = time.monotonic()
        told = drawn(victim, 2, prompt=fault)
        assert told["type"] == "error" and float(str(told["retry_after"])) > 0 and "started again" in str(told["message"])
        assert drawn(other, 2)["type"] == drawn(victim, 3)["type"] == "picture"
        print(f"{fault}: served again after {time.monotonic() - began:.1f} s")
    assert server.get("/health").status_code == 200
    assert "hypersd_worker_restarts 0.0" not in server.get("/metrics").text


def test_a_drawing_process_that_stands_still_is_replaced_and_readiness_says_so(server: Server) -> None:
    with server.board() as socket:
        assert drawn(socket, 1)["type"] == "picture" and server.get("/ready").status_code == 200
        first = drawing_process(server)
        os.kill(first, signal.SIGSTOP)
        told, states = drawn(socket, 2), {server.get("/ready").json()["state"]}
        assert told["type"] == "error" and "started again" in str(told["message"])
        deadline = time.monotonic() + PATIENCE
        while server.get("/ready").status_code != 200 and time.monotonic() < deadline:
            states.add(server.get("/ready").json()["state"])
            time.sleep(0.05)
        assert drawn(socket, 3)["type"] == "picture" and drawing_process(server) != first
        assert states <= {"ready", "restarting"}


def drawing_process(server: Server) -> int:
    """The child of the server that draws, by its start method."""
    for child in psutil.Process(server.process.pid).children():
        if "spawn_main" in " ".join(child.cmdline()):
            return child.pid
    raise AssertionError("nobody draws")


def test_running_out_of_memory_costs_one_frame(server: Server) -> None:
    with server.board() as socket:
        assert drawn(socket, 1, prompt="memory please")["type"] == "error"
        assert drawn(socket, 2)["type"] == "picture"


def test_a_socket_cut_in_mid_frame_can_be_resumed(server: Server) -> None:
    token = server.token()
    for _ in range(5):
        socket = server.board(token)
        socket.send(pack(Message(1, HEAD)))
        socket.socket.close()  # no goodbye
    with server.board(token) as socket:
        assert drawn(socket, 2)["type"] == "picture"
    for _ in range(50):
        if server.get("/health").json()["boards"] == 0:
            return
        time.sleep(0.1)
    pytest.fail("cut connections are still counted")


def test_sigterm_finishes_the_frame_and_ends_within_ten_seconds() -> None:
    with serving() as server, server.board() as socket:
        socket.send(pack(Message(1, {**HEAD, "prompt": "slow cat"})))
        time.sleep(0.3)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        data = socket.recv(timeout=10)
        assert isinstance(data, bytes) and unpack(data).sequence == 1, "what was being drawn arrives"
        with pytest.raises(ConnectionClosed):
            while True:
                socket.recv(timeout=10)
        assert server.process.wait(timeout=10) == 0
        print(f"ended after {time.monotonic() - began:.1f} s")


def test_on_a_full_disk_the_board_goes_on_and_the_rest_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        with serving(GRADIO_TEMP_DIR=str(disk), TMPDIR=str(disk)) as server, server.board() as socket:
            ballast = disk / "ballast"
            try:
                ballast.write_bytes(bytes(300 * 1024))
            except OSError:
                assert ballast.exists()
            upload = httpx.post(f"{server.address}/gradio_api/upload", files={"files": ("a.png", bytes(3_000_000))}, timeout=20)
            assert upload.status_code in (503, 507) and "Traceback" not in upload.text
            assert "error" in endpoint(server, ["a cat", *REST])
            assert drawn(socket, 1)["type"] == "picture"
            ballast.unlink()
            assert "complete" in endpoint(server, ["a cat", *REST])
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def endpoint(server: Server, data: list[object]) -> str:
    """The event stream of one call of /text_to_image."""
    call = f"{server.address}/gradio_api/call/text_to_image"
    event = httpx.post(call, json={"data": data}, timeout=20).json()["event_id"]
    return httpx.get(f"{call}/{event}", timeout=20).text
