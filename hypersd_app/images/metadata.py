"""What a PNG says of how it was made: the `parameters` text that A1111 reads, and our own JSON to make it again."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.png import encode_png
from hypersd_app.requests import ControlInput, GenerationRequest, GenerationResult, StyleWeight

JSON_KEY = "hypersd"
PARAMETERS_KEY = "parameters"
FORMAT = 1
SAMPLERS = {"unified": "TCD", "teacher": "DDIM", "1step-unet": "LCM"}
UNSAFE = re.compile(r"[^a-z0-9]+")


def request_of(result: GenerationResult, index: int) -> GenerationRequest:
    """The request that makes picture `index` of a result again, alone."""
    request = result.request
    return replace(request, seed=(request.seed + index) % 2**32, num_images=1)


def parameters_text(request: GenerationRequest) -> str:
    """A1111's notation. Styles stand in the prompt as `<lora:name:weight>`."""
    styles = "".join(f" <lora:{style.name}:{style.weight:g}>" for style in request.styles)
    values: dict[str, object] = {
        "Steps": request.num_inference_steps,
        "Sampler": SAMPLERS.get(request.recipe, "TCD" if request.recipe.startswith("run-") else "DDIM"),
        "CFG scale": f"{request.guidance_scale or 1.0:g}",
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": request.model,
        "Recipe": request.recipe,
    }
    if request.eta:
        values["Eta"] = f"{request.eta:g}"
    if request.control is not None:
        values["ControlNet"] = f"{request.control.kind} {request.control.scale:g}"
    lines = [request.prompt + styles]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in values.items())])


def request_values(request: GenerationRequest) -> dict[str, Any]:
    """The request as plain JSON values; a control picture is a PNG in base64."""
    control = request.control
    values = {row.name: getattr(request, row.name) for row in fields(request)} | {"control": None}
    values["styles"] = [asdict(style) for style in request.styles]
    if control is not None:
        picture = base64.b64encode(encode_png(control.image)).decode("ascii")
        values["control"] = {"kind": control.kind, "scale": control.scale, "png": picture}
    return values


def request_from_values(values: Mapping[str, Any]) -> GenerationRequest:
    """The way back from `request_values`. Raises InvalidRequest."""
    try:
        known = {name: values[name] for name in GenerationRequest.__dataclass_fields__ if name in values}
        known["styles"] = tuple(StyleWeight(str(row["name"]), float(row["weight"])) for row in values.get("styles", ()))
        row = values.get("control")
        if row is not None:
            with Image.open(io.BytesIO(base64.b64decode(row["png"]))) as picture:
                known["control"] = ControlInput(np.asarray(picture.convert("RGB")), str(row["kind"]), float(row["scale"]))
        return GenerationRequest(**known)
    except (KeyError, TypeError, ValueError, AttributeError, UnidentifiedImageError) as error:
        raise InvalidRequest("metadata", str(error), "what this app wrote into a PNG") from error


def png_info(result: GenerationResult, index: int) -> PngInfo:
    """The text chunks of picture `index`."""
    request = request_of(result, index)
    info = PngInfo()
    info.add_text(PARAMETERS_KEY, parameters_text(request))
    document = {"format": FORMAT, "backend": result.backend, "request": request_values(request)}
    info.add_itxt(JSON_KEY, json.dumps(document, ensure_ascii=False))
    return info


def result_png(result: GenerationResult, index: int = 0) -> bytes:
    """Picture `index` with its metadata."""
    return encode_png(result.pixels[index], png_info(result, index))


def read_request(path: Path) -> GenerationRequest:
    """The request that made a PNG of this app. Raises InvalidRequest."""
    try:
        with Image.open(path) as picture:
            text = getattr(picture, "text", {}).get(JSON_KEY)
        if text is None:
            raise InvalidRequest("picture", path.name, "a PNG that this app wrote")
        document = json.loads(text)
    except (OSError, ValueError, RecursionError, UnidentifiedImageError) as error:
        raise InvalidRequest("picture", path.name, f"a readable PNG ({error})") from error
    if not isinstance(document, dict) or not isinstance(document.get("request"), dict):
        raise InvalidRequest("picture", path.name, "a PNG that this app wrote")
    return request_from_values(document["request"])


def file_name(request: GenerationRequest) -> str:
    """`red-apple-3.png`: words and seed, with nothing in it that a file system minds."""
    words = UNSAFE.sub("-", request.prompt.lower()).strip("-")[:48].strip("-") or "picture"
    return f"{words}-{request.seed}.png"
