"""Samplers as plain functions over a model, noise and timesteps; logging and previews belong to the caller."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hypersd_app.diffusion.guidance import Model
from hypersd_app.diffusion.schedules import NoiseSchedule


@torch.no_grad()
def sample_ddim(model: Model, x: Tensor, timesteps: Tensor | Sequence[int], schedule: NoiseSchedule, last: int = -1) -> Tensor:
    """Deterministic DDIM (Song et al., 2021) from `x` over falling `timesteps`, ending on `last`: -1 is clean data."""
    for t, s in _pairs(timesteps, last):
        batch = torch.full((len(x),), t, device=x.device)
        x = schedule.jump(model(x, batch), x, batch, torch.full_like(batch, s))
    return x


@torch.no_grad()
def sample_tcd(
    model: Model, x: Tensor, timesteps: Tensor, schedule: NoiseSchedule, eta: float, generator: torch.Generator
) -> Tensor:
    """Strategic stochastic sampling, gamma = `eta` (Zheng et al., "Trajectory Consistency Distillation", 2024).

    Each step jumps to s' = (1 - eta) s and adds noise up to s, as diffusers' TCDScheduler; the last ends on index 0.
    """
    for t, s in _pairs(timesteps, last=0):
        batch = torch.full((len(x),), t, device=x.device)
        middle = torch.full_like(batch, int((1 - eta) * s))
        x = schedule.jump(model(x, batch), x, batch, middle)
        if eta > 0 and s > 0:
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
            x = schedule.renoise(x, noise, middle, torch.full_like(batch, s))
    return x


def _pairs(timesteps: Tensor | Sequence[int], last: int) -> list[tuple[int, int]]:
    values = [int(t) for t in timesteps]
    return list(zip(values, [*values[1:], last], strict=True))
