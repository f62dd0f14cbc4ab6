"""Distribution matching distillation (Yin et al., "One-step Diffusion with Distribution Matching Distillation", 2024)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]


def matching_gradient(real: Predict, fake: Predict, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    """The direction that lowers KL(student || teacher) at the student's image; like `x0`, no graph.

    In terms of x0 the difference of the scores is (x0_fake - x0_real) alpha_t / sigma_t^2; the weight w_t turns that into
    (x0_fake - x0_real) / mean |x0 - x0_real|, so that every noise level pulls with the same strength.
    """
    with torch.no_grad():
        x_t = schedule.add_noise(x0, eps, t)
        x0_real, _ = schedule.split(real(x_t, t), x_t, t)
        x0_fake, _ = schedule.split(fake(x_t, t), x_t, t)
        scale = (x0 - x0_real).abs().flatten(1).mean(1).clamp_min(1e-4).view(-1, 1, 1, 1)
        return (x0_fake - x0_real) / scale


def matching_loss(x0: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose derivative by x0 is `gradient` / number of values, float32 (B,): 0.5 |x0 - sg(x0 - gradient)|^2."""
    goal = (x0 - gradient).detach()
    return 0.5 * (x0.float() - goal.float()).flatten(1).square().mean(1)


def denoising_loss(fake: Predict, x0: Tensor, eps: Tensor, t: Tensor, schedule: NoiseSchedule) -> Tensor:
    """What the fake score learns on the student's images: ordinary diffusion training, float32 (B,)."""
    x_t = schedule.add_noise(x0, eps, t)
    goal = schedule.prediction(x0, eps, t)
    return (fake(x_t, t).float() - goal).flatten(1).square().mean(1)
