"""The consistency loss on trajectory segments, with an adversarial part."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.diffusion.segments import Segments
from hypersd_app.training.core.auxiliary import AuxiliaryNetwork
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.distillation.config import Weights, at_stage
from hypersd_app.training.distillation.context import Batch, Context
from hypersd_app.training.distillation.losses.adversarial import Heads, discriminator_loss, student_loss
from hypersd_app.training.distillation.losses.consistency_math import DISTANCES, consistency_pair, perturbed_noise

# By stage: grows as segments become fewer, as in the paper; it gives no values, these are ours.
TSCD_ADVERSARIAL: Weights = (0.0, 0.0, 0.1, 0.2)


class ConsistencyLoss:
    """d(student's jump, target's jump), Hyper-SD Algorithm 1: squared error or pseudo-Huber, plus an adversarial loss.

    `adversarial` holds the adversarial loss's weight by stage unless the config has its own; () disables it in any case.
    The discriminator's real samples are noised "data", our choice for TSCD, or the "target" of the same jump, as in PCM.
    """

    def __init__(self, context: Context, adversarial: Weights = TSCD_ADVERSARIAL, real: str = "data") -> None:
        assert real in ("data", "target"), real
        self.context, self.real = context, real
        self.distance = DISTANCES[context.config.distance]
        self.weights = context.config.adversarial.weights or adversarial if adversarial else (0.0,)
        self.heads: Heads | None = None
        if any(at_stage(self.weights, stage) for stage in range(len(context.stages))):
            self.heads = Heads(context.networks.feature_channels).to(context.device)
            self.auxiliary = AuxiliaryNetwork(dict(self.heads.named_parameters()), context.config.adversarial.lr, context.processes)

    def state(self) -> dict[str, Stateful]:
        return {} if self.heads is None else {"heads": self.auxiliary}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        context, x0, stream = self.context, batch.x0, batch.stream(step, "consistency")
        segments = Segments(context.schedule.num_timesteps, context.segments(step), context.config.skip)
        t, previous, end = (time.to(x0.device) for time in segments.draw(stream.stratified(), stream.uniform(), context.end))
        eps = perturbed_noise(stream.normal(x0), stream.normal(x0[:, :, :1, :1]), context.config.offset_noise)
        networks, conditioning = context.networks, batch.conditioning
        reached, goal = consistency_pair(
            context.bind(networks.student, conditioning),
            context.bind(networks.target, conditioning),
            context.guided_teacher(conditioning),
            context.schedule.add_noise(x0, eps, t),
            (t, previous, end),
            context.schedule,
        )
        loss = self.distance(reached, goal).mean()
        figures = {"segments": float(segments.num_segments), "consistency": float(loss.detach())}
        weight = context.weight(self.weights, step)
        if self.heads is None or not weight:
            return loss, figures
        adversarial, more = self._adversarial(step, batch, reached, goal, end)
        return loss + weight * adversarial, figures | more

    def _adversarial(self, step: int, batch: Batch, reached: Tensor, goal: Tensor, end: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The student's adversarial loss, after a discriminator step on this batch; both sides are re-noised alike."""
        assert self.heads is not None
        context, stream, conditioning = self.context, batch.stream(step, "adversarial"), batch.conditioning
        lowest = end.clamp_min(0)
        highest = torch.maximum(
            lowest, torch.full_like(lowest, int(context.config.adversarial.highest * context.schedule.num_timesteps))
        )
        tau = lowest + (stream.uniform().to(end.device) * (highest - lowest + 1)).long()
        tau = tau.clamp_max(context.schedule.num_timesteps - 1)
        made_tau = context.schedule.renoise(reached, stream.normal(reached), end, tau)
        real_x, since = (goal, end) if self.real == "target" else (batch.x0, torch.full_like(end, -1))
        real_tau = context.schedule.renoise(real_x, stream.normal(reached), since, tau)
        made = context.networks.features(made_tau, tau, conditioning)
        with torch.no_grad():
            real = context.networks.features(real_tau, tau, conditioning)
        discriminator = discriminator_loss(self._logits(real), self._logits([feature.detach() for feature in made]))
        self.auxiliary.update(discriminator)
        loss = student_loss(self._logits(made)).mean()
        return loss, {"heads": float(discriminator.detach()), "adversarial": float(loss.detach())}

    def _logits(self, features: list[Tensor]) -> list[Tensor]:
        assert self.heads is not None
        return self.heads([feature.float() for feature in features])
