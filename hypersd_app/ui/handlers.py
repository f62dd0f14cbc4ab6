"""Handlers of the page and the API: they build requests from plain values and return the engine's results."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.images.files import decode_image
from hypersd_app.images.metadata import read_request, request_of
from hypersd_app.images.painting import init_image
from hypersd_app.images.scribble import LARGEST_READ, sketch_control
from hypersd_app.requests import (
    MAX_SEED,
    GenerationRequest,
    GenerationResult,
    check_integer,
    control_of,
    request_from_json,
    request_to_json,
    strength_of,
    whole,
)
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.png_recipes import read_recipe, with_grid, with_recipe
from hypersd_app.server.scheduling.limits import LARGE_AT_ONCE, BoardLimits
from hypersd_app.server.scheduling.scheduler import Outcome
from hypersd_app.ui.compare.grid import Grid, make_grid, styles_from_text
from hypersd_app.ui.compare.sheet import contact_sheet
from hypersd_app.ui.control_images import control_image
from hypersd_app.ui.progress import Step, with_steps
from hypersd_app.ui.recipe_matching import model_of

MAX_API_STEPS = 8
IMAGE = "an image (PNG, JPEG, WebP, GIF or BMP)"


class Handlers:
    """Builds requests, calls the engine, returns results. Every method raises HyperSDError for wrong input."""

    def __init__(self, engine: ImageEngine, default_model: str, limits: BoardLimits) -> None:
        self.engine = engine
        self.default_model = default_model
        self.limits = limits
        self._reading = threading.BoundedSemaphore(LARGE_AT_ONCE)  # a large image takes much memory until it is small

    def text_to_image(self, values: Mapping[str, Any]) -> list[Image.Image]:
        """Images for a prompt; image i has seed `seed + i`. `styles` may be text, as in "ink:0.5, clay"."""
        return images(self.engine.generate(request_from_json(self._api_values(values))))

    def scribble(self, sketch: str | None, values: Mapping[str, Any]) -> Image.Image:
        """An image that follows the lines of `sketch`, the path of an image file."""
        scale = values.get("controlnet_conditioning_scale")
        if not isinstance(scale, (int, float)):
            raise InvalidRequest("controlnet_conditioning_scale", scale, "a number from 0 to 2")
        if not sketch:
            raise InvalidRequest("sketch", sketch, IMAGE)
        with self._reading:
            image = decode_image(self.bounded(sketch, "sketch"), "sketch", self.limits.sketch_pixels)
            control = sketch_control(image, float(scale), values.get("control") or "scribble")
            del image
        return images(self.engine.generate(request_from_json(self._api_values(values), control)))[0]

    def paint(self, image: str | None, mask: str | None, sketch: str | None, values: Mapping[str, Any]) -> Image.Image:
        """An image painted on `image`, where `mask` allows it; paths of image files."""
        strength = strength_of(values)
        if not image:
            raise InvalidRequest("picture", image, IMAGE)
        kind, scale = control_of(values)
        with self._reading:
            init = init_image(self.opened(image, "picture"), strength, self.opened(mask, "mask") if mask else None)
            control = sketch_control(self.opened(sketch, "sketch"), scale, kind) if sketch else None
        return images(self.engine.generate(request_from_json(self._api_values(values), control, init)))[0]

    def opened(self, path: str, field: str) -> Image.Image:
        """A visitor's image file, decoded within the limits. Raises InvalidRequest."""
        return decode_image(self.bounded(path, field), field, self.limits.sketch_pixels)

    def compare(self, values: Mapping[str, Any], axes: Mapping[str, Any], sketch: str | None) -> tuple[Image.Image, dict[str, Any]]:
        """A grid as a contact sheet that carries its recipe, and what each place shows."""
        base = {**self._api_values(values), "controlnet_conditioning_scale": values.get("controlnet_conditioning_scale") or 1.0}
        grid = make_grid(self.engine, base, axes)
        drawn = decode_image(self.bounded(sketch, "sketch"), "sketch", self.limits.sketch_pixels) if sketch else None
        made = [_made(outcome) for outcome in self.engine.generate_batch([self._cell(cell.values, drawn) for cell in grid.cells])]
        captions = [f"{result.milliseconds.get('total', 0):.0f} ms" for result in made]
        sheet = contact_sheet([result.images[0] for result in made], grid.columns, grid.rows, captions, str(base["prompt"]))
        recipe = {"head": request_to_json(made[0].request) | base, "operations": [], "compare": dict(axes)}
        return with_grid(sheet, recipe), {"recipe": recipe, "pictures": told(grid, made)}

    def _cell(self, values: Mapping[str, Any], drawn: Image.Image | None) -> GenerationRequest:
        control = None
        if drawn is not None and model_of(self.engine, values["model"]).controls:
            control = sketch_control(drawn, float(values["controlnet_conditioning_scale"]), values.get("control") or "scribble")
        return request_from_json(values, control)

    def make_again(self, png: str | None) -> Image.Image:
        """Make the image of a PNG's recipe again."""
        with self._reading:
            request = read_request(Path(self._png(png)))
        return images(self.engine.generate(request))[0]

    def recipe_from_png(self, png: str | None) -> dict[str, Any]:
        """The recipe in a PNG, ours or A1111's."""
        with self._reading:
            return read_recipe(Path(self._png(png)).read_bytes())

    def annotate(self, photograph: str | None, control: str, model: str) -> Image.Image:
        """The control image that a control kind reads in a photograph."""
        if not photograph:
            raise InvalidRequest("photograph", photograph, IMAGE)
        with self._reading:
            image = decode_image(self.bounded(photograph, "photograph"), "photograph", self.limits.sketch_pixels)
            image.thumbnail((2 * LARGEST_READ, 2 * LARGEST_READ))
        return control_image(self.engine, model or self.default_model, control, image)

    def request(self, values: Mapping[str, Any]) -> GenerationRequest:
        """A request from JSON values, as the tabs collect them."""
        return request_from_json({"model": self.default_model, **values})

    def stepwise(self, request: GenerationRequest) -> Iterator[Step | GenerationResult]:
        """Run a request: yields every step, then the result."""
        return with_steps(lambda progress: self.engine.generate(request, progress))

    def bounded(self, path: str, field: str) -> str:
        """`path`, if the file is small enough to be read whole. Raises InvalidRequest."""
        size, most = Path(path).stat().st_size, self.limits.upload_bytes
        if size > most:
            raise InvalidRequest(field, f"{size / 1e6:.0f} MB", f"at most {most / 1e6:.0f} MB")
        return path

    def _png(self, path: str | None) -> str:
        if not path:
            raise InvalidRequest("picture", path, "a PNG file")
        return self.bounded(path, "picture")

    def _api_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Request values of a named endpoint: styles from text; without a named recipe 1 to 8 steps."""
        styles = values.get("styles") or []
        steps = values.get("num_inference_steps", 1)
        return {
            **{name: value for name, value in values.items() if value is not None},
            "model": values.get("model") or self.default_model,
            "styles": styles_from_text(styles) if isinstance(styles, str) else styles,
            "num_inference_steps": whole("num_inference_steps", steps) if values.get("recipe") else few_steps(steps),
            "seed": whole("seed", values.get("seed", 0)),
        }


def _made(outcome: Outcome) -> GenerationResult:
    if isinstance(outcome, HyperSDError):
        raise outcome
    return outcome


def told(grid: Grid, made: list[GenerationResult]) -> list[dict[str, Any]]:
    """What each place of a grid shows, as JSON."""
    return [
        {
            "column": grid.columns[cell.column],
            "row": grid.rows[cell.row] if grid.rows else "",
            "milliseconds": round(result.milliseconds.get("total", 0.0), 1),
            "request": request_to_json(result.request),
        }
        for cell, result in zip(grid.cells, made, strict=True)
    ]


def images(result: GenerationResult) -> list[Image.Image]:
    """A result's images, each carrying the recipe that makes it alone."""
    return [with_recipe(image, request_of(result, i)) for i, image in enumerate(result.images)]


def few_steps(value: object) -> int:
    """Steps of the named endpoints: 1 to 8."""
    steps = whole("num_inference_steps", value)
    check_integer("num_inference_steps", steps, 1, MAX_API_STEPS)
    return steps


def any_seed() -> int:
    """A random seed."""
    return secrets.randbelow(MAX_SEED + 1)
