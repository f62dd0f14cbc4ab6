"""The sampling loop: what diffusers' pipelines compute, without what a live picture doesn't need."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hypersd_app.catalog.rows import Recipe
from hypersd_app.engine.clock import Clock
from hypersd_app.engine.networks import Conditioning, ControlNetwork, Denoiser

StepCallback = Callable[[int, int, Tensor], None]  # step, steps, and what the picture's latents look like by now


@dataclass(frozen=True)
class ControlBatch:
    """A ControlNet with its pictures, float32 (B, 3, H, W) in [0, 1], and a scale for each, (B, 1, 1, 1)."""

    network: ControlNetwork
    pictures: Tensor
    scales: Tensor


def new_scheduler(recipe: Recipe, config: dict[str, Any]) -> Any:
    """The recipe's diffusers scheduler on the model's own noise schedule."""
    import diffusers

    return getattr(diffusers, recipe.scheduler).from_config(config, **dict(recipe.scheduler_arguments))


class Schedulers:
    """One model's scheduler with a recipe, its timesteps set once for each number of steps. Use under the device lock."""

    def __init__(self, recipe: Recipe, config: dict[str, Any]) -> None:
        self._recipe = recipe
        self._template = new_scheduler(recipe, config)
        self._set: dict[int, Any] = {}

    def started(self, num_inference_steps: int) -> Any:
        """A scheduler for one call: its step index changes while it runs, so calls never share one."""
        if num_inference_steps not in self._set:
            self._set[num_inference_steps] = self._with_timesteps(num_inference_steps)
        # A shallow copy is enough, since schedulers replace their attributes and never write into them.
        return copy.copy(self._set[num_inference_steps])

    def _with_timesteps(self, num_inference_steps: int) -> Any:
        scheduler = copy.copy(self._template)
        if self._recipe.timesteps is not None:
            scheduler.set_timesteps(timesteps=list(self._recipe.timesteps))
        else:
            scheduler.set_timesteps(num_inference_steps)
        return scheduler


def initial_noise(generators: Sequence[torch.Generator], shape: tuple[int, int, int]) -> Tensor:
    """One noise a generator, float32 (B, C, h, w), drawn on the CPU so that every device starts the same."""
    return torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])


def sample(
    denoiser: Denoiser,
    scheduler: Any,
    generators: Sequence[torch.Generator],
    shape: tuple[int, int, int],
    conditioning: Conditioning,
    *,
    device: torch.device,
    guidance_scale: float = 0.0,
    eta: float = 0.0,
    control: ControlBatch | None = None,
    clock: Clock,
    on_step: StepCallback | None = None,
) -> Tensor:
    """Latents float32 (B, C, h, w). With a guidance scale above 1, `conditioning` holds the unguided half first."""
    guided = guidance_scale > 1
    latents = initial_noise(generators, shape).to(device) * scheduler.init_noise_sigma
    extra = step_arguments(scheduler, eta, list(generators))
    if guided and control is not None:
        control = ControlBatch(control.network, control.pictures.repeat(2, 1, 1, 1), control.scales.repeat(2, 1, 1, 1))
    for i, t in enumerate(scheduler.timesteps):
        model_input = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, t)
        residuals = None
        if control is not None:
            with clock("control"):
                residuals = control.network(model_input, t, conditioning, control.pictures, control.scales)
        with clock("unet"):
            prediction = denoiser(model_input, t, conditioning, residuals)
        if guided:
            without, with_ = prediction.chunk(2)
            prediction = without + guidance_scale * (with_ - without)
        stepped = scheduler.step(prediction, t, latents, **extra)
        latents = stepped.prev_sample
        if on_step is not None:
            expected = getattr(stepped, "pred_original_sample", None)
            on_step(i + 1, len(scheduler.timesteps), latents if expected is None else expected)
    return latents


def step_arguments(scheduler: Any, eta: float, generators: list[torch.Generator]) -> dict[str, Any]:
    """`eta` and `generator`, as far as this scheduler's step takes them."""
    accepted = inspect.signature(scheduler.step).parameters
    offered = {"eta": eta, "generator": generators}
    return {name: value for name, value in offered.items() if name in accepted}


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [-1, 1] to uint8 (B, H, W, 3), rounded as diffusers rounds."""
    if pictures.device.type != "cpu":
        scaled = pictures.mul(0.5).add_(0.5).clamp_(0, 1).mul_(255).round_()
        return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    # Not by torch, which would share so little among threads and wait for the one whose core a browser has taken.
    values = pictures.numpy() * np.float32(127.5)
    values += np.float32(127.5)
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    return np.stack(list(values.astype(np.uint8).swapaxes(0, 1)), axis=-1)


def to_pictures(pixels: NDArray[np.uint8]) -> list[Image.Image]:
    """One PIL picture a row."""
    return [Image.fromarray(row) for row in pixels]
