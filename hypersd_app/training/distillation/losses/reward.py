"""Human-feedback losses: rewards on the student's samples, and structure of images predicted from noised real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.training.core.loop import Stateful
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.critics.mask_rcnn import MaskRCNNSegmenter
from hypersd_app.training.distillation.context import Batch, Context
from hypersd_app.training.distillation.losses.reward_math import hinge, last_step_x0, structure_loss


class FeedbackLoss:
    """L_aes, hinged rewards of few-step samples, plus L_percep, the structure of denoised real images."""

    def __init__(self, context: Context) -> None:
        self.context, self.config = context, context.config.feedback
        self.rewards = [(name, weight, context.resources.reward(name)) for name, weight in self.config.rewards]
        self.segmenter = context.resources.segmenter() if self.config.structure else None
        for judge in (self.segmenter, *(reward for _, _, reward in self.rewards)):
            if isinstance(judge, nn.Module):
                judge.to(context.device)

    def state(self) -> dict[str, Stateful]:
        return {}

    def __call__(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]] | None:
        weight = self.context.weight(self.config.weights, step)
        if not weight or step % self.config.every:
            return None
        batch = batch.thinned(self.config.thin)
        loss, figures = self._rewarded(step, batch)
        if self.segmenter is not None:
            structure = self._structure(step, batch)
            loss = loss + self.config.structure * structure
            figures["structure"] = float(structure.detach())
        # Scaled so that `every` changes the cost, not the strength.
        return weight * self.config.every * loss, figures

    def _rewarded(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        context, stream = self.context, batch.stream(step, "rewards")
        steps = self.config.steps[stream.pick(len(self.config.steps))]
        times = trailing_timesteps(context.schedule.num_timesteps, steps).tolist()
        if steps == 1 and context.config.score.timestep >= 0:  # a dedicated one-step student starts there
            times = [context.config.score.timestep]
        student = context.bind(context.networks.student, batch.conditioning)
        x0 = last_step_x0(student, stream.normal(batch.x0), times, context.schedule)
        images = context.source.decode(self._window(x0, stream)).float()
        total, figures = torch.zeros((), device=images.device), {}
        for name, weight, reward in self.rewards:
            scores = reward(images, batch.captions)
            total = total + weight * hinge(scores, reward.enough).mean()
            figures[f"reward_{name}"] = float(scores.detach().mean())
        return total, figures

    def _window(self, latents: Tensor, stream: RandomStream) -> Tensor:
        """A random square of `crop` latents, the same place in all rows; a decoder's activations are most of the memory."""
        side = self.config.crop
        if not side or side >= min(latents.shape[2:]):
            return latents
        top, left = (stream.pick(edge - side + 1) for edge in latents.shape[2:])
        return latents[:, :, top : top + side, left : left + side]

    def _structure(self, step: int, batch: Batch) -> Tensor:
        """L_percep: real images noised to a random step and predicted back."""
        assert self.segmenter is not None
        context, stream, x0 = self.context, batch.stream(step, "structure"), batch.x0
        t = (stream.stratified() * self.config.highest * context.schedule.num_timesteps).long().to(x0.device)
        x_t = context.schedule.add_noise(x0, stream.normal(x0), t)
        predicted, _ = context.schedule.split(context.networks.student(x_t, t, batch.conditioning), x_t, t)
        if isinstance(self.segmenter, MaskRCNNSegmenter):
            annotations = self.segmenter.annotations(context.source.decode(x0))
            return self.segmenter.loss(context.source.decode(predicted).float(), annotations)
        with torch.no_grad():
            real = self.segmenter(context.source.decode(x0).float())
        return structure_loss(self.segmenter(context.source.decode(predicted).float()), real).mean()
