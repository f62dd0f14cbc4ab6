"""What the page asks of Python besides frames: recipes in and out, grids and their sheets, control pictures, animations."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.images.metadata import file_name
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.board_requests import frame_request
from hypersd_app.server.http.images import open_picture
from hypersd_app.server.http.png_recipes import png_bytes, read_recipe, with_grid, with_recipe
from hypersd_app.server.service import BoardService
from hypersd_app.ui.compare.grid import MAX_CELLS, make_grid, model_of
from hypersd_app.ui.compare.sheet import contact_sheet as sheet_of
from hypersd_app.ui.recipe_matching import with_known_names

Task = Callable[[dict[str, Any], bytes], dict[str, Any]]
MAX_GIF_FRAMES = 400
GIF_PIXELS = 512 * 512


def page_tasks(service: BoardService, engine: ImageEngine, default_model: str) -> Mapping[str, Task]:
    """The tasks by name; each takes JSON values and bytes, and answers JSON. They raise HyperSDError."""

    def save_png(values: dict[str, Any], sketch: bytes) -> dict[str, Any]:
        """A recipe's picture at full quality (the full decoder), as PNG with the recipe inside."""
        head = {**values["head"], "decoder": "", "num_images": 1}
        request = frame_request(head, sketch if len(sketch) > 1 else b"", service.limits)
        result = service.generate(request)
        picture = with_recipe(result.images[0], result.request, values.get("operations", ()), bool(head.get("rest")))
        return {"png": base64.b64encode(png_bytes(picture)).decode(), "name": file_name(result.request)}

    def read_png(_values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The recipe inside a dropped PNG."""
        return read_recipe(data)

    def known_names(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """A recipe's head as this server can draw it, and the names of what it lacks."""
        head, missing = with_known_names(engine, default_model, values["head"])
        return {"head": head, "missing": missing}

    def animation(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """A GIF of JPEG frames, each led by its length as u32; `values["milliseconds"]` a frame."""
        frames = [open_picture(part, "frame", GIF_PIXELS * 4).convert("RGB") for part in split(data)]
        return {"gif": base64.b64encode(gif(frames, int(values.get("milliseconds", 120)))).decode()}

    def grid(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """The requests and labels of a compared grid."""
        made = make_grid(engine, values["head"], values["axes"])
        cells = [{"row": cell.row, "column": cell.column, "head": cell.values} for cell in made.cells]
        return {"columns": made.columns, "rows": made.rows, "cells": cells}

    def contact_sheet(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The pictures of a grid (parts as for `animation`, empty ones for places without a picture) as one PNG."""
        pictures = [open_picture(part, "picture", GIF_PIXELS * 16) if part else None for part in split(data)]
        check_sheet(pictures, values)
        recipe = values["recipe"]
        sheet = sheet_of(pictures, values["columns"], values["rows"], values["captions"], str(recipe["head"]["prompt"]))
        return {"png": base64.b64encode(png_bytes(with_grid(sheet, recipe))).decode()}

    def annotate(values: dict[str, Any], photograph: bytes) -> dict[str, Any]:
        """What a control kind of a model sees in a photograph, as a grey PNG: the brighter, the stronger."""
        model = model_of(engine, values.get("model"))
        control = next((row for row in model.controls if row.kind == values.get("kind")), None)
        if control is None:
            raise InvalidRequest("control", values.get("kind"), ", ".join(row.kind for row in model.controls) or "nothing")
        picture = open_picture(photograph, "picture", service.limits.picture_pixels)
        pixels = engine.annotate(control.annotator, picture, (model.width, model.height))
        return {"png": base64.b64encode(png_bytes(Image.fromarray(pixels).convert("L"))).decode()}

    tasks = (save_png, read_png, known_names, animation, grid, contact_sheet, annotate)
    return {task.__name__: task for task in tasks}


def check_sheet(pictures: list[Image.Image | None], values: Mapping[str, Any]) -> None:
    """Raise InvalidRequest unless there is a picture place and a caption for each crossing of columns and rows."""
    places = len(values["columns"]) * max(1, len(values["rows"]))
    if not 0 < places <= MAX_CELLS or len(pictures) != places or len(values["captions"]) != places:
        raise InvalidRequest("pictures", len(pictures), f"one for each of 1 to {MAX_CELLS} places, with a caption each")


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
    """Raise InvalidRequest unless that many pictures can be joined."""
    if not 1 <= count <= MAX_GIF_FRAMES:
        raise InvalidRequest("frames", count, f"1 to {MAX_GIF_FRAMES} pictures")


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
