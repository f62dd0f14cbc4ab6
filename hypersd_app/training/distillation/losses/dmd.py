"""Distribution matching distillation (DMD) of the student's first step, with the fake score that follows it."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.training.core.auxiliary import AuxiliaryNetwork
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.context import Batch, Context
from hypersd_app.training.distillation.losses.dmd_math import denoising_loss, matching_gradient, matching_loss


class DistributionMatchingLoss:
    """DMD on one-step samples, plus the squared error to the teacher's samples where the noise comes from a pair."""

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.score
        context.networks.begin_fake(self.config.fake_rank)
        self.auxiliary = AuxiliaryNetwork(context.networks.fake_parameters(), self.config.fake_lr, context.processes)
        self.pairs = context.resources.pairs() if self.config.pairs else None
        last = context.schedule.num_timesteps - 1
        self.timestep = last if self.config.timestep < 0 else min(self.config.timestep, last)

    def state(self) -> dict[str, Stateful]:
        return {"fake": self.auxiliary}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        weight = self.context.weight(self.config.weights, step)
        if not weight:
            return None
        batch = batch.thinned(self.config.thin)
        context, stream = self.context, batch.stream(step, "score")
        noise, conditioning, goals, paired = self._inputs(batch, stream)
        start = torch.full((len(noise),), self.timestep, device=noise.device)
        x0 = context.schedule.split(context.networks.student(noise, start, conditioning), noise, start)[0]
        fake_losses = [self._train_fake(x0.detach(), conditioning, stream) for _ in range(self.config.fake_steps)]
        gradient = matching_gradient(
            context.guided_teacher(conditioning),
            context.bind(context.networks.fake, conditioning),
            x0.detach(),
            stream.normal(x0),
            self._times(stream, x0),
            context.schedule,
        )
        loss = matching_loss(x0, gradient).mean()
        figures = {"matching": float(gradient.square().mean()), "fake": sum(fake_losses) / max(1, len(fake_losses))}
        if goals is not None:
            # Over all rows, not only the paired ones, so that it does not depend on how the batch is split.
            error = (paired.view(-1, 1, 1, 1) * (x0 - goals)).square().mean() * 2
            loss = loss + self.config.regression * error
            figures["regression"] = float(error.detach())
        return weight * loss, figures

    def _inputs(self, batch: Batch, stream: RandomStream) -> tuple[Tensor, Conditioning, Tensor | None, Tensor]:
        """Noise, conditioning, the teacher's samples, and a mask of the rows that have one: every other row, if there are pairs."""
        noise, which = stream.normal(batch.x0), stream.uniform()
        paired = (torch.arange(stream.total) % 2 == 0)[stream.rows]
        if self.pairs is None:
            return noise, batch.conditioning, None, paired.to(noise)
        index = (which * len(self.pairs.noise)).long()
        mask = paired.view(-1, 1, 1, 1).to(noise.device)
        noise = torch.where(mask, self.pairs.noise[index].to(noise), noise)
        rows = zip(paired.tolist(), index.tolist(), batch.captions, strict=True)
        captions = [self.pairs.captions[i] if has else caption for has, i, caption in rows]
        return noise, self.context.source.condition(captions).to(noise.device), self.pairs.x0[index].to(noise), paired.to(noise)

    def _times(self, stream: RandomStream, x0: Tensor) -> Tensor:
        """Stratified timesteps between the lowest and the highest, int64 (B,)."""
        share = self.config.lowest + (self.config.highest - self.config.lowest) * stream.stratified()
        return (share * self.context.schedule.num_timesteps).long().to(x0.device)

    def _train_fake(self, x0: Tensor, conditioning: Conditioning, stream: RandomStream) -> float:
        """One optimizer step of the fake score on the student's samples, with new noise at each call; returns its loss."""
        networks = self.context.networks
        with networks.training_fake():
            losses = denoising_loss(
                self.context.bind(networks.live_fake, conditioning),
                x0,
                stream.normal(x0),
                self._times(stream, x0),
                self.context.schedule,
            )
            self.auxiliary.update(losses.mean())
        return float(losses.detach().mean())
