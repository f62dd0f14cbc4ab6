"""Calls of the page's scripts besides frames: recipes, grids and contact sheets, control images, animations."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images import stickers
from hypersd_app.images.files import open_picture
from hypersd_app.images.metadata import file_name
from hypersd_app.requests import check_range
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.png_recipes import png_bytes, read_recipe, with_grid, with_recipe
from hypersd_app.server.http.wire import Message
from hypersd_app.server.service import BoardService, lazy_request
from hypersd_app.ui.animation import FRAME_PIXELS, animated_gif, split
from hypersd_app.ui.api.stickers import sticker_file
from hypersd_app.ui.compare.grid import MAX_CELLS, make_grid
from hypersd_app.ui.compare.sheet import contact_sheet as sheet_of
from hypersd_app.ui.control_images import control_image
from hypersd_app.ui.prompt_reading import read_prompt
from hypersd_app.ui.recipe_matching import with_known_names

PageCall = Callable[[dict[str, Any], bytes], dict[str, Any]]


def page_calls(service: BoardService, engine: ImageEngine, default_model: str) -> Mapping[str, PageCall]:
    """The calls by name; each takes JSON values and bytes, and answers JSON. They raise HyperSDError."""

    def save_png(values: dict[str, Any], sketch: bytes) -> dict[str, Any]:
        """A recipe's picture at full quality (the full decoder), as PNG with the recipe inside."""
        head = {**values["head"], "decoder": "", "num_images": 1}
        request = lazy_request(Message(0, head, sketch if len(sketch) > 1 else b""), service.limits)[0].build()
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
        frames = [open_picture(part, "frame", FRAME_PIXELS * 4).convert("RGB") for part in split(data)]
        return {"gif": base64.b64encode(animated_gif(frames, int(values.get("milliseconds", 120)))).decode()}

    def grid(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """The requests and labels of a compared grid."""
        made = make_grid(engine, values["head"], values["axes"])
        cells = [{"row": cell.row, "column": cell.column, "head": cell.values} for cell in made.cells]
        return {"columns": made.columns, "rows": made.rows, "cells": cells}

    def contact_sheet(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The pictures of a grid (parts as of `animation`, empty ones for places without a picture) as one PNG."""
        pictures = [open_picture(part, "picture", FRAME_PIXELS * 16) if part else None for part in split(data)]
        check_sheet(pictures, values)
        recipe = values["recipe"]
        sheet = sheet_of(pictures, values["columns"], values["rows"], values["captions"], str(recipe["head"]["prompt"]))
        return {"png": base64.b64encode(png_bytes(with_grid(sheet, recipe))).decode()}

    def annotate(values: dict[str, Any], photograph: bytes) -> dict[str, Any]:
        """The control image that a control kind reads in a photograph, as a grey PNG."""
        picture = open_picture(photograph, "picture", service.limits.picture_pixels)
        found = control_image(engine, str(values.get("model")), values.get("kind"), picture)
        return {"png": base64.b64encode(png_bytes(found.convert("L"))).decode()}

    def reading(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """What a model makes of a prompt: words that it does not read, and things it does not know."""
        return asdict(read_prompt(engine, str(values.get("model")), str(values.get("prompt"))))

    def sticker(values: dict[str, Any], picture: bytes) -> dict[str, Any]:
        """A PNG cut out of its ground: `values` are size, outline and format; its recipe goes along in a PNG."""
        drawn = open_picture(picture, "picture", service.limits.picture_pixels)
        file = sticker_file(drawn, values.get("size"), values.get("outline"), values.get("format"))
        return {"file": base64.b64encode(file).decode()}

    def sticker_pack(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """A ZIP of stickers as messengers take them, of pictures (parts as of `animation`)."""
        parts = split(data)
        if len(parts) > stickers.MOST_IN_PACK:
            raise InvalidRequest("pictures", len(parts), f"1 to {stickers.MOST_IN_PACK} pictures")
        pictures = [open_picture(part, "picture", service.limits.picture_pixels) for part in parts]
        check_range("outline", values.get("outline"), *stickers.OUTLINES)
        packed = stickers.pack(pictures, float(values["outline"]))
        return {"file": base64.b64encode(packed).decode()}

    calls = (save_png, read_png, known_names, animation, grid, contact_sheet, annotate, reading, sticker, sticker_pack)
    return {call.__name__: call for call in calls}


def check_sheet(pictures: list[Image.Image | None], values: Mapping[str, Any]) -> None:
    """Raise InvalidRequest unless there is a picture place and a caption for each crossing of columns and rows."""
    places = len(values["columns"]) * max(1, len(values["rows"]))
    if not 0 < places <= MAX_CELLS or len(pictures) != places or len(values["captions"]) != places:
        raise InvalidRequest("pictures", len(pictures), f"one for each of 1 to {MAX_CELLS} places, with a caption each")
