"""What a PNG says of how it was made: the `parameters` text that A1111 reads, and our own JSON to make it again."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.files import decode_image
from hypersd_app.images.png import encode_png
from hypersd_app.images.recipes.texts import image_texts
from hypersd_app.prompts.wording import PLAIN
from hypersd_app.requests import (
    ControlInput,
    GenerationRequest,
    GenerationResult,
    InitImage,
    check_integer,
    request_from_json,
    strength_of,
)

JSON_KEY = "hypersd"
PARAMETERS_KEY = "parameters"
FORMAT = 1
SAMPLERS = {"unified": "TCD", "teacher": "DDIM", "1step-unet": "LCM"}
LONGEST_NAME = 48  # characters of a file's name that come from the prompt
CONTROL_PIXELS = 2048 * 2048  # of a control image inside a recipe; those made here have at most a quarter of it
CONTROL_BYTES = 6 * 1024 * 1024  # in base64
MOST_NODES = 200_000  # lists and objects in a recipe: each takes fifty times its two bytes once it is read
LARGEST_SIDE = 8192  # pixels; the model allows fewer
HASH_LENGTH = 16  # hexadecimal digits of an image's hash
MADE_HERE = "what this app wrote into a PNG"


def request_of(result: GenerationResult, index: int) -> GenerationRequest:
    """The request that makes image `index` of a result again, alone."""
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
    if request.clip_skip:
        values["Clip skip"] = request.clip_skip
    if request.control is not None:
        values["ControlNet"] = f"{request.control.kind} {request.control.scale:g}"
    if request.init is not None:
        values["Denoising strength"] = f"{request.init.strength:g}"
        values["Init image hash"] = pixels_hash(request.init.image)
        if request.init.mask is not None:
            values["Mask hash"] = pixels_hash(request.init.mask)
    lines = [request.prompt + styles]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in values.items())])


def request_values(request: GenerationRequest) -> dict[str, Any]:
    """The request as plain JSON values; a control image is a PNG in base64, an init image a hash."""
    control, init = request.control, request.init
    values = {row.name: getattr(request, row.name) for row in fields(request) if row.name != "init"} | {"control": None}
    if init is not None:
        mask = None if init.mask is None else pixels_hash(init.mask)
        values["init"] = {"strength": init.strength, "hash": pixels_hash(init.image), "mask": mask}
    values["styles"] = [asdict(style) for style in request.styles]
    if control is not None:
        image = base64.b64encode(encode_png(control.image)).decode("ascii")
        values["control"] = {"kind": control.kind, "scale": control.scale, "png": image}
    return values


def request_from_values(values: Mapping[str, Any]) -> GenerationRequest:
    """The way back from `request_values`, with everything in it checked, but for an init image. Raises InvalidRequest."""
    try:
        for name in ("width", "height"):
            if values.get(name) is not None:
                check_integer(name, values[name], 1, LARGEST_SIDE)
        # Those written before prompts had a grammar were read as plain words.
        plain = {"prompt_grammar": PLAIN} | {name: value for name, value in values.items() if name not in ("control", "init")}
        return request_from_json(plain, _control(values.get("control")))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidRequest("metadata", str(error)[:80], MADE_HERE) from None


@dataclass(frozen=True)
class InitRecord:
    """What a recipe says of the image that was painted on: the image itself is not in it."""

    strength: float
    image_hash: str
    mask_hash: str | None = None

    def init(self, image: InitImage | None, strength: float | None = None) -> InitImage:
        """`image` with this strength, or the given one. Raises InvalidRequest if it is missing or another."""
        wanted = f"the image it was painted on (hash {self.image_hash})"
        if image is None:
            raise InvalidRequest("init", "nothing", wanted)
        if (found := pixels_hash(image.image)) != self.image_hash:
            raise InvalidRequest("init", f"an image with hash {found}", wanted)
        mask = None if image.mask is None else pixels_hash(image.mask)
        if mask != self.mask_hash:
            allowed = "none" if self.mask_hash is None else f"the mask it was painted with (hash {self.mask_hash})"
            raise InvalidRequest("mask", "nothing" if mask is None else f"an image with hash {mask}", allowed)
        return replace(image, strength=self.strength if strength is None else strength)


def init_record(values: Mapping[str, Any]) -> InitRecord | None:
    """What `request_values` wrote of an init image, None without one. Raises InvalidRequest."""
    row = values.get("init")
    if row is None:
        return None
    if not isinstance(row, Mapping) or not isinstance(row.get("hash"), str) or not isinstance(row.get("mask"), str | None):
        raise InvalidRequest("init", str(row)[:80], MADE_HERE)
    return InitRecord(strength_of(row), row["hash"], row.get("mask"))


def pixels_hash(pixels: NDArray[np.uint8]) -> str:
    """Hexadecimal digest of an image's size and pixels, whatever file they came from."""
    return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:HASH_LENGTH]


def _control(row: Any) -> ControlInput | None:
    """A control image in a recipe: its dimensions are checked before it is decoded."""
    if row is None:
        return None
    packed = row["png"]
    if not isinstance(packed, str) or len(packed) > CONTROL_BYTES:
        raise InvalidRequest("control image", type(packed).__name__, f"at most {CONTROL_BYTES // 2**20} MB of base64")
    try:
        data = base64.b64decode(packed)
    except binascii.Error:
        raise InvalidRequest("control image", "text that is no base64", MADE_HERE) from None
    image = decode_image(data, "control image", CONTROL_PIXELS)
    return ControlInput(np.asarray(image.convert("RGB")), row["kind"], row["scale"])


def recipe_document(text: str) -> dict[str, Any]:
    """Our JSON from a text chunk. Raises InvalidRequest for anything else, and for what would take far more room than its text."""
    try:
        if text.count("[") + text.count("{") > MOST_NODES:
            raise InvalidRequest("picture", "a recipe of too many parts", MADE_HERE)
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("request"), dict):
        raise InvalidRequest("picture", "an unreadable recipe", MADE_HERE)
    return document


def png_info(result: GenerationResult, index: int) -> PngInfo:
    """The text chunks of image `index`."""
    request = request_of(result, index)
    info = PngInfo()
    info.add_text(PARAMETERS_KEY, parameters_text(request))
    document = {"format": FORMAT, "backend": result.backend, "request": request_values(request)}
    info.add_itxt(JSON_KEY, json.dumps(document, ensure_ascii=False))
    return info


def result_png(result: GenerationResult, index: int = 0) -> bytes:
    """Image `index` with its metadata."""
    return encode_png(result.pixels[index], png_info(result, index))


def read_request(path: Path, init: InitImage | None = None, strength: float | None = None) -> GenerationRequest:
    """The request that made a PNG of this app. Raises InvalidRequest.

    One that was painted on an image needs it again as `init`; `strength` replaces the recipe's.
    """
    try:
        texts = image_texts(path.read_bytes())
    except OSError as error:
        raise InvalidRequest("picture", path.name, f"a readable PNG ({error.strerror})") from None
    if not texts or JSON_KEY not in texts:
        raise InvalidRequest("picture", path.name, "a PNG that this app wrote")
    values = recipe_document(texts[JSON_KEY])["request"]
    record = init_record(values)
    return replace(request_from_values(values), init=init if record is None else record.init(init, strength))


def file_name(request: GenerationRequest) -> str:
    """`red-apple-3.png`: words and seed, with nothing in it that a file system minds."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in request.prompt.lower())
    words = "-".join(letters.split())[:LONGEST_NAME].strip("-") or "image"
    return f"{words}-{request.seed}.png"
