"""What crosses from the page, the API and the command line into the engine, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.errors import InvalidRequest

MAX_SEED = 2**32 - 1
MAX_PROMPT_LENGTH = 500
MAX_IMAGES = 8
MAX_STEPS = 50
MAX_CONTROL_SCALE = 2.0
MAX_STYLES = 4
MAX_STYLE_WEIGHT = 2.0
LOADING_SHARE = 0.5  # of a request's progress, when something must be loaded first


def check_range(field_name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidRequest unless `low <= value <= high` (NaN never is)."""
    if not low <= value <= high:
        raise InvalidRequest(field_name, value, f"a number from {low:g} to {high:g}")


def check_integer(field_name: str, value: object, low: int, high: int) -> None:
    """Raise InvalidRequest unless `value` is a whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(field_name, value, f"a whole number from {low} to {high}")


@dataclass(frozen=True)
class StyleWeight:
    """One style LoRA and how strongly it acts."""

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
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
    """A control picture: `image` is uint8, (H, W, 3), for kind "scribble" strokes on black (`models.ink`).

    `engine.control_images.scribble_control` makes it from what a visitor drew; an all-black one means no control.
    """

    image: NDArray[np.uint8]
    kind: str = "scribble"
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_range("controlnet_conditioning_scale", self.scale, 0.0, MAX_CONTROL_SCALE)
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise InvalidRequest("control image", f"{self.image.dtype} {self.image.shape}", "uint8 pixels of shape (H, W, 3)")


@dataclass(frozen=True)
class GenerationRequest:
    """Everything that decides a picture. Unset options (None, "") take the recipe's values.

    `model`, `recipe` and `decoder` are keys of the catalogue; the engine checks them and everything a recipe restricts.
    Image i of a batch uses seed `seed + i`, so that each can be made again alone.
    """

    prompt: str
    negative_prompt: str = ""
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
    decoder: str = ""

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InvalidRequest("prompt", self.prompt, "some words that say what to draw")
        for name, text in (("prompt", self.prompt), ("negative_prompt", self.negative_prompt)):
            if len(text) > MAX_PROMPT_LENGTH:
                raise InvalidRequest(name, f"{len(text)} characters", f"at most {MAX_PROMPT_LENGTH} characters")
        check_integer("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        check_integer("num_images", self.num_images, 1, MAX_IMAGES)
        check_integer("seed", self.seed, 0, MAX_SEED)
        if len(self.styles) > MAX_STYLES:
            raise InvalidRequest("styles", len(self.styles), f"at most {MAX_STYLES} at once")


@dataclass(frozen=True)
class GenerationResult:
    """Pictures, uint8 (H, W, 3) each, with the request as it was really run (all options filled in) and where the time went."""

    pixels: tuple[NDArray[np.uint8], ...]
    request: GenerationRequest
    milliseconds: Mapping[str, float] = field(default_factory=dict)  # text, control, unet, decode, total
    backend: str = ""

    @cached_property
    def images(self) -> tuple[Image.Image, ...]:
        """The pictures for Pillow."""
        return tuple(Image.fromarray(rows) for rows in self.pixels)
