"""Two thousand bad inputs over every door: an answer for each, never a trace or a 5xx, and the next request is served."""

from __future__ import annotations

import functools
import json
import socket as raw_socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.scanning.scan import scan_styles
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.images.files import decode_image
from hypersd_app.server.http.png_recipes import read_recipe
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.scheduling.limits import BoardLimits
from tests.support.bad_inputs import HEAD, calls, frames, image, images, lora_files, many, recipes
from tests.support.sockets import opened
from tests.support.studio import Served, served

COUNTS = {"frames": 500, "calls": 600, "loras": 400, "recipes": 300, "images": 200}
LIMITS = BoardLimits(frames_per_second=10_000, burst=10_000, bytes_per_second=1e9, image_pixels=1_000_000)
PATIENCE = 10.0
assert sum(COUNTS.values()) == 2000


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served(limits=LIMITS) as running:
        yield running


def board(studio: Served) -> ClientConnection:
    socket = opened(f"ws://127.0.0.1:{studio.port}/studio/board", max_size=None)
    socket.send(json.dumps({"token": studio.studio.service.signer.issue()}))
    assert json.loads(socket.recv(timeout=PATIENCE))["type"] == "ready"
    return socket


def answer(socket: ClientConnection) -> dict[str, object]:
    data = socket.recv(timeout=PATIENCE)
    return dict(unpack(data).head) if isinstance(data, bytes) else dict(json.loads(data))


def assert_serves(studio: Served) -> None:
    with board(studio) as socket:
        socket.send(pack(Message(7, {"prompt": "a cat", "model": "pocket"}, image())))
        assert answer(socket)["type"] == "picture"


def test_frames(studio: Served) -> None:
    socket = board(studio)
    for i, frame in enumerate(many(frames, COUNTS["frames"])):
        try:
            socket.send(frame)
            told = answer(socket)
        except ConnectionClosed as closed:
            pytest.fail(f"frame {i} {frame[:60]!r} closed the board: {closed}")
        assert told["type"] in ("picture", "error", "dropped") and "Traceback" not in str(told), frame[:80]
        assert "log says why" not in str(told), f"frame {i} {frame[:200]!r} was not understood as wrong: {told}"
    socket.close()
    assert_serves(studio)


@pytest.mark.parametrize(
    "hello", [b"", "", "[]", "3", "[" * 20_000, '{"token": 3}', '{"token": null}', "\0", '{"token": "é.1.x"}', b"\xff"]
)
def test_hellos(studio: Served, hello: str | bytes) -> None:
    with connect(f"ws://127.0.0.1:{studio.port}/studio/board") as socket:
        socket.send(hello)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
    assert_serves(studio)


def test_http_calls(studio: Served) -> None:
    wrong = []
    with httpx.Client(base_url=studio.address, timeout=PATIENCE) as http:
        config = http.get("/config").json()
        bridge = next(row["id"] for row in config["components"] if row["props"].get("elem_id") == "hs-bridge")
        names = tuple(http.get("/gradio_api/info").json()["named_endpoints"])
        endpoints = tuple(name.removeprefix("/") for name in names)
        for i, (method, path, options) in enumerate(
            many(functools.partial(calls, endpoints=endpoints, bridge=bridge), COUNTS["calls"])
        ):
            reply = http.request(method, path, **options)
            if reply.status_code >= 500 or "Traceback" in reply.text:
                wrong.append((method, path, reply.status_code, reply.text[:120], str(options)[:200]))
            elif "/call/" in path and reply.status_code == 200 and i % 10 == 0:
                stream = http.get(f"{path}/{reply.json()['event_id']}")  # every event comes to an end
                assert "event:" in stream.text and "Traceback" not in stream.text
    assert not wrong, "\n".join(str(row) for row in wrong[:8])
    assert_serves(studio)


def test_bodies_without_end_are_cut_off(studio: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(16):
            yield bytes(1024 * 1024)

    with closing(raw_socket.create_connection(("127.0.0.1", studio.port), PATIENCE)) as line:
        line.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\n\r\n")
        assert b" 413 " in line.recv(1000)
    try:  # in chunks, without saying how much will come
        cut = httpx.post(f"{studio.address}gradio_api/queue/join", content=endless(), timeout=PATIENCE)
        assert 400 <= cut.status_code < 500
    except httpx.WriteError:
        assert True, "hung up on"
    assert_serves(studio)


def test_lora_files(tmp_path: Path) -> None:
    for i, data in enumerate(many(lora_files, COUNTS["loras"])):
        path = tmp_path / f"{i % 7}.safetensors"
        path.write_bytes(data)
        with pytest.raises(ModelUnavailable):
            check_lora(path)
            pytest.fail(f"taken: {data[:200]!r}")
    assert isinstance(list(scan_styles(tmp_path)), list), "a folder of such files does not stop the scan"


def test_recipes_in_images() -> None:
    for data in many(recipes, COUNTS["recipes"]):
        try:
            read_recipe(data)
        except InvalidRequest as error:
            assert str(error)


def test_images() -> None:
    for data in many(images, COUNTS["images"]):
        try:
            decode_image(data, "sketch", 1_000_000)
        except InvalidRequest as error:
            assert error.field == "sketch"
    assert HEAD["prompt"], "the generator left its own example alone"
