"""Trajectory segmented consistency distillation against what can be computed by hand."""

import pytest
import torch

from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.distill.consistency import Segments, consistency_loss, pseudo_huber
from hypersd_app.distill.student import StudentConfig
from hypersd_app.models.pocket import new_scheduler

SCHEDULE = NoiseSchedule.from_scheduler(new_scheduler())


@pytest.mark.parametrize("num_segments", [8, 4, 2, 1])
def test_edges_are_the_timesteps_of_the_sampler(num_segments):
    segments = Segments(1000, num_segments, 20)
    starts = trailing_timesteps(1000, num_segments)
    edges = segments.start(starts)
    assert edges.tolist() == [*starts.tolist()[1:], -1]


@pytest.mark.parametrize("num_segments", [8, 4, 2, 1])
@pytest.mark.parametrize("end", ["random", "edge", "clean"])
def test_no_interval_is_empty(num_segments, end):
    segments = Segments(1000, num_segments, 20)
    t, previous, t_end = segments.draw(4000, torch.Generator().manual_seed(0), end)
    edge = segments.start(t)
    assert (previous < t).all()
    assert (previous >= edge).all()
    assert (t_end <= previous).all()
    if end == "random":
        assert (t_end >= edge).all()
        assert (t_end == edge).any() and (t_end > edge).any()
    else:
        assert (t_end == (edge if end == "edge" else -1)).all()


def test_pseudo_huber_by_hand():
    a, b = torch.zeros(1, 4), torch.full((1, 4), 2.0)
    c = 0.00054 * 2
    assert pseudo_huber(a, b).item() == pytest.approx((16 + c * c) ** 0.5 - c)


def perfect(x0):
    """The network of a data set with one point: every prediction leads to it."""

    def predict(x, t):
        # x0 = alpha x - sigma v, solved for v; at sigma = 0 any value will do.
        alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
        return (alpha * x - x0) / sigma.clamp_min(1e-6)

    return predict


@pytest.mark.parametrize("end", ["random", "edge", "clean"])
def test_a_perfect_student_has_no_loss(end):
    x0 = torch.randn(64, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    model = perfect(x0)
    times = Segments(1000, 4, 20).draw(64, torch.Generator().manual_seed(4), end)
    loss = consistency_loss(model, model, model, x0, times, SCHEDULE, torch.Generator().manual_seed(5))
    assert loss.max().item() < 1e-2


def test_a_wrong_student_has_loss_and_only_it_gets_gradients():
    x0 = torch.randn(8, 2, 3, 3, generator=torch.Generator().manual_seed(3))
    model = perfect(x0)
    shift, other = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    times = Segments(1000, 1, 20).draw(8, torch.Generator().manual_seed(4), "clean")
    loss = consistency_loss(
        lambda x, t: model(x, t) + shift + 0.5,
        lambda x, t: model(x, t) + other,
        model,
        x0,
        times,
        SCHEDULE,
        torch.Generator().manual_seed(5),
    ).mean()
    loss.backward()
    assert loss.item() > 0.1
    assert shift.grad is not None and shift.grad.abs().item() > 0
    assert other.grad is None


def test_stages_follow_each_other():
    config = StudentConfig(stages=((8, 2), (4, 1), (1, 1)))
    assert [config.num_segments(step) for step in range(6)] == [8, 8, 4, 1, 1, 1]
