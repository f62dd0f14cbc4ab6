"""A stand-in for an aesthetic predictor: how intact is a drawing? Learnt from real images spoilt by known amounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.training.core.device import images_to_device, mixed_precision, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, StepFunction
from hypersd_app.training.critics.fit import train_network
from hypersd_app.training.data.splits import REWARD, indices_of
from hypersd_app.training.data.thumbnails import moved, shrink_tensor, thumbnails
from hypersd_app.training.workspace import Workspace

FILE = "quality.safetensors"


@dataclass(frozen=True, kw_only=True)
class QualityConfig:
    """Regression of the share of an image that was left intact."""

    data: str = "pocket"
    batch: int = 64
    lr: float = 2e-3
    ema_decay: float = 0.98
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, warmup=20, cooldown=200, preview_minutes=60))


class QualityNetwork(nn.Module):
    """Images (B, 3, 64, 64) in [-1, 1] to logits (B,): above zero for what is more intact than spoilt."""

    def __init__(self, channels: tuple[int, int, int] = (48, 80, 112)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        before = 12
        for width in channels:
            layers += [
                nn.Conv2d(before, width, 3, 2, 1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, 1, 1),
                nn.SiLU(),
            ]
            before = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(before, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images).float().mean((2, 3))).squeeze(1)


def spoil(images: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Images damaged by random amounts and the share left intact, (B,): what young diffusion models get wrong.

    Blur, a second image shining through, dirt on the paper, washed-out colours, or parts that stand elsewhere.
    """
    count = len(images)
    amount = torch.from_numpy(rng.random(count).astype(np.float32))
    kinds = torch.from_numpy(rng.integers(5, size=count))
    a = amount.view(-1, 1, 1, 1)
    coarse = functional.interpolate(functional.avg_pool2d(images, 8), scale_factor=8.0, mode="bilinear")
    noise = torch.from_numpy(rng.standard_normal((count, 3, 16, 16)).astype(np.float32))
    cut = int(rng.integers(16, 48))
    versions = torch.stack(
        [
            images + a * (coarse - images),
            images + 0.5 * a * (images.roll(1, 0) - images),
            images + 0.8 * a * functional.interpolate(noise, scale_factor=4.0, mode="bilinear"),
            images + 0.9 * a * (images.mean((1, 2, 3), keepdim=True) - images),
            torch.cat([images[:, :, :cut], images[:, :, cut:] + a * (images[:, :, cut:].roll(20, 3) - images[:, :, cut:])], 2),
        ]
    )
    return versions[kinds, torch.arange(count)].clamp(-1, 1), 1 - amount


def train(config: QualityConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes `folder/quality.safetensors`."""

    def build() -> tuple[nn.Module, StepFunction]:
        model = QualityNetwork()
        images = thumbnails(workspace.data)[indices_of(workspace.data, REWARD)]

        def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
            rng = np.random.default_rng((config.seed, step, 7))
            chosen = rng.choice(len(images), config.batch)
            spoilt, intact = spoil(moved(images[chosen], rng), rng)
            (intact,) = to_device(intact)
            with mixed_precision():
                logits = model(images_to_device(spoilt)).float()
            error = float((logits.detach().sigmoid() - intact).abs().mean())
            return functional.binary_cross_entropy_with_logits(logits, intact), {"error": error}, config.batch

        return model, step_function

    train_network(config, folder / FILE, progress, build)


class QualityReward(nn.Module):
    """The share of an image that looks intact, in [0, 1]."""

    title = "drawing quality (stand-in)"

    def __init__(self, path: Path, enough: float = 0.95) -> None:
        super().__init__()
        self.model = QualityNetwork()
        self.model.load_state_dict(load_file(path))
        self.requires_grad_(False)
        self.enough = enough

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        return self.model(shrink_tensor(images)).sigmoid()
