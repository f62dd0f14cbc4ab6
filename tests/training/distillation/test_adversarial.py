"""The adversarial part of the consistency loss, on the mixture with an encoder of four values."""

import dataclasses

import pytest
import torch

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.distillation.config import AdversarialConfig, StudentConfig
from hypersd_app.training.distillation.context import Batch
from hypersd_app.training.distillation.losses.adversarial import student_loss
from hypersd_app.training.distillation.losses.consistency import TSCD_ADVERSARIAL, TSCD_DISTANCE
from hypersd_app.training.distillation.methods import METHODS
from hypersd_app.training.distillation.step import Distiller
from tests.support.toy_models import toy_context

V = NoiseSchedule.from_scheduler(new_scheduler())
ROWS = 64


def config(method, **changes):
    row = StudentConfig(
        method=method, batch=ROWS, guidance_scale=1.0, precision="no", caption_drop=0.0, loop=LoopConfig(steps=100, warmup=1)
    )
    return dataclasses.replace(row, **changes)


def batch_of(context):
    x0, captions = context.source.batch(0, ROWS)
    return Batch(x0=x0, conditioning=context.source.condition(captions), captions=captions, seed=0, total=ROWS)


def consistency_loss(**changes):
    (loss,) = Distiller(toy_context(config(**changes), V)).losses
    return loss


@pytest.mark.parametrize("highest", [0.0, 0.7, 1.0])
def test_no_jump_is_compared_at_less_noise_than_it_has(highest):
    """Re-noising can only add: tau lies between the jump's end and `highest` of T, or at the end where that is higher."""
    context = toy_context(config("tscd", stages=((2, 1.0),), adversarial=AdversarialConfig(weights=(0.1,), highest=highest)), V)
    seen, read = [], context.networks.features
    context.networks.features = lambda x, t, c: (seen.append(t), read(x, t, c))[1]
    (part,) = Distiller(context).losses
    end = torch.linspace(-1, 998, ROWS).long()
    jump = torch.randn(ROWS, 1, 1, 1)
    part._adversarial(0, batch_of(context), jump, jump, end)
    assert len(seen) == 2 and torch.equal(*seen), "both sides at the same noise"
    assert (seen[0] >= end.clamp_min(0)).all() and (seen[0] <= torch.maximum(end, torch.tensor(int(1000 * highest)))).all()
    assert seen[0].max() <= 999


def test_pcm_noises_within_the_phase():
    """Wang et al., 2024, equation 9: from the jump's edge up to where its phase begins, with no share of T as a bound."""
    context = toy_context(config("pcm", adversarial=AdversarialConfig(weights=(0.1,), highest=0.0)), V)
    seen, read = [], context.networks.features
    context.networks.features = lambda x, t, c: (seen.append(t), read(x, t, c))[1]
    (part,) = Distiller(context).losses
    end = torch.tensor([-1, 249, 499, 749]).repeat(ROWS // 4)
    jump = torch.randn(ROWS, 1, 1, 1)
    part._adversarial(0, batch_of(context), jump, jump, end)
    assert (seen[0] >= end.clamp_min(0)).all() and (seen[0] <= end + 250).all()
    assert (seen[0] - end).max() > 200, "the whole phase is used"


@pytest.mark.parametrize("method", ["tscd", "pcm"])
def test_the_student_s_gradient_is_that_of_the_logits_by_finite_differences(method):
    """Downhill means more like data to heads that stand still."""
    part = consistency_loss(method=method, stages=((1, 1.0),), adversarial=AdversarialConfig(weights=(0.1,)))
    part.discriminator.auxiliary.update = lambda loss: None
    batch, end = batch_of(part.context), torch.full((ROWS,), 100)
    goal = torch.zeros(ROWS, 1, 1, 1)

    def loss(jump):
        return part._adversarial(3, batch, jump, goal, end)[0]

    jump = torch.randn(ROWS, 1, 1, 1, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss(jump).backward()
    step, direction = 2e-3, torch.randn(ROWS, 1, 1, 1, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        slope = (loss(jump + step * direction) - loss(jump - step * direction)) / (2 * step)
        better = loss(jump - 0.05 * jump.grad / jump.grad.abs().max())
    assert (jump.grad * direction).sum().item() == pytest.approx(slope.item(), rel=3e-2, abs=1e-5)
    assert better < loss(jump)


@pytest.mark.parametrize("method", ["tscd", "pcm"])
def test_heads_learn_what_is_real(method):
    """Data for TSCD, the target's jump for PCM: the other may be anything."""
    part = consistency_loss(method=method, stages=((1, 1.0),), adversarial=AdversarialConfig(weights=(0.1,), lr=5e-3, highest=0.0))
    batch, end = batch_of(part.context), torch.full((ROWS,), -1)
    jump, goal = torch.full((ROWS, 1, 1, 1), 4.0), torch.full((ROWS, 1, 1, 1), -4.0)
    losses = [float(part._adversarial(step, batch, jump, goal, end)[1]["heads"]) for step in range(60)]
    assert losses[-1] < 0.3 * losses[0]
    real = goal if method == "pcm" else batch.x0
    with torch.no_grad():
        said = [student_loss(part.discriminator.logits(part.context.networks.features(x, end, None))).mean() for x in (real, jump)]
    assert said[0] < said[1]


def test_the_weight_is_the_stage_s():
    context = toy_context(config("tscd", stages=((8, 1), (4, 1), (2, 1), (1, 1))), V)
    (part,) = Distiller(context).losses
    batch = batch_of(context)
    assert sorted(TSCD_ADVERSARIAL) == list(TSCD_ADVERSARIAL) and sorted(TSCD_DISTANCE, reverse=True) == list(TSCD_DISTANCE)
    assert TSCD_DISTANCE[0] > TSCD_DISTANCE[-1] and TSCD_ADVERSARIAL[0] < TSCD_ADVERSARIAL[-1]
    for stage, (distance, weight) in enumerate(zip(TSCD_DISTANCE, TSCD_ADVERSARIAL, strict=True)):
        loss, figures = part(25 * stage, batch)
        expected = distance * figures["consistency"] + weight * figures.get("adversarial", 0.0)
        assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert ("adversarial" in figures) == (weight > 0)


def test_every_method_has_the_heads_it_should():
    own = {
        name: getattr(Distiller(toy_context(config(name), V)).losses[0], "discriminator", None) is not None
        for name in ("lcm", "tcd", "pcm", "tscd")
    }
    assert own == {"lcm": False, "tcd": False, "pcm": True, "tscd": True}
    assert consistency_loss(method="pcm").weights == (0.1,)
    assert consistency_loss(method="tscd", adversarial=AdversarialConfig(weights=(0.0,))).discriminator is None
    assert consistency_loss(method="tcd", adversarial=AdversarialConfig(weights=(0.5,))).discriminator is None


def test_each_method_is_drawn_by_its_own_sampler():
    assert {name: METHODS[name].eta for name in ("lcm", "pcm", "tcd", "tscd", "hyper-sd", "dmd2", "tdm")} == {
        "lcm": 1.0, "pcm": 0.0, "tcd": 0.3, "tscd": 1.0, "hyper-sd": 1.0, "dmd2": 1.0, "tdm": 0.0,
    }  # fmt: skip
