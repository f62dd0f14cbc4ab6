"""From a request to a plan: every name looked up, every option filled in, everything a recipe restricts checked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.catalog import validation
from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, ModelSpec, Recipe, StyleSpec
from hypersd_app.images.ink import white_strokes
from hypersd_app.requests import GenerationRequest

AppliedStyles = tuple[tuple[StyleSpec, float], ...]


@dataclass(frozen=True)
class PipelineKey:
    """Everything that changes the result beyond prompt, seed and control picture: plans that share it run as one batch."""

    model: str
    recipe: str
    decoder: str
    control: str
    styles: tuple[tuple[str, float], ...]
    num_inference_steps: int
    guidance_scale: float
    eta: float
    width: int
    height: int


@dataclass(frozen=True)
class Plan:
    """A request that can be run. `request` has all options filled in; `pixels` is uint8, (height, width, 3), or None."""

    request: GenerationRequest
    model: ModelSpec
    recipe: Recipe
    decoder: DecoderSpec
    control: ControlSpec | None
    pixels: NDArray[np.uint8] | None
    styles: AppliedStyles
    guidance_scale: float
    eta: float
    width: int
    height: int

    @property
    def key(self) -> PipelineKey:
        """What decides whether two plans fit one batch."""
        request = self.request
        return PipelineKey(
            request.model,
            request.recipe,
            request.decoder,
            "" if self.control is None else self.control.kind,
            tuple((style.name, weight) for style, weight in self.styles),
            request.num_inference_steps,
            self.guidance_scale,
            self.eta,
            self.width,
            self.height,
        )

    @property
    def seeds(self) -> tuple[int, ...]:
        """Image i of a request uses its own seed, `seed + i`, so that each can be made again alone."""
        return tuple((self.request.seed + i) % 2**32 for i in range(self.request.num_images))

    @property
    def prompt(self) -> str:
        """The prompt with the styles' trigger words, where they are not in it already."""
        words = [style.trigger for style, _ in self.styles if style.trigger]
        missing = [word for word in words if word.lower() not in self.request.prompt.lower()]
        return ", ".join([self.request.prompt.strip(), *missing])


def make_plan(catalog: Catalog, request: GenerationRequest) -> Plan:
    """Check `request` against the catalogue. Raises InvalidRequest, naming field, value and what is allowed."""
    model = catalog.model(request.model)
    recipe = validation.choose_recipe(model, request.recipe, request.num_inference_steps)
    validation.check_steps(recipe, request.num_inference_steps)
    guidance_scale = validation.allowed_guidance(recipe, request.guidance_scale)
    validation.check_negative_prompt(recipe, request.negative_prompt, guidance_scale)
    eta = validation.allowed_eta(recipe, request.eta)
    width = validation.check_size(model, "width", request.width, model.width)
    height = validation.check_size(model, "height", request.height, model.height)
    decoder = catalog.decoder(model, request.decoder)
    pixels = None if request.control is None else control_pixels(request.control.image, width, height)
    control = None if pixels is None or request.control is None else catalog.control(model, request.control.kind)
    filled = replace(
        request, recipe=recipe.name, guidance_scale=guidance_scale, eta=eta, width=width, height=height, decoder=decoder.name
    )
    styles = tuple((catalog.style(model, style.name), style.weight) for style in request.styles if style.weight)
    if pixels is not None and control is not None and control.white_strokes:
        pixels = white_strokes(pixels)
    return Plan(filled, model, recipe, decoder, control, pixels, styles, guidance_scale, eta, width, height)


def control_pixels(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8] | None:
    """The control picture at the drawn size, resampled as diffusers does; None if it is blank, which means no control."""
    if not image.any():
        return None
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))
