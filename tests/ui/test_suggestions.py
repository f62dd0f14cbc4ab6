"""Things offered while one types."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.settings import ROOT
from hypersd_app.ui.suggestions import Suggestions, suggestions
from tests.support.fake_engine import POCKET, FakeEngine

CASES = [
    ("a red ap", 6, "apple", ""),
    ("two green fro", 10, "frog", ""),
    ("a cat with sungla", 11, "sunglasses", ""),
    ("spook", 0, "ghost", ""),  # a synonym
    ("two mice", 4, "mouse", ""),  # a plural
    ("a 🦊", 2, "fox", ""),
    ("ein Apfel", 4, "apple", "apfel"),
    ("кошк", 0, "cat", "кошка"),
    ("a hot do", 2, "hot dog", ""),
]


@pytest.fixture
def engine() -> FakeEngine:
    """Pocket with its vocabulary."""
    engine = FakeEngine()
    row = replace(POCKET, source=WeightSource(path=ROOT / "assets" / "pocket"))
    engine.models = lambda: (row,)  # type: ignore[method-assign]
    return engine


@pytest.mark.parametrize(("prompt", "start", "word", "said"), CASES)
def test_what_is_typed_is_found(engine: FakeEngine, prompt: str, start: int, word: str, said: str) -> None:
    found = suggestions(engine, "pocket", prompt)
    assert found.start == start
    chosen = next((thing for thing in found.things if thing.word == word), None)
    assert chosen is not None and chosen.said == said, found


def test_the_word_itself_stands_before_other_names_and_the_shorter_first(engine: FakeEngine) -> None:
    found = [(thing.word, thing.said) for thing in suggestions(engine, "pocket", "a kit").things]
    assert found[:4] == [("kite", ""), ("kitchen", ""), ("kitchen knife", ""), ("cat", "kitten")]
    assert ("sink", "kitchen sink") in found, "it says why"
    assert [thing.word for thing in suggestions(engine, "pocket", "two kittens").things] == ["cat"]


@pytest.mark.parametrize(
    ("prompt", "start", "unknown", "words"),
    [
        ("a red quokka", 6, "quokka", []),
        ("a cat and a kitchn", 12, "kitchn", ["kitchen"]),
        ("a fluffy quokka", 2, "fluffy quokka", []),
        ("pupppy", 0, "pupppy", []),
        ("a cat", 0, "", []),
        ("a fluffy dragon", 0, "", []),
        ("a cat sitting", 0, "", []),
        ("a quo", 0, "", []),
    ],
)
def test_an_unknown_word_is_said_with_the_nearest(
    engine: FakeEngine, prompt: str, start: int, unknown: str, words: list[str]
) -> None:
    found = suggestions(engine, "pocket", prompt)
    assert (found.start if unknown else 0, found.unknown) == (start, unknown)
    assert not unknown or [thing.word for thing in found.things] == words


@pytest.mark.parametrize("prompt", ["", "a red ", "a", "zqx", "a" * 600])
def test_nothing_is_offered_for_nothing(engine: FakeEngine, prompt: str) -> None:
    assert suggestions(engine, "pocket", prompt).things == ()


def test_models_that_do_not_say_offer_nothing() -> None:
    assert suggestions(FakeEngine(), "pocket", "a red ap") == Suggestions(0, ())
