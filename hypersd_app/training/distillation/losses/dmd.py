"""Distribution matching distillation of the student's steps, with the fake score that follows it."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.training.core.auxiliary import AuxiliaryNetwork
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.config import at_stage
from hypersd_app.training.distillation.context import Batch, Context
from hypersd_app.training.distillation.losses.discriminator import Discriminator, noise_levels
from hypersd_app.training.distillation.losses.dmd_math import denoising_loss, matching_gradient, matching_loss

PATHS = ("first", "clean", "trajectory")
Window = tuple[float, float]  # timesteps between which scores are compared


class DistributionMatchingLoss:
    """DMD on the student's samples, plus the squared error to the teacher's samples where the noise comes from a pair.

    `path`: "first" is one step from pure noise (DMD); "clean" one of several, each from the last one's x0 noised again
    (DMD2's backward simulation); "trajectory" one of several along the student's DDIM path, compared at the noise levels of
    that step alone (TDM). With a weight in `ScoreConfig.adversarial` a discriminator compares with real data (DMD2's GAN loss).
    """

    def __init__(self, context: Context, path: str = "first", pairs: bool = True) -> None:
        assert path in PATHS, path
        self.context, self.config, self.path = context, context.config.score, path
        context.networks.begin_fake(self.config.fake_rank)
        self.auxiliary = AuxiliaryNetwork(context.networks.fake_parameters(), self.config.fake_lr, context.processes)
        self.pairs = context.resources.pairs() if self.config.pairs and pairs else None
        last = context.schedule.num_timesteps - 1
        self.timestep = last if self.config.timestep < 0 else min(self.config.timestep, last)
        adversarial = any(at_stage(self.config.adversarial, stage) for stage in range(len(context.stages)))
        self.discriminator = Discriminator(context) if adversarial else None

    def state(self) -> dict[str, Stateful]:
        heads = {} if self.discriminator is None else {"real-heads": self.discriminator.auxiliary}
        return {"fake": self.auxiliary, **heads}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        context = self.context
        weight = context.weight(self.config.weights, step)
        if not weight:
            return None
        batch = batch.thinned(self.config.thin)
        stream = batch.stream(step, "score")
        noise, conditioning, goals, paired = self._inputs(batch, stream)
        x0, window = self._images(noise, conditioning, stream)
        fake_losses = [
            self._train_fake(*self._for_fake(x0, window, conditioning, stream), conditioning, stream)
            for _ in range(self.config.fake_steps)
        ]
        gradient = matching_gradient(
            context.guided_teacher(conditioning),
            context.bind(context.networks.fake, conditioning),
            x0.detach(),
            stream.normal(x0),
            self._times(stream, x0, window),
            context.schedule,
        )
        loss = matching_loss(x0, gradient).mean()
        figures = {"matching": float(gradient.square().mean()), "fake": sum(fake_losses) / max(1, len(fake_losses))}
        if goals is not None:
            # Over all rows, not only the paired ones, so that it does not depend on how the batch is split.
            error = (paired.view(-1, 1, 1, 1) * (x0 - goals)).square().mean() * 2
            loss = loss + self.config.regression * error
            figures["regression"] = float(error.detach())
        adversarial = context.weight(self.config.adversarial, step)
        if self.discriminator is not None and adversarial:
            against, more = self._against_data(step, batch, x0, conditioning)
            loss = loss + adversarial * against
            figures |= {f"real_{name}": value for name, value in more.items()}
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
        conditioning = self.context.source.condition(captions, noise=noise).to(noise.device)
        return noise, conditioning, self.pairs.x0[index].to(noise), paired.to(noise)

    def _images(self, noise: Tensor, conditioning: Conditioning, stream: RandomStream) -> tuple[Tensor, Window]:
        """The student's x0 with a graph through its last step alone, and where scores are compared."""
        schedule, count = self.context.schedule, self.context.schedule.num_timesteps
        student = self.context.bind(self.context.networks.student, conditioning)
        times, last = [self.timestep], 0
        if self.path != "first":
            times = trailing_timesteps(count, self.config.path_steps).tolist()
            last = stream.pick(len(times))
        x = noise
        with torch.no_grad():
            for start, end in pairwise(times[: last + 1]):
                t, s = (torch.full((len(x),), value, device=x.device) for value in (start, end))
                if self.path == "trajectory":
                    x = schedule.jump(student(x, t), x, t, s)
                else:
                    x = schedule.add_noise(schedule.split(student(x, t), x, t)[0], stream.normal(x), s)
        t = torch.full((len(x),), times[last], device=x.device)
        x0 = schedule.split(student(x, t), x, t)[0]
        window = (self.config.lowest * count, self.config.highest * count)
        if self.path == "trajectory":
            window = (max(window[0], times[last + 1] if last + 1 < len(times) else 0), min(window[1], times[last]))
        return x0, window

    def _for_fake(self, x0: Tensor, window: Window, conditioning: Conditioning, stream: RandomStream) -> tuple[Tensor, Window]:
        """What the fake score learns from: this step's samples, or new ones of the student as it is."""
        if not self.config.fresh:
            return x0.detach(), window
        with torch.no_grad():
            return self._images(stream.normal(x0), conditioning, stream)

    def _against_data(self, step: int, batch: Batch, x0: Tensor, conditioning: Conditioning) -> tuple[Tensor, dict[str, float]]:
        """The adversarial loss of the samples against the batch's real latents, re-noised alike."""
        assert self.discriminator is not None
        stream, count = batch.stream(step, "real"), self.context.schedule.num_timesteps
        clean = torch.full((len(x0),), -1, device=x0.device)
        highest = torch.full_like(clean, int(self.context.config.adversarial.highest * count))
        tau = noise_levels(stream, clean, highest, count)
        return self.discriminator((x0, clean), (batch.x0, clean), tau, conditioning, stream)

    @staticmethod
    def _times(stream: RandomStream, x0: Tensor, window: Window) -> Tensor:
        """Stratified timesteps of a window, int64 (B,)."""
        return (window[0] + (window[1] - window[0]) * stream.stratified()).long().to(x0.device)

    def _train_fake(self, x0: Tensor, window: Window, conditioning: Conditioning, stream: RandomStream) -> float:
        """One optimizer step of the fake score on the student's samples, with new noise at each call; returns its loss."""
        networks = self.context.networks
        with networks.training_fake():
            losses = denoising_loss(
                self.context.bind(networks.live_fake, conditioning),
                x0,
                stream.normal(x0),
                self._times(stream, x0, window),
                self.context.schedule,
            )
            self.auxiliary.update(losses.mean())
        return float(losses.detach().mean())
