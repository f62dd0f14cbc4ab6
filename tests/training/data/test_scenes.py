"""Concepts, colours, scenes, captions and scribbles, on drawings made here: no registry is asked."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest

from hypersd_app.training.data.captions import Captioner, as_request
from hypersd_app.training.data.dataset import SceneRenderer
from hypersd_app.training.data.drawings import find_drawings
from hypersd_app.training.data.icons.recolour import PAINTS, main_colour, recolour
from hypersd_app.training.data.icons.render import nested_svg, on_white, own_ids, render_svg
from hypersd_app.training.data.icons.sources import ICON_SETS, Icon, IconLibrary
from hypersd_app.training.data.scenes import Placement, Scene, ScenePlanner, plan_scenes
from hypersd_app.training.data.scribbles import BLACK, hand_strokes, pick_pen, scribble, silhouette, zigzag
from hypersd_app.training.data.words.concepts import HELD_OUT_WORDS, concept_from_row, stable_percent
from hypersd_app.training.data.words.grammar import plural, with_article
from tests.support.icon_packages import BODIES, ROWS, SUBGROUPS, write_package


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = write_package(tmp_path_factory.mktemp("package"), "icons")
    libraries = {"noto": IconLibrary(ICON_SETS["noto"], folder)}
    concepts = [c for c in (concept_from_row(row, SUBGROUPS) for row in ROWS) if c is not None]
    return concepts, libraries, find_drawings(concepts, libraries)


def test_unwanted_concepts_are_left_out_and_held_out_words_never_shown(table):
    concepts, _, _ = table
    assert [c.label for c in concepts] == ["cat face", "red apple", "crown", "grinning face"]
    assert concepts[1].names[0] == "apple" and concepts[1].noun == "apple"
    assert not HELD_OUT_WORDS & {tag for c in concepts for tag in c.tags}


def test_stable_percent_is_the_same_on_every_machine():
    assert [stable_percent(text) for text in ("a", "b", "concept:cat")] == [10, 66, 90]


def test_drawings_know_their_colour(table):
    colours = {table[0][row.concept].label: row.colour for row in table[2]}
    assert colours == {"cat face": "yellow", "red apple": "red", "crown": "yellow", "grinning face": "yellow"}


@pytest.mark.parametrize("colour", [name for name in PAINTS if name not in ("brown",)])
def test_recolour_gives_the_named_colour(colour):
    body = recolour('<rect width="100" height="100" fill="#e02020"/>', 0.0, colour)
    found = main_colour(render_svg([nested_svg(Icon("x", "x", body, 100, 100), body, 0, 0, 256, 0)], 64))
    assert found is not None and found.name == colour


def test_ids_of_two_icons_do_not_meet():
    body = own_ids(BODIES["red-apple"], "p1-")
    assert 'id="p1-g"' in body and "url(#p1-g)" in body


def test_scenes_are_deterministic_and_of_every_kind(table):
    concepts, _, drawings = table
    planner = ScenePlanner(concepts, drawings)

    def plan():
        return list(plan_scenes(planner, ("noto",), 2, dict.fromkeys(planner.makers, 5), ("noto",), seed=3))

    scenes = plan()
    assert scenes == plan()
    assert {scene.kind for scene in scenes} == {"single", "colour", "count", "pair", "trio", "size", "accessory"}
    assert all(Scene.from_json(json.loads(json.dumps(scene.to_json()))) == scene for scene in scenes)


def test_captions_say_what_is_there(table):
    concepts, _, drawings = table
    captioner = Captioner(concepts, drawings)
    scene = Scene("colour", "noto", (Placement("red-apple", 1, x=0.5, y=0.5, size=0.8, colour="blue"),), "blue")
    assert captioner.caption(scene, random.Random(0), style=False) == "a blue apple"
    pair = Scene(
        "pair", "noto", (Placement("cat-face", 0, x=0.3, y=0.5, size=0.4), Placement("crown", 2, x=0.7, y=0.5, size=0.4)), "beside"
    )
    captions = {captioner.caption(pair, random.Random(seed), style=False) for seed in range(400)}
    assert all("cat" in text and "crown" in text for text in captions)
    assert "a cat face on the left and a crown on the right" in captions
    assert "a crown on the left and a cat face on the right" not in captions
    assert "a cat face and a crown" in captions and "a crown and a cat face" not in captions, "the first is on the left"
    requests = {as_request("a cat", random.Random(seed)) for seed in range(30)}
    assert len(requests) > 5 and all("a cat" in text for text in requests)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("cherry", "cherries"),
        ("box", "boxes"),
        ("gold fish", "gold fish"),
        ("jeans", "jeans"),
        ("car", "cars"),
        ("cup of coffee", "cups of coffee"),
        ("person running", "people running"),
        ("knife", "knives"),
    ],
)
def test_plural(noun, expected):
    assert plural(noun) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("apple", "an apple"),
        ("car", "a car"),
        ("jeans", "jeans"),
        ("unicorn", "a unicorn"),
        ("bus", "a bus"),
        ("rain", "rain"),
        ("swimming", "swimming"),
        ("ring", "a ring"),
        ("person running", "a person running"),
        ("theater mask", "a theater mask"),
        ("the eiffel tower", "the eiffel tower"),
        ("glass of milk", "a glass of milk"),
    ],
)
def test_article(noun, expected):
    assert with_article(noun) == expected


def render(table, *placements):
    _, libraries, drawings = table
    hues = {(row.set_key, row.icon): row.hue for row in drawings}
    return on_white(SceneRenderer(libraries, hues).rgba(Scene("single", "noto", placements)))


def test_rendered_things_stand_where_they_should(table):
    image = render(table, Placement("red-apple", 1, x=0.25, y=0.5, size=0.4))
    ink = (image < 250).any(-1)
    _rows, columns = np.nonzero(ink)
    assert image.shape == (256, 256, 3)
    assert 10 <= columns.min() <= 16 and 110 <= columns.max() <= 116
    assert image[128, 200].tolist() == [255, 255, 255]


def test_things_hanging_over_the_edge_are_cut(table):
    image = render(table, Placement("red-apple", 1, x=0.98, y=0.5, size=0.4), Placement("crown", 2, x=-0.5, y=0.5, size=0.2))
    assert (image[128, 250] < 250).any()


def test_scribbles_follow_the_outline(table):
    image = render(table, Placement("cat-face", 0, x=0.5, y=0.5, size=0.8))
    inside = silhouette(image) > 0
    for seed in range(6):
        drawn = scribble(image, np.random.default_rng(seed))
        assert drawn.shape == (256, 256, 3) and drawn.dtype == np.uint8 and drawn.any()
        assert (drawn[inside].any() or drawn[~inside].any()) and (drawn > 0).mean() < 0.35
    assert (scribble(image, np.random.default_rng(1)) == scribble(image, np.random.default_rng(1))).all()
    assert hand_strokes(np.full((256, 256, 3), 255, np.uint8), np.random.default_rng(0)) == []


def test_scribbles_are_black_ink_or_the_colours_of_what_they_border(table):
    image = render(table, Placement("red-apple", 1, x=0.5, y=0.5, size=0.8))
    drawn = [scribble(image, np.random.default_rng(seed)) for seed in range(80)]
    cores = [control[control.max(-1) == 255].astype(int) for control in drawn]
    colourless = [bool((core == 255).all()) for core in cores]
    assert 0.4 < np.mean(colourless) < 0.85
    coloured = np.concatenate([core for core, white in zip(cores, colourless, strict=True) if not white])
    reddish = coloured[np.ptp(coloured, axis=-1) > 60]
    assert len(reddish) > 200 and (reddish.argmin(-1) == 0).mean() > 0.95  # red ink: its negative lacks red


def test_a_zigzag_stays_inside_what_it_colours():
    region = np.zeros((256, 256), np.uint8)
    region[60:200, 80:180] = 255
    inside = []
    for seed in range(10):
        line = zigzag(region, np.random.default_rng(seed))
        steps = np.concatenate([a + (b - a) * np.linspace(0, 1, 20)[:, None] for a, b in pairwise(line)])
        columns, rows = steps.round().astype(int).clip(0, 255).T
        inside.append((region[rows, columns] > 0).mean())
    assert min(inside) > 0.75
    assert zigzag(np.zeros((256, 256), np.uint8), np.random.default_rng(0)) is None


def test_pens_stay_near_the_ink():
    rng = np.random.default_rng(0)
    pens = [pick_pen((230, 30, 40), rng) for _ in range(50)]
    assert all(red > green + 60 and red > blue + 60 for red, green, blue in pens) and len(set(pens)) > 10
    assert pick_pen(BLACK, rng) == BLACK
