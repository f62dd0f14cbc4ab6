"""Calls of the page's scripts that make files of images that it has: animations, contact sheets, stickers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images import stickers
from hypersd_app.images.files import decode_image
from hypersd_app.requests import check_range
from hypersd_app.server.http.png_recipes import png_bytes, with_grid
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.ui.animation import FRAME_PIXELS, animated, split
from hypersd_app.ui.api.stickers import sticker_file
from hypersd_app.ui.compare.grid import MAX_CELLS
from hypersd_app.ui.compare.sheet import contact_sheet as sheet_of

PageCall = Callable[[dict[str, Any], bytes], dict[str, Any]]


def file_calls(limits: BoardLimits) -> Mapping[str, PageCall]:
    """The calls by name; each takes JSON values and bytes, and answers JSON with a file in base64. They raise HyperSDError."""

    def animation(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """A GIF or WebP of JPEG frames, each led by its length as u32; `values["milliseconds"]` a frame."""
        frames = [decode_image(part, "frame", FRAME_PIXELS * 4).convert("RGB") for part in split(data)]
        made = animated(frames, int(values.get("milliseconds", 120)), str(values.get("format", "gif")))
        return {"file": base64.b64encode(made).decode()}

    def contact_sheet(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The images of a grid (parts as of `animation`, empty ones for places without an image) as one PNG."""
        images = [decode_image(part, "image", FRAME_PIXELS * 16) if part else None for part in split(data)]
        check_sheet(images, values)
        recipe = values["recipe"]
        sheet = sheet_of(images, values["columns"], values["rows"], values["captions"], str(recipe["head"]["prompt"]))
        return {"png": base64.b64encode(png_bytes(with_grid(sheet, recipe))).decode()}

    def sticker(values: dict[str, Any], image: bytes) -> dict[str, Any]:
        """A PNG cut out of its ground: `values` are size, outline and format; its recipe goes along in a PNG."""
        drawn = decode_image(image, "image", limits.image_pixels)
        file = sticker_file(drawn, values.get("size"), values.get("outline"), values.get("format"))
        return {"file": base64.b64encode(file).decode()}

    def sticker_pack(values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """A ZIP of stickers as messengers take them, of images (parts as of `animation`)."""
        parts = split(data)
        if len(parts) > stickers.MOST_IN_PACK:
            raise InvalidRequest("images", len(parts), f"1 to {stickers.MOST_IN_PACK} images")
        images = [decode_image(part, "image", limits.image_pixels) for part in parts]
        check_range("outline", values.get("outline"), *stickers.OUTLINES)
        packed = stickers.pack(images, float(values["outline"]))
        return {"file": base64.b64encode(packed).decode()}

    return {call.__name__: call for call in (animation, contact_sheet, sticker, sticker_pack)}


def check_sheet(images: list[Image.Image | None], values: Mapping[str, Any]) -> None:
    """Raise InvalidRequest unless there is a place for an image and a caption for each crossing of columns and rows."""
    places = len(values["columns"]) * max(1, len(values["rows"]))
    if not 0 < places <= MAX_CELLS or len(images) != places or len(values["captions"]) != places:
        raise InvalidRequest("images", len(images), f"one for each of 1 to {MAX_CELLS} places, with a caption each")
