"""Adversarial loss: small discriminator heads on the frozen teacher's encoder tell re-noised student samples from data.

Only the heads are trained (Sauer et al., "Fast High-Resolution Image Synthesis with Latent Adversarial Diffusion Distillation",
2024): a whole discriminator would memorize twenty thousand images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Heads(nn.Module):
    """A logit at every position of each feature map (B, C_i, H_i, W_i); positive means data."""

    def __init__(self, channels: Sequence[int], hidden: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, width), nn.Conv2d(width, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, hidden, 3, padding=1),
                nn.SiLU(), nn.Conv2d(hidden, 1, 1),
            )
            for width in channels
        )  # fmt: skip

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [head(feature).float() for head, feature in zip(self.heads, features, strict=True)]


def discriminator_loss(real: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the heads (Lim and Ye, "Geometric GAN", 2017), a mean over heads and places."""
    pairs = zip(real, made, strict=True)
    return torch.stack([functional.relu(1 - a).mean() + functional.relu(1 + b).mean() for a, b in pairs]).mean()


def student_loss(made: Sequence[Tensor]) -> Tensor:
    """The generator's hinge loss: minus the mean logit, float32 (B,)."""
    return -torch.stack([logits.flatten(1).mean(1) for logits in made]).mean(0)
