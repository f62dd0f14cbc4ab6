"""The WebSocket as a client sees it, good and ill-behaved."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from hypersd_app.images.scribble import stroke_colour
from hypersd_app.server.http.board_socket import IDLE, REFUSED, TOO_MANY
from hypersd_app.server.http.wire import Message, pack, unpack
from hypersd_app.server.scheduling.limits import BoardLimits
from tests.support.fake_engine import FakeEngine, paint
from tests.support.sockets import opened
from tests.support.studio import Served, served

LIMITS = BoardLimits(frame_bytes=200_000, image_pixels=600 * 600, burst=6, frames_per_second=0.001, sessions=3)
HEAD: dict[str, Any] = {"prompt": "a cat", "model": "pocket", "num_inference_steps": 1, "seed": 5}


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served(FakeEngine(), limits=LIMITS) as running:
        yield running


def board(studio: Served, origin: str | None = None, token: str | None = None) -> ClientConnection:
    socket = opened(f"ws://127.0.0.1:{studio.port}/studio/board", origin=origin, max_size=None)
    socket.send(json.dumps({"token": studio.studio.service.signer.issue() if token is None else token}))
    return socket


def ready(studio: Served) -> ClientConnection:
    socket = board(studio)
    assert json.loads(socket.recv(timeout=10))["type"] == "ready"
    return socket


def answer(socket: ClientConnection) -> Message:
    data = socket.recv(timeout=10)
    if isinstance(data, bytes):
        return unpack(data)
    head = json.loads(data)
    return Message(head["seq"], head)


def png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", size, "black")
    image.paste("white", (10, 10, 60, 20))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_sketch_comes_back_as_an_image(studio: Served) -> None:
    with ready(studio) as socket:
        socket.send(pack(Message(41, HEAD, png((256, 256)))))
        reply = answer(socket)
    assert reply.sequence == 41 and reply.head["type"] == "picture"
    assert {"waited", "rendered", "unet"} <= set(reply.head["ms"])
    image = Image.open(io.BytesIO(reply.image))
    assert image.size == (256, 256)
    request = studio.engine.requests[-1]
    assert request.control is not None and request.control.image.shape == (256, 256, 3)
    expected = paint(request).getpixel((35, 15))
    assert all(abs(a - b) < 40 for a, b in zip(image.getpixel((35, 15)), expected, strict=True))


def test_images_are_not_compressed_a_second_time(studio: Served) -> None:
    with ready(studio) as socket:  # which offers it, as browsers do
        assert not socket.protocol.extensions


def test_the_ink_arrives_in_its_colour(studio: Served) -> None:
    drawing = Image.new("RGBA", (256, 256))
    drawing.paste((192, 69, 47, 255), (40, 40, 200, 60))
    drawing.paste((34, 37, 43, 255), (40, 100, 200, 120))
    buffer = io.BytesIO()
    drawing.save(buffer, "PNG")
    with ready(studio) as socket:
        socket.send(pack(Message(42, HEAD, buffer.getvalue())))
        assert answer(socket).head["type"] == "picture"
    control = studio.engine.requests[-1].control
    assert control is not None
    assert tuple(control.image[50, 100]) == stroke_colour((192, 69, 47)) != (255, 255, 255)
    assert tuple(control.image[110, 100]) == (255, 255, 255) and not control.image[150].any()


def test_wrong_frames_are_answered_and_the_next_is_served(studio: Served) -> None:
    wrong = [
        pack(Message(1, {**HEAD, "prompt": " "})),
        pack(Message(1, {**HEAD, "num_inference_steps": "many"})),
        pack(Message(1, {**HEAD, "styles": [3]})),
        pack(Message(1, HEAD, b"not an image")),
        pack(Message(1, HEAD, png((700, 600)))),
    ]
    fields = ["prompt", "num_inference_steps", "styles", "sketch", "sketch"]
    with ready(studio) as socket:
        for frame, field in zip(wrong, fields, strict=True):
            socket.send(frame)
            reply = answer(socket)
            assert reply.head["type"] == "error" and field in reply.head["message"]
        socket.send(pack(Message(2, HEAD)))
        assert answer(socket).head["type"] == "picture"


def test_who_asks_whether_anybody_is_there_is_answered_within_the_rate(studio: Served) -> None:
    with ready(studio) as socket:
        for _ in range(LIMITS.burst + 3):
            socket.send("ping")
        for _ in range(LIMITS.burst):
            assert json.loads(socket.recv(timeout=10)) == {"type": "pong"}
        with pytest.raises(TimeoutError):
            socket.recv(timeout=0.5)


def test_over_the_rate_frames_are_dropped(studio: Served) -> None:
    with ready(studio) as socket:
        kinds = []
        for sequence in range(LIMITS.burst + 1):
            socket.send(pack(Message(sequence, HEAD)))
            kinds.append(answer(socket).head["type"])
    assert kinds == ["picture"] * LIMITS.burst + ["dropped"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_page_is_refused(studio: Served, origin: str) -> None:
    with pytest.raises(InvalidStatus):
        board(studio, origin=origin)


def test_the_own_page_is_let_in(studio: Served) -> None:
    with board(studio, origin=f"http://127.0.0.1:{studio.port}") as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "ready"


@pytest.mark.parametrize("token", ["", "a.b.c", "x"])
def test_a_wrong_token_is_refused(studio: Served, token: str) -> None:
    with board(studio, token=token) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == REFUSED


def test_too_big_a_frame_is_told_and_the_next_one_drawn(studio: Served) -> None:
    with ready(studio) as socket:
        socket.send((7).to_bytes(4, "little") + b"\0" * LIMITS.frame_bytes)
        told = answer(socket)
        assert (told.head["type"], told.sequence) == ("error", 7)
        assert f"{LIMITS.frame_bytes + 4} bytes" in told.head["message"] and f"at most {LIMITS.frame_bytes}" in told.head["message"]
        socket.send(pack(Message(8, HEAD)))
        reply = answer(socket)
        assert (reply.head["type"], reply.sequence) == ("picture", 8)


def test_who_waits_for_a_model_is_told_how_far_it_is(studio: Served) -> None:
    gate = studio.engine.loading["large"] = threading.Event()
    try:
        with ready(studio) as socket:
            socket.send(pack(Message(9, {**HEAD, "model": "large"})))
            told = answer(socket)
            assert (told.sequence, told.head["type"], told.head["share"]) == (9, "loading", 0.25)
            assert "430 of 1720 MB" in told.head["message"]
            gate.set()
            while (reply := answer(socket)).head["type"] == "loading":
                pass
            assert (reply.sequence, reply.head["type"]) == (9, "picture")
    finally:
        gate.set()
        del studio.engine.loading["large"]


def test_too_many_boards_are_turned_away_and_a_place_is_freed() -> None:
    with served(limits=LIMITS) as own:  # a server of its own: boards of earlier tests are let go a moment late
        boards = [ready(own) for _ in range(LIMITS.sessions)]
        assert refusal(own) == TOO_MANY
        for socket in boards:
            socket.close()
        for _ in range(100):  # the server notices a moment later
            if refusal(own) is None:
                return
        pytest.fail("no place was freed")


def refusal(studio: Served) -> int | None:
    """The code a new board is closed with, None if it is let in."""
    try:
        with ready(studio):
            return None
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


def test_silence_closes() -> None:
    with (
        served(limits=BoardLimits(idle_seconds=0.05)) as quiet,
        ready(quiet) as socket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        socket.recv(timeout=10)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == IDLE
