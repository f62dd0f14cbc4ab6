"""Diffusers' schedulers as weighted sums: each step is one, and asked for its weights once it takes a fifth of the time.

A step of `TCDScheduler` is some thirty operations on numbers in tensors, 0.35 ms after a network has emptied the caches.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor

from hypersd_app.catalog.specs import TIMESTEPS, Recipe
from hypersd_app.diffusion.noise import noise

KEPT = 64  # schedules of one model and recipe; eta is any number a visitor likes
LINEAR = ("TCDScheduler", "DDIMScheduler", "LCMScheduler")  # whose steps depend on nothing that came before
CLIPPING = ("clip_sample", "thresholding")  # options with which a step is no sum
Level = tuple[float, float]  # alpha of the clean image and sigma of the noise, as the forward process mixes them
Stepped = tuple[Tensor, Tensor]  # the next latents, and what the image's latents look like by now


class Schedule(Protocol):
    """The steps of a run, the same for every run. `from_noise`: it starts from noise alone."""

    @property
    def from_noise(self) -> bool:
        """False if it starts from an init image with noise on it."""
        ...

    @property
    def init_noise_sigma(self) -> float:
        """What the noise that a run starts from is multiplied by."""
        ...

    @property
    def timesteps(self) -> Sequence[Tensor]:
        """A scalar for each step."""
        ...

    def level(self, number: int) -> Level:
        """What latents at the start of step `number` are made of; the clean image alone after the last step."""
        ...

    def step(self, number: int, prediction: Tensor, latents: Tensor, generators: Sequence[torch.Generator]) -> Stepped:
        """Go on from step `number`; each image has a generator of its own."""
        ...


class Schedulers:
    """One model's scheduler with a recipe, for any number of steps. Use under the device lock.

    Raises ValueError for a scheduler whose steps are no weighted sums of their own, as multistep solvers' are not.
    """

    def __init__(self, recipe: Recipe, config: dict[str, Any]) -> None:
        if recipe.scheduler not in LINEAR:
            raise ValueError(f"scheduler {recipe.scheduler!r}: the sampling loop runs {', '.join(LINEAR)}")
        self._recipe = recipe
        self._template = new_scheduler(recipe, config)
        self.schedule = lru_cache(KEPT)(self._new_schedule)

    def _new_schedule(self, num_inference_steps: int, eta: float, strength: float | None = None) -> Schedule:
        scheduler = copy.copy(self._template)
        late = 1.0 if strength is None else strength
        if self._recipe.timesteps is not None:
            scheduler.set_timesteps(timesteps=[t for t in self._recipe.timesteps if t < round(late * TIMESTEPS)])
        elif late < 1:
            begin_late(scheduler, num_inference_steps, late)
        else:
            scheduler.set_timesteps(num_inference_steps)
        stepwise = StepwiseSchedule(scheduler, eta, from_noise=late == 1)
        clips = any(scheduler.config.get(option) for option in CLIPPING)
        return stepwise if clips else WeightedSchedule.of(stepwise)


def new_scheduler(recipe: Recipe, config: dict[str, Any]) -> Any:
    """The recipe's diffusers scheduler on the model's own noise schedule."""
    import diffusers

    return getattr(diffusers, recipe.scheduler).from_config(config, **dict(recipe.scheduler_arguments))


def begin_late(scheduler: Any, num_inference_steps: int, strength: float) -> None:
    """Set timesteps from `strength` of the way on, in (0, 1): that is timestep T strength - 1.

    TCD and LCM walk from there in as many steps, since they jump as far as they like, as diffusers does for them. DDIM keeps
    its stride and leaves steps out; where `strength` is a multiple of the stride these are the ones that diffusers leaves out.
    """
    total = scheduler.config.num_train_timesteps
    if "strength" in inspect.signature(scheduler.set_timesteps).parameters:
        points = max(1, round(strength * scheduler.config.original_inference_steps))
        share = (points + 0.5) / scheduler.config.original_inference_steps  # half a point more, as it is rounded down
        scheduler.set_timesteps(min(num_inference_steps, points), strength=share)
        return
    scheduler.set_timesteps(num_inference_steps)
    stride = total / num_inference_steps
    grid = [round(strength * total - i * stride) - 1 for i in range(num_inference_steps)]
    scheduler.timesteps = torch.tensor([t for t in grid if t >= 0] or [0])


class StepwiseSchedule:
    """A diffusers scheduler that does each step itself."""

    def __init__(self, scheduler: Any, eta: float, *, from_noise: bool = True) -> None:
        self._scheduler = scheduler
        self._eta = eta
        self._accepted = inspect.signature(scheduler.step).parameters
        self.init_noise_sigma = float(scheduler.init_noise_sigma)
        self.timesteps: Sequence[Tensor] = list(scheduler.timesteps)
        self.from_noise = from_noise
        clean = scheduler.alphas_cumprod.double()[torch.stack(list(self.timesteps)).long()]
        self.levels: list[Level] = list(zip(clean.sqrt().tolist(), (1 - clean).sqrt().tolist(), strict=True))

    def level(self, number: int) -> Level:
        """As the protocol says."""
        return self.levels[number] if number < len(self.levels) else (1.0, 0.0)

    def step(self, number: int, prediction: Tensor, latents: Tensor, generators: Sequence[torch.Generator]) -> Stepped:
        """As the protocol says."""
        # A shallow copy is enough, since schedulers replace their attributes and never write into them.
        scheduler = copy.copy(self._scheduler)
        scheduler._step_index = number
        offered = {"eta": self._eta, "generator": list(generators)}
        extra = {name: value for name, value in offered.items() if name in self._accepted}
        found = scheduler.step(prediction, self.timesteps[number], latents, **extra)
        expected = getattr(found, "pred_original_sample", None)
        return found.prev_sample, found.prev_sample if expected is None else expected


@dataclass(frozen=True)
class Weights:
    """What a sum takes of the latents, of the prediction, and of new noise."""

    latents: float
    prediction: float
    noise: float = 0.0


@dataclass(frozen=True)
class WeightedSchedule:
    """A scheduler's steps as sums, for the next latents and for the expected image's."""

    init_noise_sigma: float
    timesteps: Sequence[Tensor]
    steps: Sequence[tuple[Weights, Weights]]
    levels: Sequence[Level] = ()
    from_noise: bool = True

    @staticmethod
    def of(schedule: StepwiseSchedule) -> WeightedSchedule:
        """The same steps."""
        steps = [_weights(schedule, number) for number in range(len(schedule.timesteps))]
        return WeightedSchedule(schedule.init_noise_sigma, schedule.timesteps, steps, schedule.levels, schedule.from_noise)

    def level(self, number: int) -> Level:
        """As the protocol says."""
        return self.levels[number] if number < len(self.levels) else (1.0, 0.0)

    def step(self, number: int, prediction: Tensor, latents: Tensor, generators: Sequence[torch.Generator]) -> Stepped:
        """As the protocol says."""
        following, expected = self.steps[number]
        found = _sum(following, latents, prediction)
        if following.noise:
            found = found.add(noise(generators, latents.shape[1:]).to(latents.device), alpha=following.noise)
        return found, found if expected == following else _sum(expected, latents, prediction)


def _weights(schedule: StepwiseSchedule, number: int) -> tuple[Weights, Weights]:
    """Of one step, by what it makes of a one among zeros."""
    # In double precision, or the weights would be a little off where large terms cancel.
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    seed = 0

    def asked(prediction: Tensor, latents: Tensor) -> list[float]:
        return [float(found) for found in schedule.step(number, prediction, latents, [torch.Generator().manual_seed(seed)])]

    drawn = float(torch.randn(1, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    noises, of_prediction, of_latents = asked(zero, zero), asked(one, zero), asked(zero, one)
    following, expected = (
        Weights(by_latents - by_noise, by_prediction - by_noise, by_noise / drawn)
        for by_noise, by_prediction, by_latents in zip(noises, of_prediction, of_latents, strict=True)
    )
    return following, expected


def _sum(weights: Weights, latents: Tensor, prediction: Tensor) -> Tensor:
    return latents.mul(weights.latents).add_(prediction, alpha=weights.prediction)
