"""What every loss of a method works with: networks, schedule, batches, and how latents become images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from hypersd_app.diffusion.guidance import guided
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.core.random_streams import WHOLE, RandomStream
from hypersd_app.training.critics.mask_rcnn import MaskRCNNSegmenter
from hypersd_app.training.critics.protocols import Reward, Segmenter
from hypersd_app.training.distillation.config import StudentConfig, at_stage, stage_of
from hypersd_app.training.distillation.networks import Networks

Predict = Callable[[Tensor, Tensor], Tensor]
Role = Callable[[Tensor, Tensor, Conditioning], Tensor]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Latents float32 (B, C, H, W) with their captions: `rows` of a step's `total`."""

    x0: Tensor
    conditioning: Conditioning
    captions: Sequence[str]
    seed: int
    total: int
    rows: slice = field(default_factory=lambda: WHOLE)

    def stream(self, step: int, purpose: str) -> RandomStream:
        """Random numbers for these rows."""
        return RandomStream.of(self.seed, step, purpose, self.total, self.rows)

    def thinned(self, every: int) -> Batch:
        """Every `every`-th row, for losses too expensive for all of them. `every` divides each process's number of rows."""
        if every == 1:
            return self
        rows = slice(*(edge if edge is None else edge // every for edge in (self.rows.start, self.rows.stop)))
        conditioning = self.conditioning.each(lambda part: part[::every])
        return Batch(
            x0=self.x0[::every],
            conditioning=conditioning,
            captions=self.captions[::every],
            seed=self.seed,
            total=self.total // every,
            rows=rows,
        )


class DataSource(Protocol):
    """Training images with captions, and the frozen encoders and decoder around the UNet."""

    def batch(self, step: int, total: int) -> tuple[Tensor, list[str]]:
        """All rows of a step, a pure function of the step: latents float32 (total, C, H, W) and captions, "" where dropped."""
        ...

    def condition(
        self, captions: Sequence[str], *, x0: Tensor | None = None, noise: Tensor | None = None, stream: RandomStream | None = None
    ) -> Conditioning:
        """Encodes captions; "" is the unconditional input of classifier-free guidance.

        Of `x0`, which they describe (with `stream` for what is random), or of the `noise` that sampling begins at, a model may read
        more than the words.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Images in [-1, 1], float (B, 3, H, W), differentiable."""
        ...


@dataclass(frozen=True)
class Pairs:
    """Noise and the image the teacher samples from it, float32 (N, C, H, W) each, with captions."""

    noise: Tensor
    x0: Tensor
    captions: Sequence[str]


@dataclass(frozen=True)
class Resources:
    """What only some losses need, opened on first use. Each may raise ModelUnavailable."""

    pairs: Callable[[], Pairs]
    reward: Callable[[str], Reward]
    segmenter: Callable[[], Segmenter | MaskRCNNSegmenter]


@dataclass(frozen=True, kw_only=True)
class Context:
    """One distillation run. `stages` and `end` are the method's, unless the config has its own."""

    config: StudentConfig
    stages: tuple[tuple[int, float], ...]
    end: str
    networks: Networks
    schedule: NoiseSchedule
    processes: Processes
    source: DataSource
    resources: Resources

    @property
    def device(self) -> torch.device:
        """The device the networks are on."""
        return self.processes.device

    def stage(self, step: int) -> int:
        """The index of a step's stage."""
        return stage_of(self.stages, step, self.config.loop.steps)

    def segments(self, step: int) -> int:
        """The number of segments at a step."""
        return self.stages[self.stage(step)][0]

    def weight(self, weights: tuple[float, ...], step: int) -> float:
        """The step's entry of weights given per stage."""
        return at_stage(weights, self.stage(step))

    def bind(self, role: Role, conditioning: Conditioning) -> Predict:
        """A network role with its conditioning fixed: (x_t, t) -> prediction."""
        return lambda x, t: role(x, t, conditioning)

    def guided_teacher(self, conditioning: Conditioning, scale: float | None = None) -> Predict:
        """The teacher with `scale`, or the guidance that is distilled into the student."""
        return self.guided(self.networks.teacher, conditioning, self.config.guidance_scale if scale is None else scale)

    def guided(self, role: Role, conditioning: Conditioning, scale: float) -> Predict:
        """A network role with classifier-free guidance."""
        empty = self.source.condition([""]).to(self.device).rows(len(conditioning))
        empty = replace(empty, time_ids=conditioning.time_ids)  # sizes belong to the image, not to its words
        return guided(role, conditioning, empty, scale, Conditioning.join)


class Loss(Protocol):
    """One part of a method's loss, with the auxiliary networks it trains."""

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        """A weighted scalar loss and metrics to log, or None where its weight is 0 at this step."""
        ...

    def state(self) -> dict[str, Stateful]:
        """What the checkpoint has to hold beside the student, by a stable name."""
        ...
