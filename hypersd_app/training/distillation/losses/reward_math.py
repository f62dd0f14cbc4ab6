"""Learning from rewards: Hyper-SD section 3.3, ReFL (Xu et al., "ImageReward", 2023)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]


class Reward(Protocol):
    """Says how good pictures are, differentiably.

    `enough` is the value alpha_d from which on a picture gets no further gradient.
    """

    title: str
    enough: float

    def __call__(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """float32 (B,), higher is better. `pictures`: float (B, 3, H, W) in [-1, 1]."""
        ...


class Segmenter(Protocol):
    """Says what shapes a picture consists of."""

    def __call__(self, pictures: Tensor) -> Tensor:
        """Logits, float32 (B, K, h, w). `pictures`: float (B, 3, H, W) in [-1, 1]."""
        ...


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
    """How far a picture's shapes are from the real one's, float32 (B,).

    Binary cross entropy between the segmenter's readings, both (B, K, h, w) logits. The paper compares with annotations;
    the reading of the real picture in their place is our choice, for pictures that have none.
    """
    return functional.binary_cross_entropy_with_logits(made, real.detach().sigmoid(), reduction="none").flatten(1).mean(1)
