"""Score distillation of the student's first step, with the fake score that follows it."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.training.core.auxiliary import Side
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.random_streams import Draws
from hypersd_app.training.distillation.context import Batch, Kit
from hypersd_app.training.distillation.losses.dmd_math import denoising_loss, matching_gradient, matching_loss


class ScoreTerm:
    """DMD on pictures made in one step, plus the squared error to the teacher's own pictures where noise has a pair."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.config = kit, kit.config.score
        kit.networks.begin_fake(self.config.fake_rank)
        self.side = Side(kit.networks.fake_parameters(), self.config.fake_lr, kit.workers)
        self.pairs = kit.helpers.pairs() if self.config.pairs else None
        last = kit.schedule.num_timesteps - 1
        self.timestep = last if self.config.timestep < 0 else min(self.config.timestep, last)

    def learning(self) -> dict[str, object]:
        return {"fake": self.side}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        weight = self.kit.weight(self.config.weights, step)
        if not weight:
            return None
        batch = batch.thinned(self.config.thin)
        kit, draws = self.kit, batch.draws(step, "score")
        noise, told, goals, paired = self._inputs(batch, draws)
        start = torch.full((len(noise),), self.timestep, device=noise.device)
        x0 = kit.schedule.split(kit.networks.student(noise, start, told), noise, start)[0]
        learnt = [self._learn(x0.detach(), told, draws) for _ in range(self.config.fake_steps)]
        gradient = matching_gradient(
            kit.guided_teacher(told), kit.bind(kit.networks.fake, told), x0.detach(), draws.normal(x0), self._times(draws, x0),
            kit.schedule,
        )  # fmt: skip
        loss = matching_loss(x0, gradient).mean()
        figures = {"matching": float(gradient.square().mean()), "fake": sum(learnt) / max(1, len(learnt))}
        if goals is not None:
            # Over all rows, not the paired ones only, so that it does not matter how a batch is spread.
            error = (paired.view(-1, 1, 1, 1) * (x0 - goals)).square().mean() * 2
            loss = loss + self.config.regression * error
            figures["regression"] = float(error.detach())
        return weight * loss, figures

    def _inputs(self, batch: Batch, draws: Draws) -> tuple[Tensor, Conditioning, Tensor | None, Tensor]:
        """Noise, conditions, the teacher's pictures and which rows have one: every other row, where there are pairs."""
        noise, which = draws.normal(batch.x0), draws.uniform()
        paired = (torch.arange(draws.total) % 2 == 0)[draws.rows]
        if self.pairs is None:
            return noise, batch.conditioning, None, paired.to(noise)
        index = (which * len(self.pairs.noise)).long()
        mask = paired.view(-1, 1, 1, 1).to(noise.device)
        noise = torch.where(mask, self.pairs.noise[index].to(noise), noise)
        rows = zip(paired.tolist(), index.tolist(), batch.captions, strict=True)
        captions = [self.pairs.captions[i] if has else caption for has, i, caption in rows]
        return noise, self.kit.source.condition(captions).to(noise.device), self.pairs.x0[index].to(noise), paired.to(noise)

    def _times(self, draws: Draws, x0: Tensor) -> Tensor:
        """Timesteps between the lowest and the highest, (B,)."""
        share = self.config.lowest + (self.config.highest - self.config.lowest) * draws.stratified()
        return (share * self.kit.schedule.num_timesteps).long().to(x0.device)

    def _learn(self, x0: Tensor, told: Conditioning, draws: Draws) -> float:
        """One step of the fake score on the student's pictures. Later ones of a step see them with other noise."""
        networks = self.kit.networks
        with networks.training_fake():
            losses = denoising_loss(
                self.kit.bind(networks.live_fake, told), x0, draws.normal(x0), self._times(draws, x0), self.kit.schedule
            )
            self.side.update(losses.mean())
        return float(losses.detach().mean())
