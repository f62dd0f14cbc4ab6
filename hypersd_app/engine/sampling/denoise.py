"""The sampling loop: what diffusers' pipelines compute, without what a live image doesn't need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hypersd_app.diffusion.guidance import guide
from hypersd_app.diffusion.noise import noise
from hypersd_app.engine.device_time import Clock
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Denoiser
from hypersd_app.engine.sampling.painting import Painting
from hypersd_app.engine.sampling.schedules import Schedule

StepCallback = Callable[[int, int, Tensor], None]  # step, steps, and what the image's latents look like by now


@dataclass(frozen=True)
class ControlBatch:
    """A ControlNet with its images, uint8 (B, H, W, 3), and a scale for each, (B, 1, 1, 1)."""

    network: ControlNetwork
    images: Tensor
    scales: Tensor

    def rows(self, indices: Tensor) -> ControlBatch:
        """Those of some images."""
        return ControlBatch(self.network, self.images[indices], self.scales[indices])


@dataclass(frozen=True)
class Rows:
    """Text of some images of a batch, `indices` int64 (n,): prompts of unlike lengths cannot be one tensor."""

    indices: Tensor
    conditioning: Conditioning


StepWords = Conditioning | Sequence[Rows]  # what all images read in one step


def sample(  # noqa: PLR0913 - one for one with the symbols of a sampling loop
    denoiser: Denoiser,
    schedule: Schedule,
    generators: Sequence[torch.Generator],
    shape: tuple[int, int, int],
    words: StepWords | Callable[[int], StepWords],
    *,
    device: torch.device,
    guidance_scale: float | None = None,
    control: ControlBatch | None = None,
    painting: Painting | None = None,
    clock: Clock,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Latents float32 (B, C, h, w). With a guidance scale, `words` hold the unconditional half first.

    Words that change from step to step are asked for with the number of the step, counted from 1.
    """
    eps = noise(generators, shape).to(device)
    latents = eps * schedule.init_noise_sigma if painting is None else painting.start(schedule, eps)
    if guidance_scale is not None and control is not None:
        control = ControlBatch(control.network, control.images.repeat(2, 1, 1, 1), control.scales.repeat(2, 1, 1, 1))
    for number, t in enumerate(schedule.timesteps):
        model_input = torch.cat([latents, latents]) if guidance_scale is not None else latents
        now = words(number + 1) if callable(words) else words
        if isinstance(now, Conditioning):
            prediction = _predict(denoiser, model_input, t, now, control, clock)
        else:
            prediction = torch.empty_like(model_input, dtype=torch.float32)
            for part in now:
                theirs = None if control is None else control.rows(part.indices)
                prediction[part.indices] = _predict(denoiser, model_input[part.indices], t, part.conditioning, theirs, clock)
        if guidance_scale is not None:
            prediction = guide(prediction, guidance_scale)
        latents, expected = schedule.step(number, prediction, latents, generators)
        if painting is not None:
            latents = painting.kept(latents, eps, schedule.level(number + 1))
        if on_step is not None:
            on_step(number + 1, len(schedule.timesteps), expected)
    return latents


def _predict(
    denoiser: Denoiser, latents: Tensor, t: Tensor, words: Conditioning, control: ControlBatch | None, clock: Clock
) -> Tensor:
    residuals = None
    if control is not None:
        with clock("control"):
            residuals = control.network(latents, t, words, control.images, control.scales)
    with clock("unet"):
        return denoiser(latents, t, words, residuals)
