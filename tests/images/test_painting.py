"""Init images and masks: read from files of any kind, feathered, and composited without touching what stays."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.painting import Canvas, canvas_of, composite, feathered, init_image
from hypersd_app.requests import InitImage


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("side", [64, 256, 512])
def test_weights_are_full_in_the_mask_and_nothing_beyond_the_feather(side: int) -> None:
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    weights, feather = feathered(mask)[..., 0], side // 32
    assert weights[mask == 255].min() == 1.0
    inside = slice(side // 4 - feather, side // 2 + feather)
    assert weights[inside, inside].sum() == weights.sum(), "nothing beyond the feather"
    edge = weights[side // 3, side // 2 - 1 : side // 2 + feather + 1]
    assert (np.diff(edge) <= 0).all() and 0 < edge[feather // 2 + 1] < 1, "it falls softly"


def test_a_mask_that_runs_along_the_border_is_full_there() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :20] = 255
    assert feathered(mask)[:, :20].min() == 1.0


def test_what_stays_is_the_same_bit_for_bit() -> None:
    old, new, mask = noise(128, 128), noise(128, 128, 1), np.zeros((128, 128), np.uint8)
    mask[40:80, 40:80] = 255
    made = composite(new, canvas_of(InitImage(old, 0.5, mask), 128, 128))
    assert (made[40:80, 40:80] == new[40:80, 40:80]).all()
    outside = np.ones((128, 128), bool)
    outside[36:84, 36:84] = False
    assert (made[outside] == old[outside]).all()
    feather = made[60, 36:40].astype(int)
    assert (feather >= np.minimum(old, new)[60, 36:40]).all() and (feather <= np.maximum(old, new)[60, 36:40]).all()


def test_without_a_mask_all_of_it_is_new() -> None:
    new = noise(16, 16)
    assert composite(new, Canvas(noise(16, 16, 1))) is new and composite(new, None) is new


def test_an_empty_mask_keeps_everything() -> None:
    old = noise(64, 64)
    made = composite(noise(64, 64, 1), canvas_of(InitImage(old, 0.5, np.zeros((64, 64), np.uint8)), 64, 64))
    assert (made == old).all()


def test_another_shape_is_cut_to_its_middle_with_its_mask() -> None:
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).rectangle((100, 0, 199, 99), fill="black")
    mask = Image.new("L", (200, 100))
    mask.paste(255, (100, 0, 200, 100))
    canvas = canvas_of(init_image(image, 0.5, mask), 64, 64)
    assert canvas.image.shape == (64, 64, 3) and canvas.weights is not None
    assert canvas.image[:, 20].min() > 250 and canvas.image[:, 44].max() < 5
    assert canvas.weights[:, 20].max() == 0 and canvas.weights[:, 44].min() == 1


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "RGBA", "LA"])
def test_masks_of_every_kind(mode: str) -> None:
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 16, 16))
    if mode in ("RGBA", "LA"):  # painted on transparent paper, as layers of drawing programs are
        shown = Image.new(mode, (32, 32))
        shown.putalpha(mask)
        shown = shown.convert("RGBA")
    else:
        shown = mask.convert(mode)
    read = init_image(Image.new("RGB", (32, 32)), 0.5, shown).mask
    assert read is not None and (read == np.asarray(mask)).all()


def test_transparent_images_lie_on_white_and_large_ones_shrink() -> None:
    assert init_image(Image.new("RGBA", (8, 8), (9, 9, 9, 0)), 0.5).image.min() == 255
    large = init_image(Image.new("RGB", (4000, 1000)), 0.5, Image.new("L", (4000, 1000), 255))
    assert large.image.shape == (256, 1024, 3) and large.mask is not None and large.mask.shape == (256, 1024)


def test_a_mask_of_another_size_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"mask.*30x20.*40x20"):
        init_image(Image.new("RGB", (40, 20)), 0.5, Image.new("L", (30, 20)))
