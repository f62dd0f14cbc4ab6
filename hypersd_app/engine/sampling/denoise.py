"""The sampling loop: what diffusers' pipelines compute, without what a live picture doesn't need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hypersd_app.diffusion.guidance import guide
from hypersd_app.diffusion.noise import noise
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Denoiser
from hypersd_app.engine.sampling.painting import Painting
from hypersd_app.engine.sampling.schedules import Schedule
from hypersd_app.engine.sampling.timing import Clock

StepCallback = Callable[[int, int, Tensor], None]  # step, steps, and what the picture's latents look like by now


@dataclass(frozen=True)
class ControlBatch:
    """A ControlNet with its pictures, uint8 (B, H, W, 3), and a scale for each, (B, 1, 1, 1)."""

    network: ControlNetwork
    pictures: Tensor
    scales: Tensor


def sample(  # noqa: PLR0913 - one for one with the symbols of a sampling loop
    denoiser: Denoiser,
    schedule: Schedule,
    generators: Sequence[torch.Generator],
    shape: tuple[int, int, int],
    conditioning: Conditioning,
    *,
    device: torch.device,
    guidance_scale: float | None = None,
    control: ControlBatch | None = None,
    painting: Painting | None = None,
    clock: Clock,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Latents float32 (B, C, h, w). With a guidance scale, `conditioning` holds the unconditional half first."""
    eps = noise(generators, shape).to(device)
    latents = eps * schedule.init_noise_sigma if painting is None else painting.start(schedule, eps)
    if guidance_scale is not None and control is not None:
        control = ControlBatch(control.network, control.pictures.repeat(2, 1, 1, 1), control.scales.repeat(2, 1, 1, 1))
    for number, t in enumerate(schedule.timesteps):
        model_input = torch.cat([latents, latents]) if guidance_scale is not None else latents
        residuals = None
        if control is not None:
            with clock("control"):
                residuals = control.network(model_input, t, conditioning, control.pictures, control.scales)
        with clock("unet"):
            prediction = denoiser(model_input, t, conditioning, residuals)
        if guidance_scale is not None:
            prediction = guide(prediction, guidance_scale)
        latents, expected = schedule.step(number, prediction, latents, generators)
        if painting is not None:
            latents = painting.kept(latents, eps, schedule.level(number + 1))
        if on_step is not None:
            on_step(number + 1, len(schedule.timesteps), expected)
    return latents
