"""Learning from rewards: Hyper-SD's human feedback, ReFL (Xu et al., "ImageReward", 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]


def hinge(scores: Tensor, enough: float) -> Tensor:
    """ReLU(alpha_d - r_d): no gradient where the reward is high enough already, float32 (B,)."""
    return functional.relu(enough - scores)


def last_step_x0(model: Predict, noise: Tensor, timesteps: Sequence[int], schedule: NoiseSchedule) -> Tensor:
    """x0 after few steps from pure noise, with a graph through the last step only; float32, like `noise`."""
    x = noise
    if len(timesteps) > 1:
        x = sample_ddim(model, noise, timesteps[:-1], schedule, last=timesteps[-1])
    t = torch.full((len(x),), timesteps[-1], device=x.device)
    return schedule.split(model(x, t), x, t)[0]


def structure_loss(made: Tensor, real: Tensor) -> Tensor:
    """How far an image's shapes are from the real one's, float32 (B,).

    Binary cross entropy between the segmenter's readings, both (B, K, h, w) logits. The paper compares with annotations;
    the reading of the real image in their place is our choice, for images that have none.
    """
    return functional.binary_cross_entropy_with_logits(made, real.detach().sigmoid(), reduction="none").flatten(1).mean(1)
