"""Image to image: a run that starts from init images with noise on them, and keeps what a mask protects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hypersd_app.engine.sampling.schedules import Level, Schedule

if TYPE_CHECKING:
    from hypersd_app.engine.interfaces import Encoder
    from hypersd_app.engine.plan import Plan


@dataclass(frozen=True)
class Painting:
    """Init images of a batch as latents, float32 (B, C, h, w).

    `free`, (B, 1, h, w), is 1 where they may change; None is everywhere.
    """

    latents: Tensor
    free: Tensor | None = None

    def start(self, schedule: Schedule, eps: Tensor) -> Tensor:
        """What the first step reads: the init images at its noise level (SDEdit, Meng et al., 2022).

        At strength 1 they have no part in it, as in text to image, except around a mask.
        """
        if not schedule.from_noise:
            return noised(self.latents, eps, schedule.level(0))
        return self.kept(eps * schedule.init_noise_sigma, eps, schedule.level(0))

    def kept(self, latents: Tensor, eps: Tensor, level: Level) -> Tensor:
        """`latents` with what the mask protects put back at their noise level (RePaint, Lugmayr et al., 2022, eq. 8)."""
        if self.free is None:
            return latents
        return torch.where(self.free > 0, latents, noised(self.latents, eps, level))


def noised(latents: Tensor, eps: Tensor, level: Level) -> Tensor:
    """alpha x0 + sigma eps."""
    alpha, sigma = level
    return alpha * latents + sigma * eps


def painting_batch(encoder: Encoder, plans: Sequence[Plan], factor: int, device: torch.device) -> Painting:
    """The init image of every image of a batch; `factor` is pixels a latent. Plans without a mask are free everywhere."""
    rows, masks = [], []
    for plan in plans:
        assert plan.canvas is not None, "requests with and without an init image share no batch"
        image = torch.from_numpy(np.array(plan.canvas.image)[None]).to(device)
        rows.append(encoder(image).expand(plan.request.num_images, -1, -1, -1))
        masks.append(free_latents(plan, factor).expand(plan.request.num_images, -1, -1, -1))
    masked = any(plan.canvas is not None and plan.canvas.weights is not None for plan in plans)
    return Painting(torch.cat(rows), torch.cat(masks).to(device) if masked else None)


def free_latents(plan: Plan, factor: int) -> Tensor:
    """Which latents may change, (1, 1, h, w): all that reach into the mask or its feather."""
    height, width = plan.choice.height // factor, plan.choice.width // factor
    if plan.canvas is None or plan.canvas.weights is None:
        return torch.ones(1, 1, height, width)
    touched = plan.canvas.weights[..., 0].reshape(height, factor, width, factor).max((1, 3)) > 0
    return torch.from_numpy(touched.astype(np.float32))[None, None]
