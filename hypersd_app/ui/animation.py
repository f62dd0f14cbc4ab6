"""The animation of a session: frames joined into a GIF."""

from __future__ import annotations

import io
import struct

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


def animated_gif(frames: list[Image.Image], milliseconds: int) -> bytes:
    """Frames as an endless GIF, the last one held for a second. Raises HyperSDError without frames."""
    if not frames:
        raise HyperSDError("There are no images to export.")
    size = frames[-1].size
    fitted = [frame if frame.size == size else frame.resize(size) for frame in frames]
    times = [max(20, milliseconds)] * (len(fitted) - 1) + [1000]
    buffer = io.BytesIO()
    fitted[0].save(buffer, "GIF", save_all=True, append_images=fitted[1:], duration=times, loop=0, optimize=False)
    return buffer.getvalue()
