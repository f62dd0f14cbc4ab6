"""What a PNG says of the image it was painted on: a hash and a strength, with which the right image makes it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.metadata import init_record, parameters_text, read_request, request_values, result_png
from hypersd_app.requests import ControlInput, GenerationRequest, GenerationResult, InitImage
from hypersd_app.server.http.png_recipes import CANVAS, png_bytes, read_recipe, with_recipe

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
MASK = np.full((32, 32), 255, np.uint8)
PAINTED = GenerationRequest("a cat", recipe="unified", width=32, height=32, init=InitImage(IMAGE, 0.4, MASK))


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    path.write_bytes(result_png(GenerationResult((IMAGE,), PAINTED)))
    return path


def test_the_text_tells_strength_and_hashes() -> None:
    text, record = parameters_text(PAINTED), init_record(request_values(PAINTED))
    assert record is not None and record.strength == 0.4
    assert "Denoising strength: 0.4" in text and f"Init image hash: {record.image_hash}" in text
    assert f"Mask hash: {record.mask_hash}" in text
    assert init_record(request_values(GenerationRequest("a cat"))) is None


def test_the_same_image_makes_it_again(png: Path) -> None:
    made = read_request(png, InitImage(IMAGE.copy(), 0.9, MASK))
    assert made.init is not None and made.init.strength == 0.4 and made.prompt == "a cat"
    assert read_request(png, InitImage(IMAGE, 0.9, MASK), strength=0.7).init.strength == 0.7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (None, "init.*nothing.*hash"),
        (InitImage(IMAGE[::-1].copy(), 0.4, MASK), "init.*hash.*hash"),
        (InitImage(IMAGE, 0.4), "mask.*nothing"),
        (InitImage(IMAGE, 0.4, MASK // 2), "mask.*hash"),
    ],
)
def test_another_one_is_refused(png: Path, init: InitImage | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_request(png, init)


WRONG = ["x", 3, [], {"hash": 3}, {"hash": "a", "strength": 2}, {"hash": "a", "mask": 1}, {"strength": 0.5}]


@pytest.mark.parametrize("row", WRONG)
def test_records_of_anybody_are_checked(row: object) -> None:
    with pytest.raises(InvalidRequest):
        init_record({"init": row})


def test_the_page_is_told_what_is_missing() -> None:
    image = Image.fromarray(IMAGE)
    found = read_recipe(png_bytes(with_recipe(image, PAINTED)))
    assert found["head"]["strength"] == 0.4 and "painted on another image" in found["changed"][0]
    whole = read_recipe(png_bytes(with_recipe(image, PAINTED, [{"tool": CANVAS, "source": "data:image/jpeg;base64,AA=="}])))
    control = replace(PAINTED, control=ControlInput(IMAGE, scale=0.6))
    drawn = read_recipe(png_bytes(with_recipe(image, control, [{"tool": CANVAS, "source": ""}])))
    assert drawn["head"]["controlnet_conditioning_scale"] == 1.0, "as the page asked: it was lessened by the strength"
    assert whole["changed"] == [] and whole["operations"][0]["tool"] == CANVAS, "the canvas is in the file"
