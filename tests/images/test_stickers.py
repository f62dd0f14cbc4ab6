"""Stickers: the ground goes, white inside stays, edges are soft, and packs are as messengers take them."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.stickers import cut_out, pack, reachable, sticker, svg, webp_under


def ring(ground: str = "white", side: int = 256) -> Image.Image:
    """A red ring with the ground's colour inside, antialiased."""
    large = Image.new("RGB", (4 * side, 4 * side), ground)
    ImageDraw.Draw(large).ellipse((side, side, 3 * side, 3 * side), outline="#d02010", width=side // 2)
    return large.resize((side, side), Image.Resampling.BOX)


def alpha(image: Image.Image) -> np.ndarray:
    return np.asarray(image.getchannel("A")).astype(int)


@pytest.mark.parametrize("ground", ["white", "#20242b", "#9ed0e6"])
def test_the_ground_goes_and_what_the_drawing_encloses_stays(ground: str) -> None:
    cut = cut_out(ring(ground))
    assert alpha(cut)[5, 5] == alpha(cut)[2, 128] == 0
    assert alpha(cut)[128, 128] == 255, "inside of the ring"
    assert tuple(np.asarray(cut)[128, 70, :3]) == (208, 32, 16)


def test_edges_are_soft_and_show_nothing_of_the_ground() -> None:
    cut = cut_out(ring("#20c020"))
    soft = (alpha(cut) > 20) & (alpha(cut) < 235)
    assert soft.sum() > 100
    edge = np.asarray(cut)[(alpha(cut) > 120) & soft]
    assert edge[:, 0].mean() > edge[:, 1].mean() + 40, "red, not green"


def test_winding_ways_are_found() -> None:
    free = np.zeros((9, 9), bool)
    for row in (1, 3, 5, 7):
        free[row, 1:-1] = True
    free[2, 7] = free[4, 1] = free[6, 7] = free[0, 1] = True
    assert (reachable(free) == free).all()
    free[4, 1] = False
    assert not reachable(free)[5].any() and reachable(free)[3].any()


def test_a_transparent_image_is_cut_already() -> None:
    image = Image.new("RGBA", (64, 64))
    image.paste("white", (16, 16, 48, 48))
    assert cut_out(image) is image


@pytest.mark.parametrize("side", [256, 700, 2048])
def test_sizes_and_outlines(side: int) -> None:
    plain, edged = sticker(ring(), side), sticker(ring(), side, 0.04)
    assert plain.size == edged.size == (side, side)
    pixels = np.asarray(edged)
    row = pixels[side // 2]
    first = int((row[:, 3] > 128).argmax())
    assert tuple(row[first + max(2, side // 100), :3]) > (240, 240, 240), "white comes first"


WRONG = [(255, 0.0), (2049, 0.0), (512.5, 0.0), (True, 0.0), (512, -0.1), (512, 0.2), (512, float("nan"))]


@pytest.mark.parametrize(("side", "outline"), WRONG)
def test_wrong_sizes_are_named(side: int, outline: float) -> None:
    with pytest.raises(InvalidRequest, match=r"size|outline"):
        sticker(ring(), side, outline)


def test_a_pack_holds_small_webp_files() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    with zipfile.ZipFile(io.BytesIO(pack([ring(), noise], 0.03))) as archive:
        assert archive.namelist() == ["sticker-01.webp", "sticker-02.webp"]
        for name in archive.namelist():
            data = archive.read(name)
            assert len(data) < 100_000 and Image.open(io.BytesIO(data)).size == (512, 512)
    for wrong in ([], [ring()] * 61):
        with pytest.raises(InvalidRequest, match="1 to 60"):
            pack(wrong)


def test_quality_falls_until_it_fits() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    assert len(webp_under(noise, 20_000)) <= 20_000 < len(webp_under(noise, 10**9))


def test_svg_has_the_shapes_and_no_ground() -> None:
    drawing = svg(ring())
    assert drawing.count("<path") >= 1 and "D0" in drawing.upper()
