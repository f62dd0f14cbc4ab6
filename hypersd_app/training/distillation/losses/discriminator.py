"""A discriminator on the frozen teacher's features, as losses use it: a step of its heads, then the student's loss."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.training.core.auxiliary import AuxiliaryNetwork
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.context import Context
from hypersd_app.training.distillation.losses.adversarial import Heads, discriminator_loss, student_loss


def noise_levels(stream: RandomStream, lowest: Tensor, highest: Tensor, count: int) -> Tensor:
    """Uniform timesteps in [lowest, highest], int64 (B,), but never below 0, below `lowest`, or above `count` - 1."""
    lowest = lowest.clamp_min(0)
    highest = torch.maximum(lowest, highest)
    return (lowest + (stream.uniform().to(lowest.device) * (highest - lowest + 1)).long()).clamp_max(count - 1)


class Discriminator:
    """Small heads, trained as the loss is asked for; the features come from the teacher and are not trained."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.heads = Heads(context.networks.feature_channels).to(context.device)
        self.auxiliary = AuxiliaryNetwork(dict(self.heads.named_parameters()), context.config.adversarial.lr, context.processes)

    def __call__(
        self,
        made: tuple[Tensor, Tensor],
        real: tuple[Tensor, Tensor],
        tau: Tensor,
        conditioning: Conditioning,
        stream: RandomStream,
    ) -> tuple[Tensor, dict[str, float]]:
        """The student's mean loss. `made` and `real` are (latents, timesteps int64 (B,)); both are re-noised up to `tau`."""
        schedule, networks = self.context.schedule, self.context.networks
        made_tau = schedule.renoise(made[0], stream.normal(made[0]), made[1], tau)
        real_tau = schedule.renoise(real[0], stream.normal(made[0]), real[1], tau)
        features = networks.features(made_tau, tau, conditioning)
        with torch.no_grad():
            wanted = networks.features(real_tau, tau, conditioning)
        discriminator = discriminator_loss(self.logits(wanted), self.logits([feature.detach() for feature in features]))
        self.auxiliary.update(discriminator)
        loss = student_loss(self.logits(features)).mean()
        return loss, {"heads": float(discriminator.detach()), "adversarial": float(loss.detach())}

    def logits(self, features: list[Tensor]) -> list[Tensor]:
        """Of all heads; positive means real."""
        return self.heads([feature.float() for feature in features])
