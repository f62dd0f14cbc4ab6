"""The animation of a session: frames joined into a GIF or WebP."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

from PIL import Image

from hypersd_app.errors import HyperSDError, InvalidRequest

MAX_FRAMES = 400
FRAME_PIXELS = 512 * 512


def split(data: bytes) -> list[bytes]:
    """Parts of `data`, each led by its length (u32, little endian). Raises InvalidRequest."""
    parts: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if at != len(data):
        raise InvalidRequest("frames", "a frame that is cut short", "whole frames")
    check_frames(len(parts))
    return parts


def check_frames(count: int) -> None:
    """Raise InvalidRequest unless an animation can have that many frames."""
    if not 1 <= count <= MAX_FRAMES:
        raise InvalidRequest("frames", count, f"1 to {MAX_FRAMES} images")


FORMATS: Mapping[str, Mapping[str, Any]] = {"gif": {"optimize": False}, "webp": {"quality": 80, "method": 2}}


def animated(frames: list[Image.Image], milliseconds: int, form: str = "gif") -> bytes:
    """Frames as an endless GIF or WebP, the last one held for a second. Raises HyperSDError without frames or for other formats."""
    if form not in FORMATS:
        raise InvalidRequest("format", form, ", ".join(FORMATS))
    if not frames:
        raise HyperSDError("There are no images to export.")
    size = frames[-1].size
    fitted = [frame if frame.size == size else frame.resize(size) for frame in frames]
    times = [max(20, milliseconds)] * (len(fitted) - 1) + [1000]
    buffer = io.BytesIO()
    fitted[0].save(buffer, form.upper(), save_all=True, append_images=fitted[1:], duration=times, loop=0, **FORMATS[form])
    return buffer.getvalue()
