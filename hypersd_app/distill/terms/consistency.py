"""Consistency on segments, with the adversarial part of its distance."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.diffusion.segments import Segments
from hypersd_app.distill.adversarial import Heads, discriminator_loss, student_loss
from hypersd_app.distill.consistency import DISTANCES, consistency_pair, perturbed_noise
from hypersd_app.distill.kit import Batch, Kit
from hypersd_app.distill.sides import Side


class ConsistencyTerm:
    """d(student's jump, target's jump), Hyper-SD Algorithm 1: squared error or pseudo-Huber, plus heads that tell it from data.

    `adversarial` False leaves the heads out whatever the config's weights say.
    """

    def __init__(self, kit: Kit, adversarial: bool = True) -> None:
        self.kit = kit
        self.distance = DISTANCES[kit.config.distance]
        self.heads: Heads | None = None
        if adversarial and any(kit.config.adversarial.weights[: len(kit.stages)]):
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
        weight = kit.weight(kit.config.adversarial.weights, step)
        if self.heads is None or not weight:
            return loss, figures
        against, said = self._adversarial(step, batch, reached, end)
        return loss + weight * against, figures | said

    def _adversarial(self, step: int, batch: Batch, reached: Tensor, end: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The student's loss against the heads, after they learnt from this batch. Both sides are re-noised alike."""
        assert self.heads is not None
        kit, draws, told = self.kit, batch.draws(step, "adversarial"), batch.conditioning
        lowest = end.clamp_min(0)
        highest = torch.maximum(lowest, torch.full_like(lowest, int(kit.config.adversarial.highest * kit.schedule.num_timesteps)))
        tau = lowest + (draws.uniform().to(end.device) * (highest - lowest + 1)).long()
        tau = tau.clamp_max(kit.schedule.num_timesteps - 1)
        made_tau = kit.schedule.renoise(reached, draws.normal(reached), end, tau)
        real_tau = kit.schedule.add_noise(batch.x0, draws.normal(reached), tau)
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
