"""Trajectory segmented consistency distillation and its relatives, as one loss over a few choices.

Hyper-SD (Ren et al., 2024), Algorithm 1. With one segment and a random end this is TCD (Zheng et al., 2024); with the
end fixed at clean data, LCM (Luo et al., 2023); with the end always at the segment's edge, PCM (Wang et al., 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> prediction; the caption is bound by the caller


@dataclass(frozen=True)
class Segments:
    """A time line of T steps cut into `num_segments` equal parts, walked on a grid with spacing `skip`."""

    num_timesteps: int
    num_segments: int
    skip: int

    def start(self, t: Tensor) -> Tensor:
        """The edge below t: the last timestep of the segment before, or -1, clean data, for the first segment.

        Edges fall on the trailing timesteps of a `num_segments`-step sampler, so that its jumps are the ones trained.
        """
        length = self.num_timesteps / self.num_segments
        index = torch.floor(t.double() / length)
        return (index * length).round().long() - 1

    def draw(self, count: int, generator: torch.Generator, end: str) -> tuple[Tensor, Tensor, Tensor]:
        """Random (t_n, t_{n-1}, t_end), int64 (count,), with start <= t_end <= t_{n-1} < t_n.

        t_{n-1} = max(t_n - skip, start): a grid point close above an edge would otherwise step over it and leave the
        interval for t_end empty. `end`: "random" in [start, t_{n-1}], "edge" or "clean".
        """
        points = self.num_timesteps // self.skip
        u = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        t = self.num_timesteps - 1 - (u * points).long() * self.skip
        edge = self.start(t)
        previous = torch.maximum(t - self.skip, edge)
        if end == "clean":
            return t, previous, torch.full_like(t, -1)
        if end == "edge":
            return t, previous, edge
        span = (previous - edge + 1).double()
        return t, previous, edge + (torch.rand(count, generator=generator).double() * span).long()


def pseudo_huber(a: Tensor, b: Tensor) -> Tensor:
    """sqrt(|a - b|^2 + c^2) - c a picture, c = 0.00054 sqrt(d) (Song and Dhariwal, 2023); float32 (B,)."""
    difference = (a.float() - b.float()).flatten(1)
    c = 0.00054 * difference.shape[1] ** 0.5
    return (difference.square().sum(1) + c * c).sqrt() - c


def consistency_loss(
    student: Predict, target: Predict, teacher: Predict, x0: Tensor, times: tuple[Tensor, Tensor, Tensor],
    schedule: NoiseSchedule, generator: torch.Generator, distance: Callable[[Tensor, Tensor], Tensor] = pseudo_huber,
    offset_noise: float = 0.0,
) -> Tensor:  # fmt: skip
    """TSCD loss, Hyper-SD Algorithm 1, float32 (B,).

    d(jump(x_t, student, t_end), jump(x̂_{t-1}, target, t_end)), where x̂_{t-1} is one DDIM step of the guided teacher.
    `offset_noise` adds a constant per channel to the noise (the paper's noise perturbation; its form is our choice).
    """
    t, previous, end = times
    eps = torch.randn(x0.shape, generator=generator)
    if offset_noise:
        eps = eps + offset_noise * torch.randn((*x0.shape[:2], 1, 1), generator=generator)
    x_t = schedule.add_noise(x0, eps, t)
    with torch.no_grad():
        x_previous = schedule.jump(teacher(x_t, t), x_t, t, previous)
        # At t_{n-1} = t_end the jump is the identity: no network needed, but a batch is run as one.
        goal = schedule.jump(target(x_previous, previous.clamp_min(0)), x_previous, previous, end)
        goal = torch.where((previous == end).view(-1, 1, 1, 1), x_previous, goal)
    reached = schedule.jump(student(x_t, t), x_t, t, end)
    return distance(reached, goal)
