"""Polarity is decided in one place, and these tests pin it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.engine.plan import make_plan
from hypersd_app.images.scribble import ink_from_control, is_blank, scribble_control, stroke_colour, white_strokes
from hypersd_app.requests import ControlInput, GenerationRequest

SIZE = (64, 64)


def drawing(paper, ink, mode="RGB") -> Image.Image:
    image = Image.new(mode, SIZE, paper)
    ImageDraw.Draw(image).line((10, 32, 54, 32), fill=ink, width=4)
    return image


COLOURLESS = [("white", "black"), ("black", "white"), ("#303030", "#e0e0e0"), ("#f5f0e0", "#202428"), ("white", "#c0c0c0"),
              ("#a0a0a0", "white"), ("white", "#22252b")]  # fmt: skip
INKS = {"red": "#c0452f", "brown": "#7b4a21", "orange": "#ff8c1a", "yellow": "#ffe000", "green": "#3d7f55", "blue": "#2d6cae",
        "purple": "#7c519f", "pink": "#ff69b4"}  # fmt: skip


@pytest.mark.parametrize(("paper", "ink"), COLOURLESS)
def test_strokes_without_a_colour_are_white_on_black_however_they_were_drawn(paper, ink):
    control = scribble_control(drawing(paper, ink), SIZE)
    assert control.shape == (64, 64, 3)
    assert control.dtype == np.uint8
    assert control[32, 32].tolist() == [255, 255, 255]
    assert control[5, 5].tolist() == [0, 0, 0]


@pytest.mark.parametrize("ink", INKS.values())
def test_coloured_strokes_are_what_training_draws_of_their_ink(ink):
    expected = np.array(stroke_colour(ImageColor.getrgb(ink)))
    assert expected.max() == 255 and expected.min() < 230
    for paper, mode in (("white", "RGB"), ((0, 0, 0, 0), "RGBA"), ("white", "P"), ("#f7f7f7", "RGB")):
        control = scribble_control(drawing(paper, ink, mode), SIZE)
        assert np.abs(control[32, 32] - expected).max() <= 12, (paper, mode)  # off-white paper is only nearly undone
        assert not control[5, 5].any()


def test_named_colours_stay_apart():
    tints = np.array([stroke_colour(ImageColor.getrgb(ink)) for ink in INKS.values()], float)
    apart = np.abs(tints[:, None] - tints[None]).max(-1) + 255 * np.eye(len(tints))
    assert apart.min() > 40


@pytest.mark.parametrize(("paper", "ink"), [("black", "red"), ("#202020", "#ff4040"), ("white", "red"), ("#808080", "red")])
def test_red_is_red_on_every_paper(paper, ink):
    red, green, blue = scribble_control(drawing(paper, ink), SIZE)[32, 32].tolist()
    assert red < 60 and green > 230 and blue > 230


def test_pale_ink_beside_black_is_a_full_stroke_of_its_colour():
    image = drawing("white", "black")
    ImageDraw.Draw(image).line((10, 50, 54, 50), fill="#ffb6c1", width=5)
    control = scribble_control(image, SIZE)
    assert control[32, 32].tolist() == [255, 255, 255]
    assert control[50, 32].max() > 200 and control[50, 32, 0] < 40


def test_soft_edges_cover_less_in_the_same_colour():
    large = drawing("white", "white").resize((512, 512))
    ImageDraw.Draw(large).line((80, 260, 432, 252), fill="#c0452f", width=20)
    soft = scribble_control(large.resize(SIZE, Image.Resampling.BOX), SIZE).astype(float)
    edge = soft[(soft.max(-1) > 60) & (soft.max(-1) < 200)]
    assert len(edge) > 20
    full = np.array(stroke_colour(ImageColor.getrgb("#c0452f")), float)
    assert np.abs(edge / edge.max(-1, keepdims=True) - full / 255).max() < 0.12


def test_alpha_tells_pale_ink_from_a_thin_covering():
    ink = np.zeros((64, 64, 4), np.uint8)
    ink[20:30, :40] = (*ImageColor.getrgb("#c0452f"), 255)
    ink[40:50, :40] = (*ImageColor.getrgb("#c0452f"), 128)
    control = scribble_control(ink, SIZE)
    full = np.array(stroke_colour(ImageColor.getrgb("#c0452f")))
    assert np.abs(control[25, 20] - full).max() == 0
    assert np.abs(control[45, 20] - full * 128 / 255).max() <= 1


def test_a_drawing_along_the_border_of_transparent_paper_is_still_ink():
    ink = np.zeros((64, 64, 4), np.uint8)
    ink[[0, 1, -2, -1]] = ink[:, [0, 1, -2, -1]] = (0, 0, 0, 255)
    control = scribble_control(ink, SIZE)
    assert control[0, 0].tolist() == [255, 255, 255] and not control[32, 32].any()


def test_a_control_image_turns_into_ink_and_back():
    image = drawing("white", "#2d6cae")
    ImageDraw.Draw(image).line((10, 50, 54, 54), fill="black", width=3)
    control = scribble_control(image.resize((100, 100), Image.Resampling.BICUBIC), SIZE)
    again = scribble_control(ink_from_control(control), SIZE)
    assert np.abs(again.astype(int) - control).max() <= 1


def test_models_trained_without_colours_get_white_strokes():
    control = white_strokes(scribble_control(drawing("white", "#2d6cae"), SIZE))
    assert control[32, 32].tolist() == [255, 255, 255]
    assert np.ptp(control, axis=-1).max() == 0


@pytest.mark.parametrize(("model", "coloured"), [("pocket", True), ("sd15", False), ("sdxl", False)])
def test_each_model_gets_strokes_as_it_was_trained(settings, model, coloured):
    control = ControlInput(scribble_control(drawing("white", "#2d6cae").resize((512, 512)), (512, 512)))
    plan = make_plan(Catalog(settings), GenerationRequest("a cat", model=model, control=control))
    middle = plan.pixels[plan.choice.height // 2, plan.choice.width // 2].astype(int)
    assert middle.max() > 240 and (np.ptp(middle) > 60) == coloured


def test_photographs_of_drawings_are_read_small():
    image = Image.new("L", (5000, 3000), 250)
    ImageDraw.Draw(image).line((1000, 1500, 4000, 1500), fill=90, width=40)
    control = scribble_control(image, (256, 256))
    assert control[128, 128].min() > 200 and not control[10].any()


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
