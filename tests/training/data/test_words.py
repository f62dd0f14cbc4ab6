"""Names, kinds and things as data: consistent, free of held-out words, and every measured word that can be drawn has a name."""

import random
from collections import Counter

import pytest

from hypersd_app.training.data.captions import Captioner
from hypersd_app.training.data.drawings import find_drawings
from hypersd_app.training.data.icons.painted import PACKAGES, PaintedLibrary
from hypersd_app.training.data.icons.sources import EMOJI_SETS, ICON_SETS, LOOKS, MAIN_SET, IconLibrary
from hypersd_app.training.data.scenes import Drawing, Placement, Scene
from hypersd_app.training.data.words import tables
from hypersd_app.training.data.words.concepts import (
    HELD_OUT_PERCENT,
    HELD_OUT_WORDS,
    concept_from_row,
    measured_words,
    stable_percent,
    thing_concepts,
)
from tests.support.icon_packages import ROWS, SUBGROUPS, write_icons, write_package


def test_every_drawing_of_a_thing_is_of_a_package_that_some_set_is_made_of():
    gathered = {package for row in ICON_SETS.values() for package in row.packages} | {"u", "sl"}
    for thing in tables.things():
        assert thing.drawings, thing.label
        assert {package for package, _ in thing.drawings} <= gathered, thing.label
        assert len(thing.colour) == 7 and thing.colour[0] == "#" and int(thing.colour[1:], 16) >= 0, thing.label
        assert thing.group in "nfplaob", thing.label


def test_no_package_is_share_alike():
    licences = {row.licence for row in PACKAGES.values()} | {
        ICON_SETS[key].licence for key in (*EMOJI_SETS, "streamline", "fxemoji")
    }
    assert licences <= {"MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-3.0", "CC0-1.0"}


def test_held_out_words_are_in_no_name_that_is_added():
    things = thing_concepts(frozenset())
    assert not HELD_OUT_WORDS & {word for concept in things for name in concept.names for word in name.split()}
    dog = concept_from_row({"hexcode": "1F436", "label": "dog", "group": 3, "subgroup": 1, "tags": []}, SUBGROUPS)
    assert dog is not None and "pet dog" in dog.names and "hound dog" not in dog.names


def test_things_are_held_out_by_their_label_unless_they_are_measured():
    free, measured = thing_concepts(frozenset()), thing_concepts(measured_words())
    expected = {c.label for c in free if stable_percent(f"concept:{c.label}") < HELD_OUT_PERCENT}
    assert {c.label for c in free if c.held_out} == expected != set()
    assert {c.label for c in measured if c.held_out} < expected
    assert not any(c.held_out and measured_words() & set(c.names) for c in measured)


def test_the_lists_of_measured_words_are_complete():
    assert {"squirrel", "hand", "moon", "the eiffel tower"} <= measured_words()
    assert len(measured_words()) > 600 and not HELD_OUT_WORDS & measured_words()


@pytest.fixture
def painted(tmp_path):
    write_icons(tmp_path, PACKAGES["ph"].package, {"apple-duotone": _DUOTONE, "barn-duotone": _DUOTONE, "rock-duotone": _DUOTONE})
    return PaintedLibrary(ICON_SETS["duotone"], tmp_path)


_DUOTONE = '<g fill="currentColor"><path d="M0 0H100V100Z" opacity=".2"/><path d="M0 0H10V100H0Z"/></g>'


def test_painted_icons_have_the_colour_in_their_name(painted):
    body = painted.icon("ph:barn#b5382e").body
    assert 'fill="#b5382e"' in body and "currentColor" not in body and "opacity" not in body


def test_painted_sets_take_their_colour_from_the_table_or_from_another_sets_drawing(tmp_path, painted):
    concepts = [c for c in (concept_from_row(row, SUBGROUPS) for row in ROWS) if c is not None]
    concepts += [c for c in thing_concepts(frozenset()) if c.label == "barn"]
    libraries = {"noto": IconLibrary(ICON_SETS["noto"], write_package(tmp_path, "icons")), "duotone": painted}
    rows = {(row.set_key, concepts[row.concept].label): row.icon for row in find_drawings(concepts, libraries)}
    assert rows["duotone", "red apple"].startswith("ph:apple#")
    assert rows["duotone", "barn"] == "ph:barn#b5382e" and ("noto", "barn") not in rows


def test_looks_show_another_sets_drawings(tmp_path):
    concepts = [c for c in (concept_from_row(row, SUBGROUPS) for row in ROWS) if c is not None]
    folder = write_package(tmp_path, "icons")
    libraries = {key: IconLibrary(ICON_SETS[key], folder) for key in ("twemoji", "ink")}
    rows = find_drawings(concepts, libraries)
    shown = {concepts[row.concept].label for row in rows if row.set_key == "ink"}
    assert "red apple" in shown and all(not row.recolourable for row in rows if row.set_key == "ink")


def captions(set_key, count=3000):
    rose = concept_from_row({"hexcode": "1F339", "label": "rose", "group": 3, "subgroup": 1, "tags": ["plant"]}, SUBGROUPS)
    captioner = Captioner([rose], [Drawing(set_key=set_key, icon="rose", concept=0, colour="red", hue=0.0, share=0.7)])
    scene = Scene("single", set_key, (Placement("rose", 0, x=0.5, y=0.5, size=0.9),))
    return [captioner.caption(scene, random.Random(seed)) for seed in range(count)]


def named_share(set_key):
    """The share of captions that name their style."""
    words = ICON_SETS[set_key].style_words
    return sum(any(word in text for word in words) for text in captions(set_key)) / 3000


@pytest.mark.parametrize("set_key", [MAIN_SET, "twemoji"])
def test_about_half_of_an_emoji_set_s_captions_name_the_style(set_key):
    assert 0.36 < named_share(set_key) < 0.52


@pytest.mark.parametrize("set_key", [*LOOKS, "duotone", "neon"])
def test_what_nobody_expects_unasked_is_always_named(set_key):
    assert named_share(set_key) == 1


def test_captions_use_kinds_colours_and_short_forms():
    texts = captions(MAIN_SET)
    words = Counter(word for text in texts for word in text.replace(",", "").split())
    assert 0.05 < sum("flower" in text for text in texts) / len(texts) < 0.3
    assert 0.15 < words["red"] / len(texts) < 0.5
    assert sum(len(text.split()) <= 2 for text in texts) / len(texts) > 0.15
