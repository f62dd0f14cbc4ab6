"""PNG files on their way to and from the page: `engine.metadata`'s texts plus the strokes of the drawing board."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.ink import ink_from_control
from hypersd_app.images.metadata import (
    FORMAT,
    JSON_KEY,
    PARAMETERS_KEY,
    parameters_text,
    request_from_values,
    request_values,
)
from hypersd_app.images.png import encode_png
from hypersd_app.requests import ControlInput, GenerationRequest
from hypersd_app.server.http.board_requests import recipe_values
from hypersd_app.server.http.board_requests import request_from_values as request_from_head

LONGEST = 8 * 1024 * 1024  # characters of a text chunk we read
LORA = re.compile(r"<lora:([^:>]+):(-?(?:\d+\.?\d*|\.\d+))>")
SIZE = re.compile(r"(\d+)x(\d+)")
SETTING = re.compile(r'\s*([\w ]+):\s*("(?:\\.|[^"])*"|[^,]*)(?:,|$)')
ALLOWED = "a PNG made here or by A1111"


def with_recipe(
    picture: Image.Image, request: GenerationRequest, operations: Sequence[Any] = (), rest: bool = False
) -> Image.Image:
    """The picture, carrying its recipe: every PNG made of it, by us or by Gradio, contains it.

    `rest` says that its steps are those of a resting pen, not of a moving one.
    """
    document = {"format": FORMAT, "request": request_values(request), "operations": list(operations), "rest": rest}
    carrying = picture.copy()
    carrying.info = {PARAMETERS_KEY: parameters_text(request), JSON_KEY: json.dumps(document, ensure_ascii=False)}
    return carrying


def with_grid(sheet: Image.Image, recipe: Mapping[str, Any]) -> Image.Image:
    """A contact sheet carrying its grid's recipe {"head", "operations", "compare"}. Raises InvalidRequest for a wrong head."""
    carrying = with_recipe(sheet, request_from_head(recipe["head"]), recipe.get("operations") or ())
    document = json.loads(carrying.info[JSON_KEY])
    carrying.info[JSON_KEY] = json.dumps({**document, "compare": recipe["compare"]}, ensure_ascii=False)
    return carrying


def png_bytes(picture: Image.Image) -> bytes:
    """PNG with the texts of `picture.info`; long ones compressed."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in picture.info.items():
        if isinstance(key, str) and isinstance(value, str):
            chunks.add_itxt(key, value, zip=len(value) > 1000)
    return encode_png(picture, chunks)


def read_recipe(data: bytes) -> dict[str, Any]:
    """The recipe in a PNG, ours or A1111's, as {"head": values, "operations": strokes}. Raises InvalidRequest."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            texts = {key: value for key, value in picture.info.items() if isinstance(value, str) and len(value) < LONGEST}
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidRequest("picture", "a file that is no PNG", ALLOWED) from None
    if JSON_KEY in texts:
        return _own(texts[JSON_KEY])
    if PARAMETERS_KEY in texts:
        return {"head": parse_a1111(texts[PARAMETERS_KEY]), "operations": []}
    raise InvalidRequest("picture", "a PNG without a recipe", ALLOWED)


def _own(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
        request = request_from_values(document["request"])
        operations = list(document.get("operations", ()))
        rest = {"rest": True} if document.get("rest") else {}
        compared = {"compare": dict(document["compare"])} if "compare" in document else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InvalidRequest("picture", "an unreadable recipe", ALLOWED) from None
    if not operations and request.control is not None:
        operations = [ink_operation(request.control)]
    return {"head": {**recipe_values(request), **rest}, "operations": operations, **compared}


def ink_operation(control: ControlInput) -> dict[str, str]:
    """A control picture as ink on the drawing board, for PNGs that were made from a sketch file."""
    ink = Image.fromarray(ink_from_control(control.image), "RGBA")
    return {"tool": "image", "source": f"data:image/png;base64,{base64.b64encode(encode_png(ink)).decode()}"}


def parse_a1111(text: str) -> dict[str, Any]:
    """Request values from A1111's text; what it does not say is left out."""
    lines = text.strip().splitlines() or [""]
    settings: Mapping[str, str] = {}
    if lines[-1].startswith("Steps:"):
        settings = {name.strip(): value.strip().strip('"') for name, value in SETTING.findall(lines.pop())}
    words, _, negative = "\n".join(lines).partition("Negative prompt:")
    styles = [{"name": name, "weight": float(weight)} for name, weight in LORA.findall(words)]
    values: dict[str, Any] = {
        "prompt": re.sub(r"\s*<lora:[^>]*>", "", words).strip(),
        "negative_prompt": negative.strip(),
        "styles": styles,
        "num_inference_steps": _whole(settings.get("Steps"), 1),
        "seed": _whole(settings.get("Seed"), 0),
    }
    for name, key in (("Model", "model"), ("Recipe", "recipe")):
        if name in settings:
            values[key] = settings[name]
    if "CFG scale" in settings:
        values["guidance_scale"] = _number(settings["CFG scale"])
    if size := SIZE.fullmatch(settings.get("Size", "")):
        values["width"], values["height"] = int(size[1]), int(size[2])
    return values


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d+\.?\d*", text) else None
