"""Polarity is decided in one place, and these tests pin it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hypersd_app.engine.control_images import ControlImages, is_blank, scribble_control
from hypersd_app.errors import InvalidRequest, ModelUnavailable

SIZE = (64, 64)


def drawing(paper, ink, mode="RGB") -> Image.Image:
    picture = Image.new(mode, SIZE, paper)
    ImageDraw.Draw(picture).line((10, 32, 54, 32), fill=ink, width=4)
    return picture


@pytest.mark.parametrize(
    ("paper", "ink"),
    [
        ("white", "black"),
        ("black", "white"),
        ("white", "yellow"),
        ("#303030", "#e0e0e0"),
        ("#f5f0e0", "navy"),
        ("white", "#c0c0c0"),
    ],
)
def test_strokes_are_white_on_black_however_they_were_drawn(paper, ink):
    control = scribble_control(drawing(paper, ink), SIZE)
    assert control.shape == (64, 64, 3)
    assert control.dtype == np.uint8
    assert control[32, 32].tolist() == [255, 255, 255]
    assert control[5, 5].tolist() == [0, 0, 0]


def test_transparent_paper_is_white_paper():
    control = scribble_control(drawing((0, 0, 0, 0), (0, 0, 0, 255), "RGBA"), SIZE)
    assert control[32, 32, 0] == 255
    assert control[5, 5, 0] == 0


@pytest.mark.parametrize("colour", ["white", "black", "gray", (0, 0, 0, 0)])
def test_a_blank_canvas_is_no_control(colour):
    mode = "RGBA" if isinstance(colour, tuple) else "RGB"
    assert is_blank(scribble_control(Image.new(mode, SIZE, colour), SIZE))


def test_paper_noise_is_no_control():
    noise = np.random.default_rng(0).integers(235, 256, (64, 64, 3)).astype(np.uint8)
    assert is_blank(scribble_control(noise, SIZE))


def test_arrays_and_other_sizes_are_taken():
    control = scribble_control(np.asarray(drawing("white", "black")), (128, 32))
    assert control.shape == (32, 128, 3)
    assert control.max() == 255


def test_canny_needs_no_weights_and_only_its_own_module():
    images = ControlImages(lambda repo: pytest.fail("canny has no weights"))
    control = images.annotate("canny", drawing("white", "black"), SIZE)
    assert control.shape == (64, 64, 3)
    assert control.any()
    assert "controlnet_aux.midas" not in sys.modules or "controlnet_aux" in sys.modules


def test_unknown_kinds_and_missing_weights_are_named():
    def nowhere(repo: str) -> str:
        raise ModelUnavailable(f"{repo} is not here")

    with pytest.raises(InvalidRequest, match="canny"):
        ControlImages(nowhere).annotate("telepathy", drawing("white", "black"), SIZE)
    with pytest.raises(ModelUnavailable, match="Annotators"):
        ControlImages(nowhere).annotate("softedge", drawing("white", "black"), SIZE)
