"""Reading Quick, Draw! files, and whether lines inside a shape are followed."""

import gzip
import json

import cv2
import numpy as np
import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.data.scribbles import Stroke
from hypersd_app.training.evaluation.doodles.drawing import PAPER, Doodle
from hypersd_app.training.evaluation.doodles.metrics import LineFollowing
from hypersd_app.training.evaluation.doodles.quick_draw import read_quick_draw


def row(word, shift):
    return json.dumps({"word": word, "key_id": "1", "drawing": [[[0, 255], [shift, 255]], [[3, 4, 5], [6, 7, 8]]]})


@pytest.mark.parametrize("name", ["some.ndjson", "some.ndjson.gz"])
def test_the_last_drawings_of_each_word_measure(tmp_path, name):
    lines = "\n".join(row(word, shift) for shift in range(12) for word in ("cat", "apple"))
    opened = gzip.open if name.endswith(".gz") else open
    with opened(tmp_path / name, "wt", encoding="utf-8") as file:
        file.write(lines)
    for path in (tmp_path, tmp_path / name):
        found = read_quick_draw(path)
        assert [doodle.prompt for doodle in found] == ["a cat"] * 6 + ["an apple"] * 6
        firsts = [doodle.strokes[0].points[0, 1] for doodle in found[:6]]
        assert np.allclose(firsts, 20 + np.arange(6, 12) * 216 / 255, atol=1e-3)
        assert all(stroke.points.min() >= 0 and stroke.points.max() <= PAPER for doodle in found for stroke in doodle.strokes)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", '{"word": "cat"}', '{"word": "cat", "drawing": [[1]]}', '{"word": "c", "drawing": [[[NaN], [0]]]}']
)
def test_a_line_that_is_no_drawing_is_named(tmp_path, line):
    path = tmp_path / "bad.ndjson"
    path.write_text(f"{row('cat', 0)}\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"bad\.ndjson line 2"):
        read_quick_draw(path)


def test_no_drawings_are_an_error_in_words(tmp_path):
    with pytest.raises(InvalidRequest, match="Quick, Draw!"):
        read_quick_draw(tmp_path)
    with pytest.raises(InvalidRequest, match="can be read"):
        read_quick_draw(tmp_path / "missing.ndjson")


def circle(radius, x=128, y=128):
    angle = np.linspace(0, 2 * np.pi, 60)
    return Stroke(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1).astype(np.float32))


def painted(*discs):
    image = np.full((PAPER, PAPER, 3), 255, np.uint8)
    for number, (radius, x, y) in enumerate(discs):
        cv2.circle(image, (x, y), radius, ((220, 60, 60), (40, 40, 120), (240, 220, 90))[number], -1)
    return image


def test_outlines_and_inner_lines_are_told_apart():
    face = Doodle("a face", (circle(90), circle(15, 100, 110), circle(15, 156, 110)))
    outline_only = LineFollowing.measure(painted((90, 128, 128)), face)
    assert outline_only.outline > 0.9 and abs(outline_only.inner) < 0.15
    both = LineFollowing.measure(painted((90, 128, 128), (15, 100, 110), (15, 156, 110)), face)
    assert both.outline > 0.9 and both.inner > 0.9


def test_edges_everywhere_follow_nothing():
    noise = np.random.default_rng(0).integers(0, 255, (PAPER, PAPER, 3)).astype(np.uint8)
    found = LineFollowing.measure(noise, Doodle("a face", (circle(90), circle(15, 100, 110))))
    assert abs(found.outline) < 0.25 and abs(found.inner) < 0.25
    nothing = LineFollowing.measure(painted(), Doodle("a face", (circle(90),)))
    assert nothing.outline == 0 and np.isnan(nothing.inner)
