"""Samplers as plain functions over a model, noise and timesteps; logging and previews belong to the caller."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule

Model = Callable[[Tensor, Tensor], Tensor]  # (x_t, t of shape (B,)) -> prediction


def guided(model: Callable[[Tensor, Tensor, Tensor], Tensor], cond: Tensor, uncond: Tensor, scale: float) -> Model:
    """Classifier-free guidance (Ho and Salimans, 2022) as one batch of both halves. A scale of 0 or 1 costs no second half."""
    if scale in (0.0, 1.0):
        return lambda x, t: model(x, t, cond)

    def run(x: Tensor, t: Tensor) -> Tensor:
        without, with_ = model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([uncond, cond])).float().chunk(2)
        return without + scale * (with_ - without)

    return run


@torch.no_grad()
def sample_ddim(model: Model, x: Tensor, timesteps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Deterministic DDIM (Song et al., 2021) from noise `x` over falling `timesteps`, ending on clean data."""
    for t, s in _pairs(timesteps):
        batch = torch.full((len(x),), t, device=x.device)
        x = schedule.jump(model(x, batch), x, batch, torch.full_like(batch, s))
    return x


@torch.no_grad()
def sample_tcd(
    model: Model, x: Tensor, timesteps: Tensor, schedule: NoiseSchedule, eta: float, generator: torch.Generator
) -> Tensor:
    """Strategic stochastic sampling, gamma = `eta` (Zheng et al., "Trajectory Consistency Distillation", 2024, Alg. 4).

    Each step jumps to s' = (1 - eta) s and adds noise up to s, as diffusers' TCDScheduler; the last ends on index 0.
    """
    for t, s in _pairs(timesteps, last=0):
        batch = torch.full((len(x),), t, device=x.device)
        middle = torch.full_like(batch, int((1 - eta) * s))
        x = schedule.jump(model(x, batch), x, batch, middle)
        if eta > 0 and s > 0:
            target = torch.full_like(batch, s)
            ratio = schedule.alpha(target) / schedule.alpha(middle)
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
            x = ratio * x + (1 - ratio.square()).sqrt() * noise
    return x


def _pairs(timesteps: Tensor, last: int = -1) -> list[tuple[int, int]]:
    values = [int(t) for t in timesteps]
    return list(zip(values, [*values[1:], last], strict=True))
