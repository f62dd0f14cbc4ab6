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


@pytest.mark.parametrize("prompt", ["", "a red ", "a", "zqx", "a" * 600])
def test_nothing_is_offered_for_nothing(engine: FakeEngine, prompt: str) -> None:
    assert suggestions(engine, "pocket", prompt).things == ()


def test_models_that_do_not_say_offer_nothing() -> None:
    assert suggestions(FakeEngine(), "pocket", "a red ap") == Suggestions(0, ())
