"""How often an image's caption is the best of a hundred."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from hypersd_app.training.critics.text_image import DualEncoder, Judge, fewer_drawn

CAPTIONS = [f"a thing of kind {number}" for number in range(140)]
ASKED = CAPTIONS[:40]


@pytest.fixture
def judge(tmp_path, monkeypatch):
    """Knows captions at random, and sees in each image its caption, blurred so that some others are as near."""
    torch.manual_seed(0)
    known = dict(zip(CAPTIONS, torch.randn(len(CAPTIONS), 1, 384), strict=True))
    save_file(DualEncoder().state_dict(), tmp_path / "judge.safetensors")
    made = Judge(tmp_path / "judge.safetensors", lambda texts: torch.stack([known[text] for text in texts]))
    said = made.model.captions(made.embed(ASKED))
    seen = functional.normalize(said + 0.5 * torch.randn(said.shape) * torch.linspace(0, 1, len(said))[:, None], dim=1)
    monkeypatch.setattr(made, "image_vectors", lambda images: seen)
    return made


def test_recall_is_the_mean_over_all_ways_to_draw_others(judge):
    images = np.zeros((len(ASKED), 64, 64, 3), np.uint8)
    drawn = np.array([judge.hits(images, ASKED, CAPTIONS, seed) for seed in range(60)])
    some = drawn.mean(0)
    assert ((some > 0.05) & (some < 0.95)).any(), "luck matters for some"
    assert 0.2 < judge.recall(images, ASKED, CAPTIONS) < 0.98
    assert judge.recall(images, ASKED, CAPTIONS) == pytest.approx(drawn.mean(), abs=0.015)


def test_none_of_the_better_ones_is_drawn():
    assert fewer_drawn(1, 0, 500, 99) == 1 and fewer_drawn(1, 0, 0, 99) == 1
    assert fewer_drawn(1, 1, 200, 100) == pytest.approx(0.5)
    assert fewer_drawn(1, 2, 4, 2) == pytest.approx(1 / 6)
    assert fewer_drawn(1, 402, 500, 99) == 0, "no 99 are left"
    assert fewer_drawn(1, 3, 50, 99) == 0, "where there are fewer than 99, all are drawn"
    assert fewer_drawn(2, 3, 4, 2) == pytest.approx(0.5), "of six pairs, three hold one of the three"
    assert fewer_drawn(5, 4, 500, 99) == 1 and fewer_drawn(5, 5, 500, 99) < 1


@pytest.mark.parametrize("side", [64, 128])
def test_a_judge_knows_its_own_side_and_is_stored_in_half_the_size(tmp_path, side):
    model = DualEncoder(side).eval()
    save_file({name: value.half() for name, value in model.state_dict().items()}, tmp_path / "judge.safetensors")
    again = DualEncoder.from_file(tmp_path / "judge.safetensors")
    seen = torch.rand(2, 3, side, side)
    assert again.side == side
    torch.testing.assert_close(again.images(seen), model.images(seen), atol=2e-2, rtol=0)
