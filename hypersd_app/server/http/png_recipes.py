"""Image files on their way to and from the page: `images.metadata`'s texts plus the strokes of the drawing board."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, PngImagePlugin

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.metadata import (
    FORMAT,
    JSON_KEY,
    PARAMETERS_KEY,
    init_record,
    parameters_text,
    recipe_document,
    request_from_values,
    request_values,
)
from hypersd_app.images.png import encode_png
from hypersd_app.images.recipes.foreign import fitted
from hypersd_app.images.recipes.programs import ALLOWED, foreign_recipe
from hypersd_app.images.recipes.texts import image_texts
from hypersd_app.images.scribble import ink_from_control
from hypersd_app.requests import MAX_CONTROL_SCALE, ControlInput, GenerationRequest, request_from_json, request_to_json

CANVAS = "canvas"  # the operation that holds what a drawing is painted on


def with_recipe(image: Image.Image, request: GenerationRequest, operations: Sequence[Any] = (), rest: bool = False) -> Image.Image:
    """The image, carrying its recipe: every PNG made of it, by us or by Gradio, contains it.

    `rest` says that its steps are those of a resting pen, not of a moving one.
    """
    document = {"format": FORMAT, "request": request_values(request), "operations": list(operations), "rest": rest}
    carrying = image.copy()
    carrying.info = {PARAMETERS_KEY: parameters_text(request), JSON_KEY: json.dumps(document, ensure_ascii=False)}
    return carrying


def with_grid(sheet: Image.Image, recipe: Mapping[str, Any]) -> Image.Image:
    """A contact sheet carrying its grid's recipe {"head", "operations", "compare"}. Raises InvalidRequest for a wrong head."""
    carrying = with_recipe(sheet, request_from_json(recipe["head"]), recipe.get("operations") or ())
    document = json.loads(carrying.info[JSON_KEY])
    carrying.info[JSON_KEY] = json.dumps({**document, "compare": recipe["compare"]}, ensure_ascii=False)
    return carrying


def png_bytes(image: Image.Image) -> bytes:
    """PNG with the texts of `image.info`; long ones compressed."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            chunks.add_itxt(key, value, zip=len(value) > 1000)
    return encode_png(image, chunks)


def read_recipe(data: bytes) -> dict[str, Any]:
    """The recipe in an image file, ours or another program's: {"head": values, "operations": strokes, "changed": sentences}.

    `changed` says what of another program's recipe could not be kept as it was; nothing is drawn or queued, and what is
    answered can be: every value of it was checked. Raises InvalidRequest.
    """
    texts = image_texts(data)
    if texts is None:
        raise InvalidRequest("picture", "a file that is no PNG, JPEG or WebP", ALLOWED)
    if JSON_KEY in texts:
        return _own(recipe_document(texts[JSON_KEY]))
    head, changed = fitted(foreign_recipe(texts))
    return {"head": head, "operations": [], "changed": changed}


def _own(document: Mapping[str, Any]) -> dict[str, Any]:
    request = request_from_values(document["request"])
    operations, compared = document.get("operations", []), document.get("compare")
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise InvalidRequest("operations", type(operations).__name__, "the strokes of a drawing board")
    if compared is not None and not isinstance(compared, dict):
        raise InvalidRequest("compare", type(compared).__name__, "the axes of a grid")
    if not operations and request.control is not None:
        operations = [ink_operation(request.control)]
    rest: dict[str, Any] = {"rest": True} if document.get("rest") else {}
    record, changed = init_record(document["request"]), []
    if record is not None:
        rest["strength"] = record.strength
    painted = any(operation.get("tool") == CANVAS for operation in operations)
    if record is not None and painted and request.control is not None and record.strength < 1:
        asked = request.control.scale / (1 - record.strength)  # the strength lessened it
        rest["controlnet_conditioning_scale"] = round(min(asked, MAX_CONTROL_SCALE), 4)
    if record is not None and not painted:
        changed.append("It was painted on another image, which is not in the file: use that one as the canvas again.")
    found = {"head": {**request_to_json(request), **rest}, "operations": operations, "changed": changed}
    return found if compared is None else {**found, "compare": compared}


def ink_operation(control: ControlInput) -> dict[str, str]:
    """A control image as ink on the drawing board, for PNGs that were made from a sketch file."""
    ink = Image.fromarray(ink_from_control(control.image), "RGBA")
    return {"tool": "image", "source": f"data:image/png;base64,{base64.b64encode(encode_png(ink)).decode()}"}
