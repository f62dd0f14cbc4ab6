"""What crosses from the page, the API and the command line into the engine, and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.prompts.tags import START, take_tags
from hypersd_app.prompts.wording import GRAMMARS

MAX_SEED = 2**32 - 1
MAX_PROMPT_LENGTH = 6000  # characters; seventeen chunks of CLIP's
MAX_NAME_LENGTH = 500  # of models, recipes, decoders, styles and control kinds
LARGEST_NUMBER = 1e9  # of guidance, eta and sides, long before they are compared with what a recipe allows
MAX_IMAGES = 8
MAX_STEPS = 50
MAX_CONTROL_SCALE = 2.0
MAX_STYLES = 4
MAX_TAGS = 8  # styles that a prompt names itself
MAX_CLIP_SKIP = 12
MAX_STYLE_WEIGHT = 2.0
USUAL_STRENGTH = 0.6
SMALLEST_INIT, LARGEST_INIT = 8, 4096  # pixels a side of an init image
SCRIBBLE = "scribble"
LOADING_SHARE = 0.5  # of a request's progress, when something must be loaded first


def check_range(field_name: str, value: object, low: float, high: float) -> None:
    """Raise InvalidRequest unless `value` is a number in [low, high]; NaN never is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise InvalidRequest(field_name, value, f"a number from {low:g} to {high:g}")


def check_integer(field_name: str, value: object, low: int, high: int) -> None:
    """Raise InvalidRequest unless `value` is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(field_name, value, f"a whole number from {low} to {high}")


def check_text(field_name: str, value: object, longest: int) -> None:
    """Raise InvalidRequest unless `value` is text of at most `longest` characters that can be encoded."""
    if not isinstance(value, str):
        raise InvalidRequest(field_name, value, "text")
    if len(value) > longest:
        raise InvalidRequest(field_name, f"{len(value)} characters", f"at most {longest} characters")
    check_encodable(field_name, value)


def check_encodable(field_name: str, value: str) -> None:
    """Raise InvalidRequest for text with half a surrogate pair, which tokenizers and log files can't take."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(field_name, ascii(value), "text in Unicode") from None


def check_optional_number(field_name: str, value: object) -> None:
    """Raise InvalidRequest unless `value` is None or a finite number. Its range is the recipe's to check."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= LARGEST_NUMBER:
        raise InvalidRequest(field_name, value, "a number")


def check_optional_side(field_name: str, value: object) -> None:
    """Raise InvalidRequest unless `value` is None or a whole number. Which sizes there are is the model's to check."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_NUMBER):
        raise InvalidRequest(field_name, value, "a whole number")


@dataclass(frozen=True)
class StyleWeight:
    """One style LoRA and how strongly it acts."""

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_text("style", self.name, MAX_NAME_LENGTH)
        check_range("style weight", self.weight, -MAX_STYLE_WEIGHT, MAX_STYLE_WEIGHT)


@dataclass(frozen=True)
class StepReached:
    """A finished sampling step, reported as progress in place of words."""

    step: int
    steps: int

    def __str__(self) -> str:
        return f"Step {self.step} of {self.steps}"


@dataclass(frozen=True)
class ControlInput:
    """A control image: `image` is uint8, (H, W, 3); for kind "scribble" strokes on black (`images.scribble`).

    `images.scribble.scribble_control` makes it from a visitor's sketch; an all-black one means no control.
    """

    image: NDArray[np.uint8]
    kind: str = "scribble"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_text("control", self.kind, MAX_NAME_LENGTH)
        check_range("controlnet_conditioning_scale", self.scale, 0.0, MAX_CONTROL_SCALE)
        check_pixels("control image", self.image, 3)


@dataclass(frozen=True)
class InitImage:
    """What is painted on: `image` is uint8, (H, W, 3); `strength` 0 keeps it, 1 starts from noise alone.

    `mask`, uint8 (H, W), is 255 where the image is made anew and 0 where it stays; without one all of it may change.
    `images.painting.init_image` makes it from a visitor's files; which strengths there are is the recipe's to check.
    """

    image: NDArray[np.uint8]
    strength: float = USUAL_STRENGTH
    mask: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        check_range("strength", self.strength, 0.0, 1.0)
        check_pixels("init", self.image, 3)
        height, width = self.image.shape[:2]
        if not (SMALLEST_INIT <= height <= LARGEST_INIT and SMALLEST_INIT <= width <= LARGEST_INIT):
            raise InvalidRequest("init", f"{width}x{height} pixels", f"{SMALLEST_INIT} to {LARGEST_INIT} pixels a side")
        if self.mask is None:
            return
        check_pixels("mask", self.mask, 0)
        if self.mask.shape != (height, width):
            found = f"{self.mask.shape[1]}x{self.mask.shape[0]} pixels"
            raise InvalidRequest("mask", found, f"the size of the image, {width}x{height} pixels")


def check_pixels(field_name: str, value: object, channels: int) -> None:
    """Raise InvalidRequest unless `value` is uint8 pixels with so many channels, 0 for grey."""
    shape = f"(H, W, {channels})" if channels else "(H, W)"
    if not isinstance(value, np.ndarray):
        raise InvalidRequest(field_name, type(value).__name__, f"uint8 pixels of shape {shape}")
    if value.dtype != np.uint8 or value.ndim != (3 if channels else 2) or (channels and value.shape[2] != channels):
        raise InvalidRequest(field_name, f"{value.dtype} {value.shape}", f"uint8 pixels of shape {shape}")


@dataclass(frozen=True, kw_only=True)
class BatchKey:
    """What requests must share to run as one batch: everything but words, seed and the pixels of control and init images."""

    model: str
    recipe: str
    decoder: str
    control: str  # kind of the control image, "" without one
    init: float | None = None  # strength with an init image, None without one
    styles: tuple[StyleWeight, ...]
    tags: tuple[StyleWeight, ...]  # styles that the prompt names, which may be missing
    num_inference_steps: int
    num_images: int
    guidance_scale: float | None
    eta: float | None
    width: int | None
    height: int | None

    @property
    def weights(self) -> str:
        """A name for the weights that are needed: model and styles. Style weights are set in no time and left out."""
        return json.dumps([self.model, *sorted(style.name for style in self.styles + self.tags)])


@dataclass(frozen=True)
class GenerationRequest:
    """Everything that decides an image. Unset options (None, "") take the recipe's values.

    `model`, `recipe` and `decoder` are keys of the catalogue. The type of every field is checked here, before a request can
    wait anywhere; the engine checks names and what a recipe restricts. Image i of a batch has seed `seed + i`, so that each
    can be made again alone.
    """

    prompt: str
    negative_prompt: str = ""
    _: KW_ONLY
    model: str = "pocket"
    recipe: str = ""
    num_inference_steps: int = 1
    guidance_scale: float | None = None
    eta: float | None = None
    seed: int = 0
    num_images: int = 1
    width: int | None = None
    height: int | None = None
    styles: tuple[StyleWeight, ...] = ()
    control: ControlInput | None = None
    init: InitImage | None = None
    decoder: str = ""
    prompt_grammar: str = ""  # one of `prompts.wording.GRAMMARS`
    clip_skip: int | None = None  # 1 is the text encoder's last layer, 2 the one before

    def __post_init__(self) -> None:
        check_text("prompt", self.prompt, MAX_PROMPT_LENGTH)
        if not self.prompt.strip():
            raise InvalidRequest("prompt", self.prompt, "some words that say what to draw")
        check_text("negative_prompt", self.negative_prompt, MAX_PROMPT_LENGTH)
        for name in ("model", "recipe", "decoder"):
            check_text(name, getattr(self, name), MAX_NAME_LENGTH)
        check_integer("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        check_integer("num_images", self.num_images, 1, MAX_IMAGES)
        check_integer("seed", self.seed, 0, MAX_SEED)
        check_optional_number("guidance_scale", self.guidance_scale)
        check_optional_number("eta", self.eta)
        check_optional_side("width", self.width)
        check_optional_side("height", self.height)
        if self.prompt_grammar not in ("", *GRAMMARS):
            raise InvalidRequest("prompt_grammar", self.prompt_grammar, "one of " + ", ".join(GRAMMARS))
        if self.clip_skip is not None:
            check_integer("clip_skip", self.clip_skip, 1, MAX_CLIP_SKIP)
        self._check_parts()

    def _check_parts(self) -> None:
        if not isinstance(self.styles, tuple) or not all(isinstance(style, StyleWeight) for style in self.styles):
            raise InvalidRequest("styles", self.styles, "a tuple of StyleWeight")
        if len(self.styles) > MAX_STYLES:
            raise InvalidRequest("styles", len(self.styles), f"at most {MAX_STYLES} at once")
        if self.control is not None and not isinstance(self.control, ControlInput):
            raise InvalidRequest("control", self.control, "a ControlInput")
        if self.init is not None and not isinstance(self.init, InitImage):
            raise InvalidRequest("init", type(self.init).__name__, "an InitImage")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image."""
        return tuple((self.seed + i) % (MAX_SEED + 1) for i in range(self.num_images))

    def batch_key(self, control: str = "", strength: float | None = None) -> BatchKey:
        """What others must share to run with this request.

        `control` is the kind of a control image yet to be decoded, `strength` the one of an init image yet to be decoded.
        """
        return BatchKey(
            model=self.model,
            recipe=self.recipe,
            decoder=self.decoder,
            control=control if self.control is None else self.control.kind,
            init=strength if self.init is None else float(self.init.strength),
            styles=self.styles,
            tags=tag_styles(self.prompt),
            num_inference_steps=self.num_inference_steps,
            num_images=self.num_images,
            guidance_scale=self.guidance_scale,
            eta=self.eta,
            width=self.width,
            height=self.height,
        )


def tag_styles(prompt: str) -> tuple[StyleWeight, ...]:
    """The styles that a prompt names in tags, their weights within what is allowed."""
    if START not in prompt:
        return ()
    found = take_tags(prompt).styles
    limited = ((name, min(max(weight, -MAX_STYLE_WEIGHT), MAX_STYLE_WEIGHT)) for name, weight in found if name and weight)
    return tuple(StyleWeight(name, weight) for name, weight in limited)[:MAX_TAGS] if found else ()


PLAIN_FIELDS = (  # of a request, which are the same in JSON
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
    "prompt_grammar",
    "clip_skip",
)


@dataclass(frozen=True)
class GenerationResult:
    """Images, uint8 (H, W, 3) each, with the request as it was really run (all options filled in) and the time of each part."""

    pixels: tuple[NDArray[np.uint8], ...]
    request: GenerationRequest
    milliseconds: Mapping[str, float] = field(default_factory=dict)  # text, control, unet, decode, total
    backend: str = ""
    notes: tuple[str, ...] = ()  # what of the prompt did nothing, a sentence each

    @cached_property
    def images(self) -> tuple[Image.Image, ...]:
        """The images for Pillow."""
        return tuple(Image.fromarray(rows) for rows in self.pixels)


def request_from_json(
    values: Mapping[str, Any], control: ControlInput | None = None, init: InitImage | None = None
) -> GenerationRequest:
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
        init=init,
        decoder=words(values, "decoder"),
        prompt_grammar=words(values, "prompt_grammar"),
        clip_skip=optional_whole(values, "clip_skip"),
    )


def request_to_json(request: GenerationRequest) -> dict[str, Any]:
    """JSON values from which `request_from_json` makes the request again, but for its control and init images."""
    values: dict[str, Any] = {name: getattr(request, name) for name in PLAIN_FIELDS}
    values["styles"] = [{"name": style.name, "weight": style.weight} for style in request.styles]
    if request.control is not None:
        values["controlnet_conditioning_scale"] = request.control.scale
        values["control"] = request.control.kind
    if request.init is not None:
        values["strength"] = request.init.strength
    return values


def control_of(values: Mapping[str, Any]) -> tuple[str, float]:
    """Kind and scale of the control image that goes with `values`. Raises InvalidRequest."""
    kind, scale = words(values, "control") or SCRIBBLE, number(values, "controlnet_conditioning_scale", 1.0)
    check_text("control", kind, MAX_NAME_LENGTH)
    check_range("controlnet_conditioning_scale", scale, 0.0, MAX_CONTROL_SCALE)
    return kind, scale


def strength_of(values: Mapping[str, Any]) -> float:
    """Strength of the init image that goes with `values`. Raises InvalidRequest."""
    strength = number(values, "strength", USUAL_STRENGTH)
    check_range("strength", strength, 0.0, 1.0)
    return strength


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
    check_encodable(field, value)
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
