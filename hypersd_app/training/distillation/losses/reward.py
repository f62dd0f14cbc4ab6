"""Rewards on the student's pictures, and the structure of pictures predicted from noised real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.training.distillation.context import Batch, Kit
from hypersd_app.training.distillation.losses.reward_math import hinge, last_step_x0, structure_loss


class FeedbackTerm:
    """L_aes, the hinged rewards of pictures made in few steps, plus L_percep, the structure of denoised real ones."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.config = kit, kit.config.feedback
        self.rewards = [(name, weight, kit.helpers.reward(name)) for name, weight in self.config.rewards]
        self.segmenter = kit.helpers.segmenter() if self.config.structure else None
        for judge in (self.segmenter, *(reward for _, _, reward in self.rewards)):
            if isinstance(judge, nn.Module):
                judge.to(kit.device)

    def learning(self) -> dict[str, object]:
        return {}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        weight = self.kit.weight(self.config.weights, step)
        if not weight or step % self.config.every:
            return None
        batch = batch.thinned(self.config.thin)
        loss, figures = self._rewarded(step, batch)
        if self.segmenter is not None:
            structure = self._structure(step, batch)
            loss = loss + self.config.structure * structure
            figures["structure"] = float(structure.detach())
        # Seen only now and then: weighed so that `every` changes the cost and not the strength.
        return weight * self.config.every * loss, figures

    def _rewarded(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        kit, draws = self.kit, batch.draws(step, "rewards")
        steps = self.config.steps[draws.pick(len(self.config.steps))]
        times = trailing_timesteps(kit.schedule.num_timesteps, steps).tolist()
        student = kit.bind(kit.networks.student, batch.conditioning)
        pictures = kit.source.decode(last_step_x0(student, draws.normal(batch.x0), times, kit.schedule)).float()
        total, figures = torch.zeros((), device=pictures.device), {}
        for name, weight, reward in self.rewards:
            scores = reward(pictures, batch.captions)
            total = total + weight * hinge(scores, reward.enough).mean()
            figures[f"reward_{name}"] = float(scores.detach().mean())
        return total, figures

    def _structure(self, step: int, batch: Batch) -> Tensor:
        """On real pictures, noised to a random step and predicted back."""
        assert self.segmenter is not None
        kit, draws, x0 = self.kit, batch.draws(step, "structure"), batch.x0
        t = (draws.stratified() * self.config.highest * kit.schedule.num_timesteps).long().to(x0.device)
        x_t = kit.schedule.add_noise(x0, draws.normal(x0), t)
        predicted, _ = kit.schedule.split(kit.networks.student(x_t, t, batch.conditioning), x_t, t)
        with torch.no_grad():
            real = self.segmenter(kit.source.decode(x0).float())
        return structure_loss(self.segmenter(kit.source.decode(predicted).float()), real).mean()
