"""From what the drawing board sends to a `GenerationRequest`; the same for every transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.ink import white_strokes
from hypersd_app.images.scribble import LARGEST_READ, scribble_control
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.server.http.images import open_picture
from hypersd_app.server.scheduling.fair_queue import LazyRequest
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.scheduling.scheduler import batch_key, lazy

SCRIBBLE = "scribble"


def frame_request(head: Mapping[str, Any], picture: bytes, limits: BoardLimits) -> GenerationRequest:
    """The request in a frame; an empty `picture` means no sketch. Raises InvalidRequest for wrong types and ranges."""
    return lazy_frame_request(head, picture, limits)[0].build()


def lazy_frame_request(head: Mapping[str, Any], picture: bytes, limits: BoardLimits) -> tuple[LazyRequest, GenerationRequest]:
    """A frame whose sketch is decoded when its turn comes, and its request but for that. Raises InvalidRequest."""
    request = request_from_values(head)
    if not picture:
        return lazy(request), request
    scale, kind = number(head, "controlnet_conditioning_scale", 1.0), words(head, "control") or SCRIBBLE

    def build() -> GenerationRequest:
        sketch = open_picture(picture, "sketch", limits.picture_pixels)
        return replace(request, control=sketch_control(sketch, scale, kind))

    return LazyRequest(batch_key(request, kind), build, request.model), request


def sketch_control(sketch: Image.Image, scale: float, kind: str = SCRIBBLE) -> ControlInput:
    """A visitor's sketch as a control picture, its inks and strokes found whichever way it was drawn.

    Kinds other than scribbles (edges, depth) have no colours: what is drawn reaches them white.
    """
    largest = max(sketch.size)
    shrink = min(1.0, LARGEST_READ / largest)
    size = (max(1, round(sketch.width * shrink)), max(1, round(sketch.height * shrink)))
    image = scribble_control(sketch, size)
    return ControlInput(image=image if kind == SCRIBBLE else white_strokes(image), kind=kind, scale=scale)


def request_from_values(values: Mapping[str, Any], control: ControlInput | None = None) -> GenerationRequest:
    """A request from JSON values; what is missing takes the recipe's value. Raises InvalidRequest."""
    return GenerationRequest(
        prompt=words(values, "prompt"),
        negative_prompt=words(values, "negative_prompt"),
        model=words(values, "model") or "pocket",
        recipe=words(values, "recipe"),
        num_inference_steps=whole("num_inference_steps", values.get("num_inference_steps", 1)),
        guidance_scale=optional_number(values, "guidance_scale"),
        eta=optional_number(values, "eta"),
        seed=whole("seed", values.get("seed", 0)),
        num_images=whole("num_images", values.get("num_images", 1)),
        width=optional_whole(values, "width"),
        height=optional_whole(values, "height"),
        styles=style_weights(values.get("styles", ())),
        control=control,
        decoder=words(values, "decoder"),
    )


def recipe_values(request: GenerationRequest) -> dict[str, Any]:
    """JSON values from which `request_from_values` makes the request again, but for its control picture."""
    values: dict[str, Any] = {
        name: getattr(request, name)
        for name in (
            "prompt",
            "negative_prompt",
            "model",
            "recipe",
            "num_inference_steps",
            "guidance_scale",
            "eta",
            "seed",
            "decoder",
            "width",
            "height",
        )
    }
    values["styles"] = [{"name": style.name, "weight": style.weight} for style in request.styles]
    if request.control is not None:
        values["controlnet_conditioning_scale"] = request.control.scale
        values["control"] = request.control.kind
    return values


def style_weights(rows: object) -> tuple[StyleWeight, ...]:
    """Styles from JSON rows `{"name": ..., "weight": ...}`. Raises InvalidRequest."""
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise InvalidRequest("styles", rows, "a list of names and weights")
    chosen = []
    for row in rows:
        if not isinstance(row, Mapping):
            raise InvalidRequest("styles", row, "objects with a name and a weight")
        chosen.append(StyleWeight(words(row, "name"), number(row, "weight", 1.0)))
    return tuple(style for style in chosen if style.name and style.weight)


def words(values: Mapping[str, Any], field: str) -> str:
    """A text field, "" when missing."""
    value = values.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequest(field, value, "text")
    try:
        value.encode()  # half a surrogate pair is no text: tokenizers and log files can't take it
    except UnicodeEncodeError:
        raise InvalidRequest(field, ascii(value), "text in Unicode") from None
    return value


def number(values: Mapping[str, Any], field: str, default: float) -> float:
    """A number field."""
    value = optional_number(values, field)
    return default if value is None else value


def optional_number(values: Mapping[str, Any], field: str) -> float | None:
    """A number field, None when missing."""
    value = values.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRequest(field, value, "a number")
    return as_float(field, value)


def optional_whole(values: Mapping[str, Any], field: str) -> int | None:
    """A field for a whole number, None when missing."""
    value = values.get(field)
    return None if value is None else whole(field, value)


def whole(field: str, value: object) -> int:
    """A whole number; pages and JSON write 4 as 4.0. Raises InvalidRequest for 4.5, text and None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not as_float(field, value).is_integer():
        raise InvalidRequest(field, value, "a whole number")
    return int(value)


def as_float(field: str, value: float) -> float:
    """`value` as a float. Raises InvalidRequest for whole numbers of hundreds of digits, which JSON allows."""
    try:
        return float(value)
    except OverflowError:
        raise InvalidRequest(field, "a giant number", "a number") from None
