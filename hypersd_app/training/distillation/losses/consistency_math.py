"""Consistency distillation on segments, as one pair of jumps over a few choices.

Trajectory segmented consistency distillation is Hyper-SD's (Ren et al., 2024, Algorithm 1). With one segment and a random
end it is TCD (Zheng et al., 2024); with the end fixed at clean data, LCM (Luo et al., 2023); with the end always at the
segment's edge, PCM (Wang et al., 2024).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule

Predict = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> prediction; the caption is bound by the caller


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference an image, float32 (B,)."""
    return (a.float() - b.float()).flatten(1).square().mean(1)


def pseudo_huber(a: Tensor, b: Tensor) -> Tensor:
    """(sqrt(|a - b|^2 + c^2) - c) / sqrt(d) an image, c = 0.00054 sqrt(d) (Song and Dhariwal, 2023); float32 (B,).

    The division is ours: it makes the value the root mean square of the difference, whatever the number d of values,
    so that weights of other losses beside it mean the same for every size of latents.
    """
    return (mean_square(a, b) + 0.00054**2).sqrt() - 0.00054


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"huber": pseudo_huber, "mse": mean_square}


def consistency_pair(
    student: Predict,
    target: Predict,
    teacher: Predict,
    x_t: Tensor,
    times: tuple[Tensor, Tensor, Tensor],
    schedule: NoiseSchedule,
) -> tuple[Tensor, Tensor]:
    """Where the student's jump arrives and where it should: Hyper-SD, Algorithm 1. float32, shaped like `x_t`.

    (jump(x_t, student, t_end), jump(x̂_{t-1}, target, t_end)), where x̂_{t-1} is one DDIM step of the teacher from x_t.
    `times` are (t_n, t_{n-1}, t_end), int64 (B,). The network never sees t_end.
    """
    t, previous, end = times
    with torch.no_grad():
        x_previous = schedule.jump(teacher(x_t, t), x_t, t, previous)
        # At t_{n-1} = t_end the jump is the identity: no network needed, but a batch is run as one.
        goal = schedule.jump(target(x_previous, previous.clamp_min(0)), x_previous, previous, end)
        goal = torch.where((previous == end).view(-1, 1, 1, 1), x_previous, goal)
    return schedule.jump(student(x_t, t), x_t, t, end), goal


def perturbed_noise(eps: Tensor, offset: Tensor, strength: float) -> Tensor:
    """Noise with a constant added to each channel: offset noise, the paper's noise perturbation in a form of our choice.

    `offset` is standard normal, shaped like `eps[:, :, :1, :1]`. Rescaled to unit variance.
    """
    if not strength:
        return eps
    return (eps + strength * offset) / (1 + strength**2) ** 0.5
