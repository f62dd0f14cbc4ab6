"""Guidance and initial noise: one implementation for serving and training."""

import pytest
import torch

from hypersd_app.diffusion.guidance import guide, guided, is_guided
from hypersd_app.diffusion.noise import noise, seeded_noise
from hypersd_app.engine.device_time import Clock
from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.sampling import denoise


class OneStep:
    """A schedule of one step whose result is the prediction."""

    init_noise_sigma = 1.0
    timesteps = (torch.tensor(999),)

    def step(self, number, prediction, latents, generators):
        return prediction, prediction


def test_the_engine_and_training_guide_alike():
    shape, seeds, scale = (4, 8, 8), [3, 5], 2.5

    def model(x, t, conditioning):
        words = conditioning.hidden if isinstance(conditioning, Conditioning) else conditioning
        return x * words.view(-1, 1, 1, 1) + 1

    cond, uncond = torch.tensor([0.5, 2.0]), torch.tensor([0.1, 0.2])
    x = seeded_noise(seeds, shape)
    trained = guided(model, cond, uncond, scale)(x, torch.full((2,), 999))
    served = denoise.sample(
        lambda x, t, conditioning, residuals: model(x, t, conditioning),
        OneStep(),
        [torch.Generator().manual_seed(seed) for seed in seeds],
        shape,
        Conditioning(torch.cat([uncond, cond])),
        device=torch.device("cpu"),
        guidance_scale=scale,
        clock=Clock(),
    )
    assert torch.equal(trained, served)
    expected = model(x, None, uncond) + scale * (model(x, None, cond) - model(x, None, uncond))
    torch.testing.assert_close(served, expected)


def test_guidance_is_linear_in_its_scale():
    halves = torch.tensor([1.0, 3.0])
    assert [guide(halves, scale).item() for scale in (0.0, 1.0, 2.0)] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize(("scale", "needed"), [(0.0, False), (1.0, False), (1.01, True), (7.5, True)])
def test_only_a_scale_above_one_needs_the_unconditional_half(scale, needed):
    assert is_guided(scale) is needed


def test_an_image_s_noise_does_not_depend_on_its_batch():
    whole = seeded_noise([7, 8, 9], (2, 4, 4))
    assert torch.equal(whole[1:2], seeded_noise([8], (2, 4, 4)))
    assert torch.equal(whole, noise([torch.Generator().manual_seed(seed) for seed in (7, 8, 9)], (2, 4, 4)))
    assert torch.equal(whole[:1], torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(7)))
