"""Looks made from vectors or pixels: ink, pixel art, pastel."""

import numpy as np

from hypersd_app.training.data.icons.looks import PIXELS, inked, pastel, pixelated
from hypersd_app.training.data.icons.recolour import visible
from hypersd_app.training.data.icons.render import nested_svg, on_white_with_alpha, render_svg
from hypersd_app.training.data.icons.sources import Icon

BODY = (
    '<circle cx="50" cy="50" r="40" fill="#e02020"/><path d="M30 50H70" stroke="#00f" stroke-width="9" fill="none" opacity=".4"/>'
)


def drawn(body):
    return render_svg([nested_svg(Icon("x", "x", body, 100, 100), body, 0, 0, 256, 0)], 256)


def test_ink_is_black_lines_on_white():
    image = drawn(inked(BODY, 100.0))
    inside = image[image[..., 3] == 255][:, :3].astype(int)
    assert np.ptp(inside, axis=1).max() < 12, "no colour is left"
    assert (inside > 250).all(-1).mean() > 0.8 and (inside < 60).all(-1).any()
    assert image[128, 128, 0] < 60, "lines that were strokes stay lines"


def test_pixel_drawings_are_squares_of_few_colours_without_half_transparency():
    image = pixelated(drawn(BODY))
    side = 256 // PIXELS
    squares = image.reshape(PIXELS, side, PIXELS, side, 4)
    assert (squares == squares[:, :1, :, :1]).all()
    assert set(np.unique(image[..., 3])) == {0, 255}
    assert len(np.unique(image.reshape(-1, 4), axis=0)) < 20
    assert (image[image[..., 3] == 0] == 0).all()


def test_pastel_is_lighter_and_keeps_the_shape():
    before = drawn(BODY)
    after = pastel(before)
    inside = before[..., 3] == 255
    assert (after[..., 3] == before[..., 3]).all()
    assert after[inside][:, :3].mean() > before[inside][:, :3].mean() + 40
    assert after[128, 40, 0] > after[128, 40, 1] + 30, "red stays red"


def test_stored_images_are_seen_on_white():
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (200, 0, 0, 255)
    rgba[0, 1] = (200, 0, 0, 51)
    stored = on_white_with_alpha(rgba)
    assert stored[0, 0].tolist() == [200, 0, 0, 255] and stored[1, 1].tolist() == [255, 255, 255, 0]
    assert stored[0, 1].tolist() == [244, 204, 204, 51]


def test_paints_show_on_white():
    assert visible("#ffffff") == "#b8b8b8" and visible("#3060a0") == "#3060a0"
