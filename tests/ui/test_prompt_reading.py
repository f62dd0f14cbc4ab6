"""What is told of a prompt's words: cut ones, and things the model has not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.settings import ROOT
from hypersd_app.ui.prompt_reading import read_prompt, unknown_things, unread
from tests.support.fake_engine import POCKET, FakeEngine

FOLDER = ROOT / "assets" / "pocket"
MANY = " and ".join(f"a {color} {thing}" for color in ("red", "blue", "green") for thing in ("apple", "car", "frog", "boat"))


@pytest.mark.parametrize(
    "prompt",
    ["a red apple", "a fluffy dragon with sunglasses", "two green frogs", "a cat sitting on a chair", "a house in the snow", ""],
)
def test_known_things_are_not_told_of(prompt: str) -> None:
    assert unknown_things(FOLDER, prompt) == ()


@pytest.mark.parametrize(
    ("prompt", "words", "nearest"),
    [
        ("an aple", "aple", "apple"),
        ("a quokka", "quokka", ""),
        ("кощей", "кощей", ""),
        ("ein Apfel", "ein Apfel", "apple"),
        ("кошка", "кошка", "cat"),
        ("a red apple and a 🦊", "🦊", "fox"),
    ],
)
def test_what_the_model_has_not_seen_is_told_with_the_nearest_it_has(prompt: str, words: str, nearest: str) -> None:
    (found,) = unknown_things(FOLDER, prompt)
    assert (found.words, found.nearest) == (words, nearest)


def test_the_end_that_is_cut_is_told() -> None:
    cut = unread(FOLDER, MANY)
    assert cut and MANY.endswith(cut)
    assert unread(FOLDER, MANY[: -len(cut)].strip()) == "", "all of the rest is read"
    assert unread(FOLDER, "a red apple") == ""


def test_nothing_is_told_of_models_whose_files_do_not_say(tmp_path: Path) -> None:
    engine = FakeEngine()
    assert read_prompt(engine, "pocket", MANY).unread == ""
    assert read_prompt(engine, "no such model", MANY).unknown == ()
    row = replace(POCKET, source=WeightSource(path=tmp_path))
    engine.models = lambda: (row,)  # type: ignore[method-assign]
    assert read_prompt(engine, "pocket", "a quokka").unknown == ()


def test_tokens_are_counted_and_long_prompts_of_other_models_are_read_in_chunks() -> None:
    engine = FakeEngine()
    row = replace(POCKET, source=WeightSource(path=FOLDER))
    engine.models = lambda: (row, replace(row, name="other", family="flux"))  # type: ignore[method-assign]
    short, long = read_prompt(engine, "pocket", "a red apple"), read_prompt(engine, "pocket", MANY)
    assert short.tokens == 3 and long.tokens > long.room == short.room and long.unread and long.chunks == 1
    other = read_prompt(engine, "other", MANY)
    assert other.unread == "" and other.chunks > 1


@pytest.mark.parametrize(
    ("prompt", "grammar", "tokens", "chunks"),
    [
        ("a red apple", "", 3, 1),
        ("(a red apple:1.3)", "a1111", 3, 1),
        ("a red apple BREAK a cat", "a1111", 5, 2),
        ("[cat|dog] on a mat", "a1111", 4, 1),
        ("a red apple <lora:ink:0.5>", "a1111", 3, 1),
        ("apple, " * 90, "a1111", 180, 3),
        ("apple " * 75, "comfyui", 75, 1),
        ("apple " * 76, "comfyui", 76, 2),
        ("x " * 2500, "", 2500, 34),
    ],
)
def test_real_models_count_tokens_and_chunks_in_either_grammar(prompt: str, grammar: str, tokens: int, chunks: int) -> None:
    engine = FakeEngine()
    row = replace(POCKET, name="sd", family="sd15", source=WeightSource(path=FOLDER / "no.safetensors"))
    engine.models = lambda: (row,)  # type: ignore[method-assign]
    found = read_prompt(engine, "sd", prompt, grammar)
    assert (found.tokens, found.chunks, found.room, found.unread, found.unknown) == (tokens, chunks, 75, "", ())
