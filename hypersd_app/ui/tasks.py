"""What the page asks of Python besides frames: PNG files with recipes in and out, and the session as a GIF."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from hypersd_app.engine.metadata import file_name
from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.server.board import BoardService
from hypersd_app.server.board_requests import frame_request
from hypersd_app.server.pictures import open_picture
from hypersd_app.server.png_recipes import png_bytes, read_recipe, with_recipe

Task = Callable[[dict[str, Any], bytes], dict[str, Any]]
MAX_GIF_FRAMES = 400
GIF_PIXELS = 512 * 512


def page_tasks(service: BoardService) -> Mapping[str, Task]:
    """The tasks by name; each takes JSON values and bytes, and answers JSON. They raise HyperSDError."""

    def save_png(values: dict[str, Any], sketch: bytes) -> dict[str, Any]:
        """A recipe's picture at full quality (the full decoder), as PNG with the recipe inside."""
        head = {**values["head"], "decoder": "", "num_images": 1}
        request = frame_request(head, sketch if len(sketch) > 1 else b"", service.limits)
        result = service.generate(request)
        picture = with_recipe(result.images[0], result.request, values.get("operations", ()))
        return {"png": base64.b64encode(png_bytes(picture)).decode(), "name": file_name(result.request)}

    def read_png(_values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The recipe inside a dropped PNG."""
        return read_recipe(data)

    def make_gif(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """A GIF of JPEG frames, each led by its length as u32; `values["milliseconds"]` a frame."""
        frames = [open_picture(part, "frame", GIF_PIXELS * 4).convert("RGB") for part in split(data)]
        return {"gif": base64.b64encode(gif(frames, int(values.get("milliseconds", 120)))).decode()}

    return {"save_png": save_png, "read_png": read_png, "make_gif": make_gif}


def split(data: bytes) -> list[bytes]:
    """Parts of `data`, each led by its length (u32, little endian). Raises InvalidRequest."""
    parts: list[bytes] = []
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    if not parts or at != len(data) or len(parts) > MAX_GIF_FRAMES:
        raise InvalidRequest("frames", len(parts), f"1 to {MAX_GIF_FRAMES} whole frames")
    return parts


def gif(frames: list[Image.Image], milliseconds: int) -> bytes:
    """Frames as an endless GIF, the last one held for a second. Raises HyperSDError without frames."""
    if not frames:
        raise HyperSDError("There are no pictures to export.")
    size = frames[-1].size
    fitted = [frame if frame.size == size else frame.resize(size) for frame in frames]
    times = [max(20, milliseconds)] * (len(fitted) - 1) + [1000]
    buffer = io.BytesIO()
    fitted[0].save(buffer, "GIF", save_all=True, append_images=fitted[1:], duration=times, loop=0, optimize=False)
    return buffer.getvalue()
