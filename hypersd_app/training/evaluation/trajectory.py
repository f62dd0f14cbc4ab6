"""Error of a student's jump over a segment against the guided teacher's trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.training.core.device import mixed_precision

SEGMENTS = (1, 2, 4, 8)
TEACHER_STEPS = 24  # of the whole time line: a multiple of every number of segments


@torch.no_grad()
def trajectory_errors(
    student: Any,
    teacher: Any,
    x0: Tensor,
    conditioning: Tensor,
    unconditional: Tensor,
    guidance_scale: float,
    schedule: NoiseSchedule,
    seed: int,
) -> Mapping[int, list[float]]:
    """For each number of segments the error of each segment, the noisiest first.

    From real latents noised to the segment's start, student and teacher go to its end; the error is the root mean square
    of their difference over that of the teacher's way, so 1 is as bad as not moving at all.
    """
    with mixed_precision():
        quick = guided(lambda x, t, c: student(x, t, c, return_dict=False)[0], conditioning, unconditional, 0.0)
        slow = guided(lambda x, t, c: teacher(x, t, c, return_dict=False)[0], conditioning, unconditional, guidance_scale)
        found = {}
        for count in SEGMENTS:
            starts = trailing_timesteps(schedule.num_timesteps, count).tolist()
            grid = trailing_timesteps(schedule.num_timesteps, TEACHER_STEPS).tolist()
            per_segment = TEACHER_STEPS // count
            errors = []
            for number, (start, end) in enumerate(zip(starts, [*starts[1:], -1], strict=True)):
                t, s = (torch.full((len(x0),), value) for value in (start, end))
                eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(seed + 1000 * count + number))
                x_t = schedule.add_noise(x0, eps, t)
                way = [start, *grid[number * per_segment + 1 : (number + 1) * per_segment]]
                goal = sample_ddim(slow, x_t, way, schedule, last=end)
                reached = schedule.jump(quick(x_t, t), x_t, t, s)
                errors.append(float((reached - goal).square().mean().sqrt() / (goal - x_t).square().mean().sqrt()))
            found[count] = errors
    return found
