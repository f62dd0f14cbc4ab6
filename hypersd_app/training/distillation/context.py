"""What every term of a method works with: networks, schedule, batches, and how latents become pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from hypersd_app.diffusion.samplers import guided
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.distributed import Workers
from hypersd_app.training.core.random_streams import WHOLE, Draws
from hypersd_app.training.distillation.config import StudentConfig, at_stage, stage_of
from hypersd_app.training.distillation.losses.reward_math import Reward, Segmenter
from hypersd_app.training.distillation.networks import Networks

Predict = Callable[[Tensor, Tensor], Tensor]
Role = Callable[[Tensor, Tensor, Conditioning], Tensor]


@dataclass(frozen=True)
class Batch:
    """Latents float32 (B, C, H, W) with their captions: `rows` of a step's `total`."""

    x0: Tensor
    conditioning: Conditioning
    captions: Sequence[str]
    seed: int
    total: int
    rows: slice = field(default_factory=lambda: WHOLE)

    def draws(self, step: int, purpose: str) -> Draws:
        """Random numbers for these rows."""
        return Draws.of(self.seed, step, purpose, self.total, self.rows)

    def thinned(self, every: int) -> Batch:
        """Every so-many-th row, for a term too dear for all of them. `every` divides the number of rows of each process."""
        if every == 1:
            return self
        rows = slice(*(edge if edge is None else edge // every for edge in (self.rows.start, self.rows.stop)))
        told = self.conditioning.each(lambda part: part[::every])
        return Batch(self.x0[::every], told, self.captions[::every], self.seed, self.total // every, rows)


class Source(Protocol):
    """Where pictures and captions come from, and how captions become conditions."""

    def batch(self, step: int, total: int) -> tuple[Tensor, list[str]]:
        """All rows of a step: latents float32 (total, C, H, W) and captions, "" where dropped. A function of the step."""
        ...

    def condition(self, captions: Sequence[str]) -> Conditioning:
        """What the network is told of captions; "" is what guidance extrapolates from."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures in [-1, 1], float (B, 3, H, W), differentiable."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Noise and the teacher's picture of it, with captions: float32 (N, C, H, W) each."""

    noise: Tensor
    x0: Tensor
    captions: Sequence[str]


@dataclass(frozen=True)
class Helpers:
    """What only some terms need, opened when first asked for. Each may raise ModelUnavailable."""

    pairs: Callable[[], Pairs]
    reward: Callable[[str], Reward]
    segmenter: Callable[[], Segmenter]


@dataclass(frozen=True)
class Kit:
    """`stages` and `end` are the method's, unless the config has its own."""

    config: StudentConfig
    stages: tuple[tuple[int, float], ...]
    end: str
    networks: Networks
    schedule: NoiseSchedule
    workers: Workers
    source: Source
    helpers: Helpers

    @property
    def device(self) -> torch.device:
        """Where networks compute."""
        return self.workers.device

    def stage(self, step: int) -> int:
        """The stage of a step."""
        return stage_of(self.stages, step, self.config.loop.steps)

    def segments(self, step: int) -> int:
        """The number of segments at a step."""
        return self.stages[self.stage(step)][0]

    def weight(self, weights: tuple[float, ...], step: int) -> float:
        """A weight that depends on the stage."""
        return at_stage(weights, self.stage(step))

    def bind(self, role: Role, conditioning: Conditioning) -> Predict:
        """A role with its captions."""
        return lambda x, t: role(x, t, conditioning)

    def guided_teacher(self, conditioning: Conditioning) -> Predict:
        """The teacher with the guidance that is baked into the student."""
        empty = self.source.condition([""]).to(self.device).rows(len(conditioning))
        return guided(self.networks.teacher, conditioning, empty, self.config.guidance_scale, Conditioning.join)


class Term(Protocol):
    """One part of a method's loss, with whatever learns beside the student for it."""

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        """A weighted scalar loss and figures to log, or None where it has nothing to say at this step."""
        ...

    def learning(self) -> dict[str, object]:
        """What has to be kept in a checkpoint beside the student."""
        ...
