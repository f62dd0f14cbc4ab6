"""Score distillation under drawings: what is likelier to the teacher pulls, by words and by strokes, and the teacher stays."""

from dataclasses import replace

import pytest
import torch

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.controlnet.dmd import SketchScore, SketchScoreConfig
from hypersd_app.training.controlnet.train import controlled

CONFIG = SketchScoreConfig(weight=1.0, fake_rank=2)


@pytest.fixture(scope="module")
def workspace(judged):
    return judged


@pytest.fixture
def drawings(workspace):
    """Latents, control images and embeddings."""
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(4, 16, 16, 16, generator=generator)
    control = (torch.rand(4, 3, 256, 256, generator=generator) > 0.9).float()
    return latents.requires_grad_(), control, workspace.embed(["a red apple", "a star", "a cat", ""])


def score_of(workspace, watch=None, **changes):
    """A score whose ControlNet is the shipped one, and the UNet it runs. `watch` is told the times it looks at."""
    unet, guide = workspace.teacher(), PocketControlNet.from_pretrained(workspace.assets / "controlnet").float()
    schedule = NoiseSchedule.from_scheduler(new_scheduler())

    def follow(control):
        model = controlled(unet, guide, control)

        def watched(x, t, text):
            if watch:
                watch(t.tolist())
            return model(x, t, text)

        return watched

    return SketchScore(replace(CONFIG, **changes), unet, follow, workspace.embed([""]), schedule), unet


def generator():
    return torch.Generator().manual_seed(3)


def test_nothing_pulls_where_the_fake_score_is_the_real_one(workspace, drawings):
    alike, _ = score_of(workspace, words=1.0, strokes=1.0, fake_lr=0.0)
    assert alike(*drawings, generator())[0].abs().max() < 1e-12, "but for the rounding of another batch"
    guided, _ = score_of(workspace, fake_lr=0.0)
    loss, _ = guided(*drawings, generator())
    loss.sum().backward()
    assert all(row.any() for row in drawings[0].grad)


@pytest.mark.parametrize("changes", [{"words": 1.0, "strokes": 3.0}, {"words": 3.0, "strokes": 1.0}])
def test_words_and_strokes_pull_on_their_own(workspace, drawings, changes):
    latents, control, text = drawings
    score, _ = score_of(workspace, fake_lr=0.0, **changes)
    nothing = torch.zeros_like(control) if changes["words"] == 1 else workspace.embed([""] * 4)
    silent = (latents, nothing, text) if changes["words"] == 1 else (latents, control, nothing)
    assert score(*drawings, generator())[0].gt(1e-6).sum() >= 3, "all but the image without words"
    assert score(*silent, generator())[0].lt(1e-6).all(), "nothing to be guided by"


def test_scores_are_compared_where_told_and_all_over_there(workspace, drawings):
    seen = []
    score, _ = score_of(workspace, seen.extend, lowest=0.2, highest=0.4)
    for seed in range(3):
        score(*drawings, torch.Generator().manual_seed(seed))
    assert 200 <= min(seen) < 260 and 340 < max(seen) < 400


def test_the_fake_score_learns_what_is_made_and_the_teacher_does_not_change(workspace, drawings):
    score, unet = score_of(workspace, fake_lr=5e-3)
    x, t = drawings[0].detach(), torch.full((4,), 500)

    def teacher():
        unet.disable_adapters()
        with torch.no_grad():
            seen = controlled(unet, PocketControlNet.from_pretrained(workspace.assets / "controlnet").float(), drawings[1])
            found = seen(x, t, drawings[2])
        unet.enable_adapters()
        return found

    before = teacher()
    told = [score(*drawings, generator())[1] for _ in range(12)]
    assert told[-1] < 0.9 * told[0]
    assert torch.equal(teacher(), before)


def test_a_score_that_is_resumed_is_the_same(workspace, drawings):
    kept, _ = score_of(workspace)
    kept(*drawings, generator())
    resumed, _ = score_of(workspace)
    resumed.auxiliary.load_state_tensors({name: value.clone() for name, value in kept.auxiliary.state_tensors().items()})
    (loss, fake), (again, fake_again) = kept(*drawings, generator()), resumed(*drawings, generator())
    assert torch.allclose(loss, again) and fake == pytest.approx(fake_again)
