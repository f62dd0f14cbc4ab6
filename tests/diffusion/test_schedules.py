"""Our schedule and samplers against diffusers' schedulers."""

import pytest
import torch
from diffusers import DDIMScheduler, TCDScheduler

from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.samplers import sample_ddim, sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.models.pocket import new_scheduler


def schedule_of(prediction_type: str) -> NoiseSchedule:
    scheduler = new_scheduler()
    scheduler.register_to_config(prediction_type=prediction_type)
    return NoiseSchedule.from_scheduler(scheduler)


def configured(kind, prediction_type: str):
    return kind.from_config(new_scheduler().config, prediction_type=prediction_type, timestep_spacing="trailing")


def network(x, t):
    """Any smooth function of (x, t) will do."""
    return torch.tanh(0.7 * x + t.view(-1, 1, 1, 1) / 1000)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
@pytest.mark.parametrize("t", [0, 499, 998])
def test_split_inverts_the_mixture(prediction_type, t):
    schedule = schedule_of(prediction_type)
    x0, eps = torch.randn(2, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    times = torch.full((2,), t)
    x_t = schedule.add_noise(x0, eps, times)
    prediction = schedule.velocity(x0, eps, times) if prediction_type == "v_prediction" else x0
    found_x0, found_eps = schedule.split(prediction, x_t, times)
    torch.testing.assert_close(found_x0, x0, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found_eps, eps, atol=2e-3, rtol=2e-3)


def test_terminal_signal_is_zero_and_clean_is_clean():
    schedule = schedule_of("v_prediction")
    times = torch.tensor([999, -1])
    assert schedule.alpha(times).flatten().tolist() == pytest.approx([0.0, 1.0], abs=1e-6)
    assert schedule.sigma(times).flatten().tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 25])
def test_trailing_timesteps_are_those_of_diffusers(steps):
    scheduler = configured(DDIMScheduler, "v_prediction")
    scheduler.set_timesteps(steps)
    assert trailing_timesteps(1000, steps).tolist() == scheduler.timesteps.tolist()


@pytest.mark.parametrize("steps", [1, 4, 8])  # 3 does not divide 1000: diffusers then rounds t and t_prev apart
def test_ddim_equals_diffusers(steps):
    scheduler = configured(DDIMScheduler, "v_prediction")
    scheduler.register_to_config(set_alpha_to_one=True, clip_sample=False)
    scheduler = DDIMScheduler.from_config(scheduler.config)
    scheduler.set_timesteps(steps)
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    x = noise
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(2)), t, x).prev_sample
    ours = sample_ddim(network, noise, trailing_timesteps(1000, steps), schedule_of("v_prediction"))
    torch.testing.assert_close(ours, x, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_tcd_equals_diffusers(eta):
    scheduler = configured(TCDScheduler, "v_prediction")
    timesteps = trailing_timesteps(1000, 4)
    scheduler.set_timesteps(timesteps=timesteps.tolist())
    noise = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    x, generator = noise, torch.Generator().manual_seed(5)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t.expand(2)), t, x, eta=eta, generator=generator).prev_sample
    ours = sample_tcd(network, noise, timesteps, schedule_of("v_prediction"), eta, torch.Generator().manual_seed(5))
    torch.testing.assert_close(ours, x, atol=5e-4, rtol=1e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_guidance_of_zero_and_one_is_the_conditional_model(scale):
    calls = []

    def model(x, t, c):
        calls.append(len(x))
        return x * c

    x, t = torch.ones(2, 1, 1, 1), torch.zeros(2)
    out = guided(model, torch.full((2, 1, 1, 1), 3.0), torch.zeros(2, 1, 1, 1), scale)(x, t)
    assert calls == [2]
    assert out.flatten().tolist() == [3.0, 3.0]


def test_guidance_extrapolates():
    out = guided(lambda x, t, c: c, torch.full((1, 1, 1, 1), 2.0), torch.ones(1, 1, 1, 1), 4.0)(
        torch.ones(1, 1, 1, 1), torch.zeros(1)
    )
    assert out.item() == pytest.approx(1 + 4 * (2 - 1))
