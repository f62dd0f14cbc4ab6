"""The consistency loss on trajectory segments, with an adversarial part."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.diffusion.segments import Segments
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.config import Weights, at_stage
from hypersd_app.training.distillation.context import Batch, Context, Predict
from hypersd_app.training.distillation.losses.consistency_math import DISTANCES, consistency_pair, perturbed_noise
from hypersd_app.training.distillation.losses.discriminator import Discriminator, noise_levels

# By stage: the adversarial loss grows and the distance falls as segments become fewer, as in the paper; it gives no values,
# these are ours.
TSCD_ADVERSARIAL: Weights = (0.0, 0.0, 0.1, 0.2)
TSCD_DISTANCE: Weights = (1.0, 1.0, 0.75, 0.5)


class ConsistencyLoss:
    """d(student's jump, target's jump), Hyper-SD Algorithm 1: squared error or pseudo-Huber, plus an adversarial loss.

    `adversarial` holds the adversarial loss's weight by stage unless the config has its own; () disables it in any case,
    and leaves the distance at 1 throughout. The discriminator's real samples are noised "data", our choice for TSCD, or the
    "target" of the same jump, as in PCM, whose noise ends where the jump's phase begins.
    """

    def __init__(self, context: Context, adversarial: Weights = TSCD_ADVERSARIAL, real: str = "data") -> None:
        assert real in ("data", "target"), real
        config = context.config
        self.context, self.real = context, real
        self.distance = DISTANCES[config.distance]
        self.weights = config.adversarial.weights or adversarial if adversarial else (0.0,)
        self.distance_weights = config.mse_weights or (TSCD_DISTANCE if adversarial is TSCD_ADVERSARIAL else (1.0,))
        self.discriminator: Discriminator | None = None
        if any(at_stage(self.weights, stage) for stage in range(len(context.stages))):
            self.discriminator = Discriminator(context)

    def state(self) -> dict[str, Stateful]:
        return {} if self.discriminator is None else {"heads": self.discriminator.auxiliary}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        context, x0, stream = self.context, batch.x0, batch.stream(step, "consistency")
        segments = Segments(context.schedule.num_timesteps, context.segments(step), context.config.skip)
        t, previous, end = (time.to(x0.device) for time in segments.draw(stream.stratified(), stream.uniform(), context.end))
        eps = perturbed_noise(stream.normal(x0), stream.normal(x0[:, :, :1, :1]), context.config.offset_noise)
        student, target, teacher = self._roles(batch.conditioning, stream)
        x_t = context.schedule.add_noise(x0, eps, t)
        reached, goal = consistency_pair(student, target, teacher, x_t, (t, previous, end), context.schedule)
        distance = self.distance(reached, goal).mean()
        loss = context.weight(self.distance_weights, step) * distance
        figures = {"segments": float(segments.num_segments), "consistency": float(distance.detach())}
        weight = context.weight(self.weights, step)
        if self.discriminator is None or not weight:
            return loss, figures
        adversarial, more = self._adversarial(step, batch, reached, goal, end)
        return loss + weight * adversarial, figures | more

    def _roles(self, conditioning: Conditioning, stream: RandomStream) -> tuple[Predict, Predict, Predict]:
        """Student, target and guided teacher. Where guidance is kept, all three are guided, by one scale a step."""
        context, networks, kept = self.context, self.context.networks, self.context.config.kept_guidance
        if kept is None:
            student, target = (context.bind(role, conditioning) for role in (networks.student, networks.target))
            return student, target, context.guided_teacher(conditioning)
        scale = kept[0] + (kept[1] - kept[0]) * stream.pick(1001) / 1000
        return (
            context.guided(networks.student, conditioning, scale),
            context.guided(networks.target, conditioning, scale),
            context.guided_teacher(conditioning, scale),
        )

    def _adversarial(self, step: int, batch: Batch, reached: Tensor, goal: Tensor, end: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The student's adversarial loss, after a discriminator step on this batch; both sides are re-noised alike."""
        assert self.discriminator is not None
        context, stream = self.context, batch.stream(step, "adversarial")
        count = context.schedule.num_timesteps
        highest = torch.full_like(end, int(context.config.adversarial.highest * count))
        if self.real == "target":
            # PCM's adversarial loss (Wang et al., 2024): noise within the jump's own phase, which begins a phase above its edge.
            highest = end + count // context.segments(step)
        tau = noise_levels(stream, end, highest, count)
        real, since = (goal, end) if self.real == "target" else (batch.x0, torch.full_like(end, -1))
        return self.discriminator((reached, end), (real, since), tau, batch.conditioning, stream)
