"""Consistency on segments, with the adversarial part of its distance."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.diffusion.segments import Segments
from hypersd_app.training.core.auxiliary import Side
from hypersd_app.training.distillation.config import Weights, at_stage
from hypersd_app.training.distillation.context import Batch, Kit
from hypersd_app.training.distillation.losses.adversarial import Heads, discriminator_loss, student_loss
from hypersd_app.training.distillation.losses.consistency_math import DISTANCES, consistency_pair, perturbed_noise

# None while segments are many, more as they become few, as the paper has it; the values are ours, for it gives none.
TSCD_ADVERSARIAL: Weights = (0.0, 0.0, 0.1, 0.2)


class ConsistencyTerm:
    """d(student's jump, target's jump), Hyper-SD Algorithm 1: squared error or pseudo-Huber, plus heads that tell it from others.

    `adversarial` are the heads' weights by stage unless the config has its own; () leaves them out whatever it says.
    What the heads tell it from is `real`: noised "data", our choice for TSCD, or the "target" of the same jump, as PCM does.
    """

    def __init__(self, kit: Kit, adversarial: Weights = TSCD_ADVERSARIAL, real: str = "data") -> None:
        assert real in ("data", "target"), real
        self.kit, self.real = kit, real
        self.distance = DISTANCES[kit.config.distance]
        self.weights = kit.config.adversarial.weights or adversarial if adversarial else (0.0,)
        self.heads: Heads | None = None
        if any(at_stage(self.weights, stage) for stage in range(len(kit.stages))):
            self.heads = Heads(kit.networks.feature_channels).to(kit.device)
            self.side = Side(dict(self.heads.named_parameters()), kit.config.adversarial.lr, kit.workers)

    def learning(self) -> dict[str, object]:
        return {} if self.heads is None else {"heads": self.side}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        kit, x0, draws = self.kit, batch.x0, batch.draws(step, "consistency")
        segments = Segments(kit.schedule.num_timesteps, kit.segments(step), kit.config.skip)
        t, previous, end = (time.to(x0.device) for time in segments.draw(draws.stratified(), draws.uniform(), kit.end))
        eps = perturbed_noise(draws.normal(x0), draws.normal(x0[:, :, :1, :1]), kit.config.offset_noise)
        networks, told = kit.networks, batch.conditioning
        reached, goal = consistency_pair(
            kit.bind(networks.student, told),
            kit.bind(networks.target, told),
            kit.guided_teacher(told),
            kit.schedule.add_noise(x0, eps, t),
            (t, previous, end),
            kit.schedule,
        )
        loss = self.distance(reached, goal).mean()
        figures = {"segments": float(segments.num_segments), "consistency": float(loss.detach())}
        weight = kit.weight(self.weights, step)
        if self.heads is None or not weight:
            return loss, figures
        against, said = self._adversarial(step, batch, reached, goal, end)
        return loss + weight * against, figures | said

    def _adversarial(self, step: int, batch: Batch, reached: Tensor, goal: Tensor, end: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The student's loss against the heads, after they learnt from this batch. Both sides are re-noised alike."""
        assert self.heads is not None
        kit, draws, told = self.kit, batch.draws(step, "adversarial"), batch.conditioning
        lowest = end.clamp_min(0)
        highest = torch.maximum(lowest, torch.full_like(lowest, int(kit.config.adversarial.highest * kit.schedule.num_timesteps)))
        tau = lowest + (draws.uniform().to(end.device) * (highest - lowest + 1)).long()
        tau = tau.clamp_max(kit.schedule.num_timesteps - 1)
        made_tau = kit.schedule.renoise(reached, draws.normal(reached), end, tau)
        believed, since = (goal, end) if self.real == "target" else (batch.x0, torch.full_like(end, -1))
        real_tau = kit.schedule.renoise(believed, draws.normal(reached), since, tau)
        made = kit.networks.features(made_tau, tau, told)
        with torch.no_grad():
            real = kit.networks.features(real_tau, tau, told)
        learnt = discriminator_loss(self._logits(real), self._logits([feature.detach() for feature in made]))
        self.side.update(learnt)
        loss = student_loss(self._logits(made)).mean()
        return loss, {"heads": float(learnt.detach()), "adversarial": float(loss.detach())}

    def _logits(self, features: list[Tensor]) -> list[Tensor]:
        assert self.heads is not None
        return self.heads([feature.float() for feature in features])
