"""The named endpoints that turn images into stickers."""

from __future__ import annotations

import io
from collections.abc import Callable

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images import stickers
from hypersd_app.requests import as_float, check_range, whole
from hypersd_app.server.http.png_recipes import png_bytes
from hypersd_app.ui.handlers import IMAGE, Handlers

FORMATS = ("png", "webp", "svg")


def add_stickers(handlers: Handlers, endpoint: Callable[..., None]) -> None:
    """Add `/sticker` and `/sticker_pack` to the Blocks being built."""

    def sticker(picture: str, size: float, outline: float, format: str) -> str:
        """Cut an image out of its ground and give it as a transparent file.

        Args:
            picture: An image file; its ground is what is like its border and connected with it.
            size: Pixels of the longer side, a whole number from 256 to 2048; an SVG has no size.
            outline: Width of a white die-cut edge as a share of the side, 0 (none) to 0.1.
            format: png, webp or svg (flat shapes, traced).

        Returns:
            The file.
        """
        if not picture:
            raise InvalidRequest("picture", picture, IMAGE)
        made = sticker_file(handlers.opened(picture, "picture"), size, outline, format)
        path: str = save_bytes_to_cache(made, f"sticker.{format}", file.GRADIO_CACHE)
        return path

    def sticker_pack(pictures: list[str], outline: float) -> str:
        """Cut images out and pack them as messengers take stickers: WebP, 512 pixels, each under 100 KB.

        Args:
            pictures: 1 to 60 image files.
            outline: Width of a white die-cut edge as a share of the side, 0 (none) to 0.1.

        Returns:
            A ZIP file.
        """
        paths = pictures or []
        if len(paths) > stickers.MOST_IN_PACK:
            raise InvalidRequest("pictures", len(paths), f"1 to {stickers.MOST_IN_PACK} images")
        packed = stickers.pack([handlers.opened(path, "pictures") for path in paths], outline)
        path: str = save_bytes_to_cache(packed, "stickers.zip", file.GRADIO_CACHE)
        return path

    file = gr.File(label="sticker")
    numbers = [gr.Number(512, label="size"), gr.Number(0.0, label="outline")]
    endpoint(sticker, [gr.File(label="picture", type="filepath"), *numbers, gr.Textbox("png", label="format")], file)
    endpoint(
        sticker_pack,
        [gr.File(label="pictures", file_count="multiple"), gr.Number(0.0, label="outline")],
        gr.File(label="pack"),
        concurrency_limit=1,
    )


def sticker_file(image: Image.Image, size: object, outline: object, form: object) -> bytes:
    """A sticker's file; a PNG carries the texts that the image had. Raises InvalidRequest."""
    if form not in FORMATS:
        raise InvalidRequest("format", form, ", ".join(FORMATS))
    check_range("outline", outline, *stickers.OUTLINES)
    made = stickers.sticker(image, whole("size", size), as_float("outline", outline))  # type: ignore[arg-type]
    if form == "svg":
        return stickers.svg(made).encode()
    if form == "png":
        made.info = dict(image.info)
        return png_bytes(made)
    buffer = io.BytesIO()
    made.save(buffer, "WEBP", quality=90)
    return buffer.getvalue()
