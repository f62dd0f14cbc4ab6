"""What the page and the API ask of the engine: plain functions of plain values, tried without a browser."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from PIL import Image

from hypersd_app.engine.metadata import request_of
from hypersd_app.engine.requests import MAX_SEED, GenerationRequest, GenerationResult, check_integer
from hypersd_app.errors import InvalidRequest
from hypersd_app.server.backend import ImageEngine
from hypersd_app.server.board_requests import request_from_values, sketch_control, whole
from hypersd_app.server.limits import BoardLimits
from hypersd_app.server.pictures import open_picture
from hypersd_app.server.png_recipes import with_recipe

MAX_API_STEPS = 8


class Handlers:
    """Builds requests, calls the engine, returns results. Every method raises HyperSDError for wrong input."""

    def __init__(self, engine: ImageEngine, default_model: str, limits: BoardLimits) -> None:
        self.engine = engine
        self.default_model = default_model
        self.limits = limits

    def text_to_image(self, prompt: str, num_inference_steps: float, seed: float, num_images: float) -> list[Image.Image]:
        """Pictures for a prompt; picture i has seed `seed + i`."""
        request = GenerationRequest(
            prompt=prompt or "",
            model=self.default_model,
            num_inference_steps=few_steps(num_inference_steps),
            seed=whole("seed", seed),
            num_images=whole("num_images", num_images),
        )
        return pictures(self.engine.generate(request))

    def scribble(
        self,
        sketch: str | None,
        prompt: str,
        num_inference_steps: float,
        controlnet_conditioning_scale: float,
        seed: float,
    ) -> Image.Image:
        """A picture that follows the lines of `sketch`, a path to a picture file."""
        if not isinstance(controlnet_conditioning_scale, (int, float)):
            raise InvalidRequest("controlnet_conditioning_scale", controlnet_conditioning_scale, "a number from 0 to 2")
        if not sketch:
            raise InvalidRequest("sketch", sketch, "a picture (PNG, JPEG, WebP, GIF or BMP)")
        picture = open_picture(sketch, "sketch", self.limits.sketch_pixels)
        request = GenerationRequest(
            prompt=prompt or "",
            model=self.default_model,
            num_inference_steps=few_steps(num_inference_steps),
            seed=whole("seed", seed),
            control=sketch_control(picture, float(controlnet_conditioning_scale)),
        )
        return pictures(self.engine.generate(request))[0]

    def from_values(self, values: Mapping[str, Any], progress: Any = None) -> GenerationResult:
        """Run a request given as JSON values, as the tabs collect them."""
        return self.engine.generate(request_from_values({"model": self.default_model, **values}), progress)


def pictures(result: GenerationResult) -> list[Image.Image]:
    """A result's pictures, each carrying the recipe that makes it alone."""
    return [with_recipe(image, request_of(result, i)) for i, image in enumerate(result.images)]


def few_steps(value: object) -> int:
    """Steps of the named endpoints: 1 to 8."""
    steps = whole("num_inference_steps", value)
    check_integer("num_inference_steps", steps, 1, MAX_API_STEPS)
    return steps


def any_seed() -> int:
    """A seed nobody has seen."""
    return secrets.randbelow(MAX_SEED + 1)
