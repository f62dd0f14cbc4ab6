"""The hand-drawn doodles, and the measures that say whether an image follows one."""

import colorsys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.data.scribbles import BLACK
from hypersd_app.training.data.thumbnails import framed
from hypersd_app.training.data.words.concepts import ALWAYS_TRAINED, COLOUR_WORDS, EVERYDAY_NAMES
from hypersd_app.training.evaluation.doodles.drawing import PAPER, read_doodles
from hypersd_app.training.evaluation.doodles.metrics import colour_agreement, edge_recall, silhouette_overlap
from hypersd_app.training.evaluation.doodles.report import Follow, distractors, recoloured, shifted

DOODLES = read_doodles()


def coloured_in(doodle, ink=None):
    """An image that follows a doodle exactly: its silhouette filled in colour, its strokes on it."""
    colour = ink or next((stroke.ink for stroke in doodle.strokes if stroke.ink != BLACK), (230, 190, 60))
    image = np.full((PAPER, PAPER, 3), 255, np.uint8)
    image[doodle.silhouette() > 0] = colour
    for stroke in doodle.strokes:
        points = stroke.points.round().astype(np.int32)[:, None]
        cv2.polylines(image, [points], False, tuple(channel // 2 for channel in colour), 3)
    return image


def test_sixty_doodles_of_trained_things_ten_of_them_coloured():
    assert len(DOODLES) == 60 and sum(doodle.coloured for doodle in DOODLES) == 10
    names = {name for label in ALWAYS_TRAINED for name in EVERYDAY_NAMES.get(label, (label,))}
    words = {name.removesuffix(" face") for name in names} | {"heart"}
    for doodle in DOODLES:
        noun = doodle.prompt.removeprefix("a ").removeprefix("an ")
        assert noun in words, noun
        assert not set(noun.split()) & set(COLOUR_WORDS)


def test_every_doodle_lies_on_its_paper_and_encloses_something():
    for doodle in DOODLES:
        points = np.concatenate([stroke.points for stroke in doodle.strokes])
        assert points.min() >= 0 and points.max() <= PAPER, doodle.prompt
        assert 0.02 < (doodle.silhouette() > 0).mean() < 0.8, doodle.prompt
    centres = np.array([np.argwhere(doodle.silhouette()).mean(0) for doodle in DOODLES])
    sizes = np.array([(doodle.silhouette() > 0).mean() for doodle in DOODLES])
    assert centres.std(0).min() > 10 and sizes.max() / sizes.min() > 5


@pytest.mark.parametrize("line", ["  line 3", "  blob 1 2 3", "  ellipse 1 2", "  ink red", "  line a b c d", "a cat @ 3"])
def test_a_line_that_cannot_be_read_is_named(tmp_path, line):
    path = tmp_path / "drawings.txt"
    path.write_text(f"# head\na dog\n  line 0 0 9 9\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"drawings\.txt line 4"):
        read_doodles(path)
    path.write_text("  line 0 0 9 9\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="line 1"):
        read_doodles(path)


def test_an_image_that_follows_its_doodle_scores_full_and_others_do_not():
    images = np.stack([coloured_in(doodle) for doodle in DOODLES])
    own, other = Follow.measure(images, DOODLES), Follow.measure(images, shifted(DOODLES))
    assert own.recall.min() > 0.97 and own.overlap.min() > 0.97
    assert other.recall.mean() < 0.4 and other.overlap.mean() < 0.45
    blank = np.full((PAPER, PAPER, 3), 255, np.uint8)
    assert edge_recall(blank, DOODLES[0]) == 0 and silhouette_overlap(blank, DOODLES[0]) == 0


def test_following_falls_with_distance():
    image = coloured_in(DOODLES[0])
    scores = [edge_recall(np.roll(image, shift, 1), DOODLES[0]) for shift in (0, 3, 8, 30)]
    assert scores[1] > 0.9 > scores[2] > scores[3]
    overlaps = [silhouette_overlap(np.roll(image, shift, 1), DOODLES[0]) for shift in (0, 3, 8, 30)]
    assert overlaps == sorted(overlaps, reverse=True)


def test_a_nearly_white_background_is_background():
    image = np.minimum(coloured_in(DOODLES[0]), 244)
    assert silhouette_overlap(image, DOODLES[0]) > 0.97


def test_colours_agree_by_hue_where_the_stroke_is():
    car = next(doodle for doodle in DOODLES if doodle.prompt == "a car")
    red = coloured_in(car)
    assert colour_agreement(red, car) == 1
    assert colour_agreement(red, recoloured(car, lambda ink: (ink[1], ink[2], ink[0]))) == 0
    grey = np.repeat(red.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    assert colour_agreement(grey, car) == 0
    pale = tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(0.02, 0.4, 1.0))
    assert colour_agreement(coloured_in(car, pale), car) == 1
    assert np.isnan(colour_agreement(red, recoloured(car, lambda ink: BLACK)))
    elsewhere = replace(car, strokes=tuple(replace(stroke, points=np.add(stroke.points, (0, 60))) for stroke in car.strokes))
    assert colour_agreement(red, elsewhere) < 1


def test_distractors_are_wrong_for_every_prompt():
    class Row:
        def __init__(self, name, held_out=False):
            self.names, self.held_out = (name,), held_out

    rows = [Row("cat"), Row("cat face"), Row("spoon"), Row("zebra", True), Row("spoon")]
    assert distractors(rows, ["a cat", "a dog", "a cat"]) == ["a cat", "a dog", "a spoon"]


def test_a_thing_is_framed_wherever_it_stands_and_specks_are_not() -> None:
    image = np.full((256, 256, 3), 255, np.uint8)
    image[20:60, 170:230] = (200, 30, 30)
    image[20:60, 170:200] = (30, 30, 200)
    image[240:244, 4:8] = 0
    made = framed(image)
    ys, xs = np.nonzero((made < 128).any(-1))
    assert abs(int(np.ptp(xs)) - 0.88 * 256) < 5 and abs(int(np.ptp(ys)) - 0.88 * 256 * 40 / 60) < 5
    assert abs(xs.mean() - 128) < 3 and abs(ys.mean() - 128) < 3
    assert made[128, 60, 2] > 150 > made[128, 60, 0] and made[128, 200, 0] > 150 > made[128, 200, 2]
    assert np.abs(framed(made).astype(int) - made).mean() < 8, "what is framed stays, but for its blurred edge"
    blank = np.full((256, 256, 3), 255, np.uint8)
    assert np.array_equal(framed(blank), blank)
