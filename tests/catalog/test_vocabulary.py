"""Suggestions, known words and nearest words, on a small table and on the one that ships."""

from pathlib import Path

import pytest

from hypersd_app.catalog.everyday_words import everyday_words
from hypersd_app.catalog.vocabulary import FILE_NAME, Entry, Vocabulary
from hypersd_app.errors import ModelUnavailable

ENTRIES = (
    Entry("cat", ("house cat",), "🐈", "a cat"),
    Entry("car", ("automobile",), "🚗", "a red car"),
    Entry("fire truck", ("fire engine",), "🚒", "a fire truck"),
    Entry("cherries", ("cherry",), "🍒", "cherries"),
    Entry("heart", (), "❤️", "a red heart"),
    Entry("knife", (), "🔪", "a knife"),
    Entry("the eiffel tower", (), "", "the eiffel tower"),
)
SHIPPED = Path(__file__).parents[2] / "assets" / "pocket"


@pytest.fixture
def words():
    return Vocabulary(ENTRIES)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("ca", ["cat", "car"]),
        ("a Cat", ["cat"]),
        ("cats", ["cat"]),
        ("auto", ["car"]),
        ("truck", ["fire truck"]),
        ("cherry", ["cherries"]),
        ("🚗", ["car"]),
        ("❤", ["heart"]),
        ("", []),
        ("zzz", []),
    ],
)
def test_suggestions(words, typed, expected):
    assert [entry.word for entry in words.suggest(typed)] == expected


def test_suggestions_are_limited(words):
    assert len(words.suggest("c", limit=2)) == 2


@pytest.mark.parametrize(
    "text", ["cat", "Cats", "an automobile", "fire engines", "knives", "cherries", "the Eiffel tower", "eiffel tower"]
)
def test_known_words(words, text):
    assert words.knows(text)


@pytest.mark.parametrize("text", ["catapult", "dog", "", "   "])
def test_unknown_words(words, text):
    assert not words.knows(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("big cat", "cat"),
        ("automobil", "car"),
        ("firetruck", "fire truck"),
        ("cats", "cat"),
        ("a kitten", "cat"),
        ("wolf kittens", "cat"),
    ],
)
def test_the_nearest_word(words, text, expected):
    assert words.nearest(text).word == expected


@pytest.mark.parametrize("text", ["", "xylophone"])
def test_nothing_is_near(words, text):
    assert words.nearest(text) is None


def test_a_missing_table_is_said(tmp_path):
    with pytest.raises(ModelUnavailable, match="train vocabulary"):
        Vocabulary.load(tmp_path)


def test_the_table_that_ships():
    assert (SHIPPED / FILE_NAME).stat().st_size < 300_000
    words = Vocabulary.load(SHIPPED)
    assert all(
        words.knows(word) for word in ("flower", "cup", "hand", "moon", "shoe", "face", "windmill", "squirrel", "cats", "🐱")
    )
    assert not any(words.knows(word) for word in ("kitten", "puppy")), "held out from training"
    assert [words.nearest(word).word for word in ("kitten", "puppies", "automobile", "pup")] == ["cat", "dog", "car", "dog"]
    assert all(words.knows(word) for word in everyday_words().values())
    assert words.suggest("kit") and words.nearest("housecat").word == "cat"
