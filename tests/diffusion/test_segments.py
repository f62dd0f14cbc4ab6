"""Segments of the time line: their edges, the grid inside them, and what is drawn from them."""

import itertools

import pytest
import torch
from diffusers import DDIMScheduler

from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.diffusion.segments import Segments
from hypersd_app.models.pocket import new_scheduler

SCHEDULE = NoiseSchedule.from_scheduler(new_scheduler())


def stable_diffusion_scheduler() -> DDIMScheduler:
    """SD1.5's: epsilon, and some signal left at T - 1."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True,
        timestep_spacing="trailing",
    )  # fmt: skip


@pytest.mark.parametrize("num_segments", [8, 4, 2, 1])
def test_edges_are_the_timesteps_of_the_sampler(num_segments):
    segments = Segments(1000, num_segments, 20)
    starts = trailing_timesteps(1000, num_segments)
    edges = segments.start(starts)
    assert edges.tolist() == [*starts.tolist()[1:], -1]


def test_the_paper_s_grid_would_step_over_an_edge_and_this_one_does_not():
    segments, t = Segments(1000, 8, 20), torch.tensor([139, 259, 379, 519])
    assert (t - 20 < t // 125 * 125).all(), "Algorithm 1 draws t_end from [t_b, t_n - skip] here, which is empty"
    edge, previous = segments.start(t), segments.previous(t)
    assert (edge <= previous).all() and (previous < t).all()


@pytest.mark.parametrize("num_segments", [8, 4, 2, 1])
@pytest.mark.parametrize("skip", [20, 50, 7])
@pytest.mark.parametrize("end", ["random", "edge", "clean"])
def test_no_interval_is_empty(num_segments, skip, end):
    segments = Segments(1000, num_segments, skip)
    u = torch.rand(8000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = torch.rand(8000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t, previous, t_end = segments.draw(u, v, end)
    edge = segments.start(t)
    assert (edge <= previous).all() and (previous < t).all() and (t_end <= previous).all()
    assert t.max() == 999 and t.min() >= 0
    if end == "random":
        assert (t_end >= edge).all()
        assert (t_end == edge).any() and (t_end > edge).any() and (t_end == previous).any()
    else:
        assert (t_end == (edge if end == "edge" else -1)).all()


def test_the_largest_uniform_numbers_stay_inside():
    largest = torch.tensor([1 - 1e-12], dtype=torch.float64)
    t, previous, t_end = Segments(1000, 4, 20).draw(largest, largest, "random")
    assert 0 <= t.item() <= 999 and t_end.item() == previous.item()


@pytest.mark.parametrize(("num_segments", "skip"), [(8, 20), (4, 50), (1, 7)])
def test_walks_of_all_segments_together_reach_clean_data(num_segments, skip):
    segments = Segments(1000, num_segments, skip)
    t, walked = 999, 0
    while t >= 0:
        points = segments.walk(t)
        assert points[0] == t and points[-1] == int(segments.start(torch.tensor(t)))
        assert all(0 < a - b <= skip for a, b in itertools.pairwise(points))
        t, walked = points[-1], walked + 1
    assert walked == num_segments


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize(("t", "steps"), [(999, 4), (800, 1000), (520, 2), (19, 50)])
def test_a_jump_is_a_ddim_step(kind, t, steps):
    scheduler = stable_diffusion_scheduler()
    scheduler.register_to_config(prediction_type=kind)
    schedule = NoiseSchedule.from_scheduler(scheduler)
    x, prediction = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(t))
    scheduler.set_timesteps(steps)
    expected = scheduler.step(prediction, t, x).prev_sample
    found = schedule.jump(prediction, x, torch.full((2,), t), torch.full((2,), t - 1000 // steps))
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


def test_jumping_nowhere_changes_nothing():
    x, prediction = torch.randn(2, 3, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 400, 998])
    torch.testing.assert_close(SCHEDULE.jump(prediction, x, t, t), x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("s", "t"), [(-1, 300), (100, 101), (100, 900), (500, 999)])
def test_renoising_gives_the_marginal_of_the_later_time(s, t):
    s, t = torch.tensor([s]), torch.tensor([t])
    ratio = SCHEDULE.renoise(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), s, t)
    fresh = SCHEDULE.renoise(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), s, t)
    # x_s = alpha_s x0 + sigma_s eps: the signal must come out as alpha_t, the variances must add up to sigma_t^2.
    torch.testing.assert_close(ratio * SCHEDULE.alpha(s), SCHEDULE.alpha(t), atol=1e-6, rtol=1e-5)
    variance = (ratio * SCHEDULE.sigma(s)).square() + fresh.square()
    torch.testing.assert_close(variance, SCHEDULE.sigma(t).square(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon", "sample"])
def test_what_a_network_should_predict_splits_into_what_it_was_made_of(kind):
    scheduler = stable_diffusion_scheduler()
    scheduler.register_to_config(prediction_type=kind)
    schedule = NoiseSchedule.from_scheduler(scheduler)
    x0, eps = torch.randn(2, 3, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    t = torch.tensor([100, 500, 900])
    found = schedule.split(schedule.prediction(x0, eps, t), schedule.add_noise(x0, eps, t), t)
    torch.testing.assert_close(found, (x0, eps), atol=1e-4, rtol=1e-4)
