"""The page's own PNG encoder: files like any other, whatever is drawn."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page

from hypersd_app.ui.scripts import STATIC

ENCODE = """async ([paint, width, height]) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const pixels = context.createImageData(width, height);
    new Function("data", "width", paint)(new Uint32Array(pixels.data.buffer), width);
    context.putImageData(pixels, 0, 0);
    const text = (bytes) => { let all = ""; for (const byte of bytes) all += String.fromCharCode(byte); return btoa(all); };
    const made = new Uint8Array(await hypersd.pngOf(canvas));
    return [text(made), text(context.getImageData(0, 0, width, height).data)];
}"""
PAINTINGS = {
    "blank": "",
    "one colour": "data.fill(0xff0000ff)",
    "lines": "for (let i = 0; i < data.length; i += 37) data[i] = 0xff000000",
    "soft edges": "for (let i = 0; i < data.length; i++) if (i % 50 < 9) data[i] = (i % 50) * 0x1a000000",
    "runs of all lengths": """for (let i = 0, n = 1; i < data.length; i += n, n = (n % 140) + 1)
        data.fill(n * 0x01010101 | 0xff000000, i, i + n);""",
    "repeated rows": "for (let i = 0; i < data.length; i++) data[i] = (i % width) * 7919 | 0xff000000",
    "noise": "for (let i = 0, x = 1; i < data.length; i++) data[i] = (x = Math.imul(x, 1103515245) + 12345) | 0xff000000",
}
SIZES = [(1, 1), (3, 2), (64, 65), (65, 64), (256, 256), (255, 31)]


@pytest.fixture(scope="module")
def blank_page(browser) -> Page:
    page = browser.new_page()
    page.add_script_tag(path=str(STATIC / "png.js"))
    return page


def encoded(page: Page, painting: str, size: tuple[int, int]) -> tuple[bytes, np.ndarray]:
    """The file, and the pixels it is of."""
    png, pixels = (base64.b64decode(text) for text in page.evaluate(ENCODE, [PAINTINGS[painting], *size]))
    return png, np.frombuffer(pixels, np.uint8).reshape(size[1], size[0], 4)


@pytest.mark.parametrize("painting", PAINTINGS)
def test_every_pixel_arrives(blank_page: Page, painting: str) -> None:
    for size in SIZES:
        png, pixels = encoded(blank_page, painting, size)
        with Image.open(io.BytesIO(png)) as found:
            found.verify()
        with Image.open(io.BytesIO(png)) as found:
            assert np.array_equal(np.asarray(found), pixels), size


@pytest.mark.parametrize("width", [1535, 1536, 2049, 8191, 8192, 9000])
def test_rows_of_any_length_can_be_like_the_one_above(blank_page: Page, width: int) -> None:
    png, pixels = encoded(blank_page, "repeated rows", (width, 3))
    with Image.open(io.BytesIO(png)) as found:
        assert np.array_equal(np.asarray(found), pixels)


def test_a_drawing_is_small_and_a_photograph_not_larger_than_it_is(blank_page: Page) -> None:
    assert len(encoded(blank_page, "blank", (256, 256))[0]) < 3000
    assert len(encoded(blank_page, "lines", (256, 256))[0]) < 256 * 256 * 4 / 4
    assert len(encoded(blank_page, "noise", (256, 256))[0]) < 256 * 256 * 4 * 1.01
