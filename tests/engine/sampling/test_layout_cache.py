"""Pocket's layout is read off the words once, whatever is drawn of it, and styles act on it."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
import torch

from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.sampling.layout_cache import STYLES_KEPT, LayoutCache


class Prior:
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        self.asked += 1
        return torch.full((len(hidden), 16, 16, 16), float(self.asked))


def words() -> Conditioning:
    return Conditioning(torch.randn(1, 5, 384))


def test_the_same_words_and_styles_are_read_once():
    prior = Prior()
    layouts, cat, dog = LayoutCache(prior), words(), words()
    first = layouts.added_to(cat, ())
    assert layouts.added_to(cat, ()) is first
    assert first.hidden is cat.hidden
    layouts.added_to(dog, ())
    styled = layouts.added_to(cat, ("ink", 1.0))
    assert prior.asked == 3
    assert not torch.equal(styled.layout, first.layout)
    assert layouts.added_to(cat, ()) is first, "the style strip asks for every style in turn"


def test_layouts_go_with_their_words_and_styles_are_bounded():
    prior = Prior()
    layouts, cat = LayoutCache(prior), words()
    for i in range(STYLES_KEPT + 1):
        layouts.added_to(cat, i)
    layouts.added_to(cat, STYLES_KEPT)
    assert prior.asked == STYLES_KEPT + 1
    layouts.added_to(cat, 0)
    assert prior.asked == STYLES_KEPT + 2, "the first was forgotten"
    del cat
    gc.collect()
    assert len(layouts._known) == 0


def test_a_batch_has_all_layouts_or_none():
    layouts = LayoutCache(Prior())
    rows = [layouts.added_to(words(), ()) for _ in range(2)]
    assert Conditioning.stack(rows).layout.shape == (2, 16, 16, 16)
    assert Conditioning.stack([words(), words()]).layout is None


@pytest.mark.parametrize("steps", [1, 4])
def test_an_engine_asks_the_prior_once_a_prompt(engine, steps):
    from hypersd_app.engine.plan import make_plan
    from hypersd_app.requests import GenerationRequest

    request = GenerationRequest(prompt=f"{steps} green frogs", model="pocket", num_inference_steps=steps)
    engine.generate(request)
    with engine._models.open(make_plan(engine.catalog, request)) as pipeline:
        module = pipeline.denoiser.network.module
    asked = []
    hook = module.layout.register_forward_hook(lambda *_: asked.append(1))
    engine.generate(request)
    assert not asked, "known from the first time"
    engine.generate(replace(request, prompt=f"{steps} red frogs"))
    assert asked == [1]
    hook.remove()
