"""PNG out, PNG in."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.metadata import parameters_text, result_png
from hypersd_app.images.recipes.a1111 import parse_a1111 as parsed
from hypersd_app.images.recipes.foreign import fitted
from hypersd_app.requests import ControlInput, GenerationResult, request_from_json
from hypersd_app.server.http.png_recipes import png_bytes, read_recipe, with_recipe
from tests.support.told_request import REQUEST

STROKES = [{"tool": "brush", "points": [1, 2, 0.5], "size": 18}]


def parse_a1111(text: str) -> dict[str, Any]:
    return fitted(parsed(text))[0]


def test_everything_comes_back() -> None:
    data = png_bytes(with_recipe(Image.new("RGB", (256, 256)), REQUEST, STROKES))
    recipe = read_recipe(data)
    assert request_from_json(recipe["head"]) == REQUEST
    assert recipe["operations"] == STROKES


def test_a_sketch_given_on_the_command_line_becomes_ink() -> None:
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[30] = 255
    result = GenerationResult((np.zeros((64, 64, 3), np.uint8),), replace(REQUEST, control=ControlInput(lines, scale=0.7)))
    recipe = read_recipe(result_png(result))
    assert recipe["head"]["controlnet_conditioning_scale"] == 0.7
    assert [operation["tool"] for operation in recipe["operations"]] == ["image"]
    ink = Image.open(io.BytesIO(base64.b64decode(recipe["operations"][0]["source"].split(",")[1])))
    assert np.array_equal(np.asarray(ink)[:, :, 3], lines[:, :, 0])


def test_other_programs_find_their_text() -> None:
    data = png_bytes(with_recipe(Image.new("RGB", (256, 200)), REQUEST))
    text = Image.open(io.BytesIO(data)).info["parameters"]
    first, second, last = text.split("\n")
    assert first == "a red apple, on a table <lora:ink:0.8>"
    assert second == "Negative prompt: blurry, grey"
    assert "Steps: 4" in last and "Seed: 123" in last and "Recipe: unified" in last


def test_a1111_text_is_read() -> None:
    values = parse_a1111(parameters_text(REQUEST))
    made = request_from_json(values)
    assert (made.prompt, made.negative_prompt, made.seed, made.styles) == (
        REQUEST.prompt, REQUEST.negative_prompt, REQUEST.seed, REQUEST.styles,
    )  # fmt: skip
    assert parse_a1111("just words")["prompt"] == "just words"


def test_what_other_programs_say_is_taken() -> None:
    values = parse_a1111(
        "a castle <lora:detail:0.6>\nNegative prompt: grey\n"
        "Steps: 20, Sampler: DPM++ 2M, CFG scale: 7.5, Seed: 12, Size: 512x768, Model hash: 6ce0, Model: v1-5, Version: v1.9"
    )
    named = ("num_inference_steps", "guidance_scale", "seed", "width", "height", "model", "negative_prompt")
    assert [values[name] for name in named] == [20, 7.5, 12, 512, 768, "v1-5", "grey"]
    assert parse_a1111("a cat\nSteps: many, CFG scale: x, Size: large")["num_inference_steps"] == 1


def test_a_resting_pen_is_remembered() -> None:
    for rest in (True, False):
        data = png_bytes(with_recipe(Image.new("RGB", (8, 8)), REQUEST, STROKES, rest))
        assert read_recipe(data)["head"].get("rest", False) is rest


@pytest.mark.parametrize("data", [b"", b"text", png_bytes(Image.new("RGB", (4, 4)))])
def test_images_without_a_recipe_are_named(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="picture"):
        read_recipe(data)
