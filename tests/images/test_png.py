"""The fast encoder's files are PNGs like any other."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from hypersd_app.images.png import encode_png

SIZES = [(1, 1), (1, 7), (7, 1), (33, 20), (256, 256)]


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    channels = len(mode)
    shape = (size[1], size[0]) if channels == 1 else (size[1], size[0], channels)
    return Image.fromarray(np.random.default_rng(sum(size)).integers(0, 256, shape, dtype=np.uint8), mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("size", SIZES)
def test_every_pixel_comes_back(mode: str, size: tuple[int, int]) -> None:
    image = noise(mode, size)
    with Image.open(io.BytesIO(encode_png(image))) as found:
        found.verify()  # the checksums
    with Image.open(io.BytesIO(encode_png(image))) as found:
        assert (found.format, found.mode, found.size) == ("PNG", mode, size)
        assert np.array_equal(np.asarray(found), np.asarray(image))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 3), (7, 4, 4)])
def test_pixels_need_no_image_around_them(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2 * shape[0], *shape[1:]), dtype=np.uint8)[::2]  # with gaps between rows
    with Image.open(io.BytesIO(encode_png(pixels))) as found:
        assert np.array_equal(np.asarray(found), pixels)


@pytest.mark.parametrize(("mode", "stored"), [("P", "RGB"), ("1", "RGB"), ("LA", "RGBA"), ("CMYK", "RGB")])
def test_other_modes_are_stored_in_full_colour(mode: str, stored: str) -> None:
    image = noise("RGB", (16, 16)).convert("LA" if mode == "LA" else mode)
    with Image.open(io.BytesIO(encode_png(image))) as found:
        assert found.mode == stored
        assert np.array_equal(np.asarray(found), np.asarray(image.convert(stored)))


def test_texts_are_what_pillow_would_have_written() -> None:
    info = PngInfo()
    info.add_text("parameters", "a red cat")
    info.add_itxt("hypersd", "“curly” 猫")
    info.add_itxt("long", "x" * 5000, zip=True)
    image, buffer = noise("RGB", (8, 8)), io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    with Image.open(buffer) as expected, Image.open(io.BytesIO(encode_png(image, info))) as found:
        assert found.text == expected.text  # type: ignore[attr-defined]
