"""Frames of several images: sketch, init image, ink and mask in one message."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.png import encode_png
from hypersd_app.server.http.wire import Message, pack, parts_of, unpack
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.service import lazy_request

HEAD: dict[str, Any] = {"prompt": "a cat", "strength": 0.4}


def png(colour: object, size: tuple[int, int] = (64, 64), mode: str = "RGBA") -> bytes:
    return encode_png(Image.new(mode, size, colour))  # type: ignore[arg-type]


def half(colour: tuple[int, ...]) -> bytes:
    """The left half has a colour, the right one is transparent."""
    image = Image.new("RGBA", (64, 64))
    image.paste(colour, (0, 0, 32, 64))
    return encode_png(image)


def frame(head: dict[str, Any] | None = None, **parts: bytes) -> Message:
    """A message as a page packs it, through its bytes and back."""
    lengths = {name: len(data) for name, data in parts.items()}
    return unpack(pack(Message(1, {**HEAD, **(head or {}), "parts": lengths}, b"".join(parts.values()))))


def built(message: Message) -> Any:
    lazy, _ = lazy_request(message, BoardLimits())
    request = lazy.build()
    assert lazy.key == request.batch_key(), "what it may be drawn with is known before its images are decoded"
    return request


def test_a_frame_without_more_said_is_a_sketch() -> None:
    assert parts_of(Message(1, HEAD, b"abc")) == {"sketch": b"abc"} and parts_of(Message(1, HEAD)) == {}


def test_strokes_lie_on_what_is_painted_on() -> None:
    request = built(frame(init=png("white"), ink=half((200, 0, 0, 255))))
    assert request.control is None and request.init.strength == 0.4 and request.init.mask is None
    assert tuple(request.init.image[5, 5]) == (200, 0, 0) and tuple(request.init.image[5, 60]) == (255, 255, 255)


def test_masks_and_sketches_come_along_and_other_sizes_are_fitted() -> None:
    request = built(frame(sketch=half((0, 0, 0, 255)), init=png("blue", (128, 128)), mask=half((9, 9, 9, 255))))
    assert request.control is not None and request.init.mask.shape == (128, 128)
    assert request.init.mask[9, 20] == 255 and request.init.mask[9, 100] == 0


def test_strokes_are_followed_as_far_as_the_strength_leaves_them() -> None:
    head = {"follow_ink": True, "controlnet_conditioning_scale": 0.5}
    request = built(frame(head, init=png("white"), ink=half((0, 0, 0, 255))))
    assert request.control is not None and request.control.scale == pytest.approx(0.3)
    assert built(frame(head, init=png("white"))).control is None
    own = built(frame(head, init=png("white"), ink=half((0, 0, 0, 255)), sketch=half((0, 0, 0, 255))))
    assert own.control.scale == 0.5, "a sketch of its own is followed as asked"


def test_a_jpeg_is_a_ground_too() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (10, 120, 30)).save(buffer, "JPEG")
    request = built(frame(init=buffer.getvalue()))
    assert np.abs(request.init.image.astype(int) - (10, 120, 30)).max() < 4


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (frame(ink=png("red")), "ink.*init image"),
        (frame(mask=png("red")), "mask.*init image"),
        (frame({"strength": 2}, init=png("red")), "strength.*2.*0 to 1"),
        (frame({"strength": "much"}, init=png("red")), "strength"),
        (frame(other=png("red")), "parts.*sketch, init, ink, mask"),
        (Message(1, {**HEAD, "parts": {"init": 5}}, b"abc"), "parts.*3 bytes"),
        (Message(1, {**HEAD, "parts": {"init": -3, "mask": 6}}, b"abc"), "parts"),
        (Message(1, {**HEAD, "parts": [3]}, b"abc"), "parts"),
        (Message(1, {**HEAD, "parts": {"init": "3"}}, b"abc"), "parts"),
        (Message(1, {**HEAD, "parts": None}, b"abc"), "sketch"),
    ],
)
def test_wrong_frames_are_named(message: Message, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        lazy_request(message, BoardLimits())[0].build()


def test_unreadable_images_are_named_when_their_turn_comes() -> None:
    for name in ("init", "ink", "mask"):
        lazy, _ = lazy_request(frame(**{"init": png("red"), name: b"no image"}), BoardLimits())
        with pytest.raises(InvalidRequest, match=name):
            lazy.build()
