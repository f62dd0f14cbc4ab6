"""Prompts as people paste them, drawn: weights, schedules, tags, lengths and trigger words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hypersd_app.engine.plan import make_plan
from hypersd_app.engine.sampling.text import fitting
from hypersd_app.errors import InvalidRequest
from hypersd_app.prompts.wording import Wording
from hypersd_app.requests import GenerationRequest, StyleWeight

SD15 = GenerationRequest("cat", model="sd15", recipe="4steps", num_inference_steps=4, width=256, height=256, seed=3)


def drawn(engine, **changes):
    return engine.generate(replace(SD15, **changes)).pixels[0]


def test_weights_act_in_both_grammars_and_are_words_in_none(engine):
    plain = drawn(engine)
    assert np.array_equal(drawn(engine, prompt="(cat:1.0)"), plain)
    weighted = [drawn(engine, prompt="a (cat:1.6)", prompt_grammar=grammar) for grammar in ("a1111", "comfyui", "plain")]
    assert len({rows.tobytes() for rows in weighted}) == 3


def test_a_schedule_changes_the_words_on_its_way(engine):
    both = drawn(engine, prompt="[cat:dog:0.5]")
    assert not np.array_equal(both, drawn(engine, prompt="cat"))
    assert not np.array_equal(both, drawn(engine, prompt="dog"))
    assert np.array_equal(drawn(engine, prompt="[cat:dog:4]"), drawn(engine, prompt="cat"))
    assert np.array_equal(drawn(engine, prompt="[cat:dog:0.1]"), drawn(engine, prompt="dog"))


def test_five_thousand_characters_are_read_to_the_last(engine):
    words = ", ".join(["a red apple"] * 384)[:4990]
    assert not np.array_equal(drawn(engine, prompt=f"{words}, cat"), drawn(engine, prompt=f"{words}, dog"))


def test_prompts_of_unlike_lengths_share_a_batch(engine):
    requests = [replace(SD15, prompt="cat"), replace(SD15, prompt="a red apple and a blue rocket", seed=4)]
    for row, request in zip(engine.generate_batch(requests), requests, strict=True):
        alone = engine.generate(request).pixels[0].astype(int)
        assert np.abs(row.pixels[0] - alone).max() <= 2


def test_a_long_negative_prompt_beside_a_short_prompt(engine):
    guided = {"recipe": "teacher", "num_inference_steps": 8}
    long = drawn(engine, **guided, negative_prompt="a red apple and a blue rocket")
    assert not np.array_equal(long, drawn(engine, **guided, negative_prompt="a red apple"))


def test_clip_skip_takes_an_earlier_layer(engine):
    assert np.array_equal(drawn(engine, clip_skip=1), drawn(engine))
    assert not np.array_equal(drawn(engine, clip_skip=2), drawn(engine))
    with pytest.raises(InvalidRequest, match="clip_skip"):
        replace(SD15, clip_skip=0)


def test_a_tag_is_the_style_it_names_and_a_missing_one_is_told(engine):
    request = GenerationRequest("a cat", num_inference_steps=2, seed=5)
    styled = engine.generate(replace(request, styles=(StyleWeight("ink", 0.8),)))
    tagged = engine.generate(replace(request, prompt="a cat <lora:INK:0.8> <lora:nowhere:1>"))
    assert np.array_equal(tagged.pixels[0], styled.pixels[0])
    assert tagged.notes == ("the style nowhere that the prompt names is not here",)
    assert styled.notes == ()


def test_trigger_words_are_read_however_long_the_prompt(engine):
    request = GenerationRequest("a cat, " * 60, num_inference_steps=1, styles=(StyleWeight("ink"),))
    plan = make_plan(engine.catalog, request)
    tokenizer = engine._models.loader.text(engine.catalog.model("pocket")).tokenizers[0]
    text = fitting(plan.wording(plan.words, negative=False), tokenizer)
    assert text.endswith(", ink")
    assert len(tokenizer(text)["input_ids"]) == tokenizer.model_max_length
    assert fitting(Wording("a cat", triggers="ink"), tokenizer) == "a cat, ink"


def test_the_grammar_is_that_of_the_model_unless_it_is_said(engine):
    assert engine.generate(SD15).request.prompt_grammar == "a1111"
    assert engine.generate(GenerationRequest("a cat")).request.prompt_grammar == "plain"
    with pytest.raises(InvalidRequest, match="prompt_grammar"):
        replace(SD15, prompt_grammar="latin")
