"""What one step makes of drawings, and what the ControlNet learns from it beside real latents."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.training.controlnet.dataset import Batch
from hypersd_app.training.controlnet.dmd import Follow, SketchScore, SketchScoreConfig
from hypersd_app.training.controlnet.feedback import SketchFeedback
from hypersd_app.training.core.device import memory_format, mixed_precision
from hypersd_app.training.core.loop import Stateful


@dataclass(frozen=True, kw_only=True)
class FirstStepConfig:
    """The weights of what is learnt there. Real latents count less: no single step can meet them, and their mean is a blur."""

    followed: float = 0.4  # of real latents
    unsure: float = 0.15  # of feedback's two parts; more of it draws spots of colour that its judge likes
    faint: float = 0.1  # more of it draws grids, which have contrast everywhere
    second: float = 0.5  # the share that goes on to a second step, and is judged again
    again: float = 0.2  # of real latents after that
    score: SketchScoreConfig = field(default_factory=SketchScoreConfig)


class FirstStep:
    """Its losses. `follow` gives the student as it follows control images (B, 3, 256, 256); `score` may be left out."""

    def __init__(
        self,
        config: FirstStepConfig,
        follow: Follow,
        schedule: NoiseSchedule,
        feedback: SketchFeedback,
        score: SketchScore | None,
    ) -> None:
        self.config, self.follow, self.schedule, self.feedback, self.score = config, follow, schedule, feedback, score

    def state(self) -> dict[str, Stateful]:
        """What the checkpoint has to hold beside the ControlNet."""
        return {} if self.score is None else {"fake": self.score.auxiliary}

    def __call__(self, x0: Tensor, drawn: Batch, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Weighed losses of the latents (B, 16, 16, 16) that one step made of drawings, and figures for the log.

        The first rows are looked at more closely: they are in no order.
        """
        again = drawn.rows(slice(math.ceil(self.config.second * len(x0))))
        x0_again = self._second_step(x0[: len(again.text)].detach(), again, generator)
        latents, control, things = (
            torch.cat(pair)
            for pair in ((drawn.latents, again.latents), (drawn.control, again.control), (drawn.things, again.things))
        )
        with mixed_precision():
            verdict = self.feedback(torch.cat([x0, x0_again]), latents, control, things)
        losses = {
            "again": self.config.again * (x0_again - again.latents).square().mean(),
            "unsure": self.config.unsure * verdict.unsure.sum() / (things >= 0).sum().clamp(min=1),
            "faint": self.config.faint * verdict.faint.mean(),
        }
        if self.score is None:
            return losses, {}
        some = drawn.rows(slice(self.config.score.rows))
        matching, fake = self.score(x0[: len(some.text)], some.control, some.text, generator)
        return {**losses, "matching": self.config.score.weight * matching.mean()}, {"fake": fake}

    def _second_step(self, x0: Tensor, drawn: Batch, generator: torch.Generator) -> Tensor:
        """What the second of 2-8 steps makes of what the first one made, as `sample_tcd` goes on with eta 1."""
        starts = torch.stack([trailing_timesteps(self.schedule.num_timesteps, steps)[1] for steps in range(2, 9)])
        t = starts[torch.randint(len(starts), (len(x0),), generator=generator)].to(x0.device)
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        x_t = self.schedule.add_noise(x0, eps, t).contiguous(memory_format=memory_format())
        with mixed_precision():
            prediction = self.follow(drawn.control)(x_t, t, drawn.text)
        return self.schedule.split(prediction, x_t, t)[0]
