"""The style judge: a small CNN that says which icon set drew an image. Trained on real images, never on a model's."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, StepFunction
from hypersd_app.training.critics.fit import train_network
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.workspace import Workspace

SIDE = 128  # px; at 96 soft edges count for less
FILE = "style-judge.safetensors"


@dataclass(frozen=True, kw_only=True)
class StyleJudgeConfig:
    """`more` names further data sets, for styles that the base model's own data holds back."""

    data: str = "judge"
    more: tuple[str, ...] = ("fxemoji",)
    batch: int = 64
    lr: float = 2e-3
    ema_decay: float = 0.98
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, warmup=20, cooldown=1000, preview_minutes=60))


PRESETS: dict[str, StyleJudgeConfig] = {
    "pocket": StyleJudgeConfig(),
    "tiny": StyleJudgeConfig(data="tiny", more=(), batch=8, loop=LoopConfig(steps=4, warmup=1, log_every=2)),
}


class StyleClassifier(nn.Module):
    """Images (B, 3, 128, 128) in [-1, 1] to logits (B, styles). Averaged over places: a style is the same everywhere."""

    def __init__(self, styles: int, channels: tuple[int, int, int] = (48, 80, 112)) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(4)]
        before = 3 * 16
        for level, width in enumerate(channels):
            for stride in (1 if level == 0 else 2, 1):
                layers += [nn.Conv2d(before, width, 3, stride, 1), nn.GroupNorm(8, width), nn.SiLU()]
                before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * before, styles)

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images).float()
        return self.head(torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1))


@dataclass(frozen=True)
class LabelledImages:
    """The images of several data sets by style, one split of them."""

    sources: tuple[ImageDataset, ...]
    held_out: bool = False

    @cached_property
    def rows(self) -> dict[str, list[tuple[int, int]]]:
        """For each style the (source, index) of its single drawings."""
        rows: dict[str, list[tuple[int, int]]] = {}
        for number, data in enumerate(self.sources):
            for index in data.indices(self.held_out):
                if data.scenes[index].kind == "single":
                    rows.setdefault(data.scenes[index].set_key, []).append((number, int(index)))
        return dict(sorted(rows.items()))

    def take(self, rows: list[tuple[int, int]]) -> NDArray[np.uint8]:
        """Their images, (N, 256, 256, 3)."""
        return np.stack([self.sources[number].images[index] for number, index in rows])

    def stickers(self, rows: list[tuple[int, int]]) -> NDArray[np.uint8]:
        """As they look on white, with alpha, (N, 256, 256, 4)."""
        return np.stack([self.sources[number].rgba[index] for number, index in rows])


def labelled(config: StyleJudgeConfig, workspace: Workspace, held_out: bool = False) -> LabelledImages:
    """The images that the config names. Raises ModelUnavailable for data that was not made yet."""
    sources = [workspace.images(name) for name in (config.data, *config.more)]
    return LabelledImages(tuple(sources), held_out)


def shrink(images: NDArray[np.uint8]) -> Tensor:
    """(B, 256, 256, 3) uint8 to the judge's input."""
    return from_uint8(np.stack([cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in images]))


def soften(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Blur some of the images and change their light: a decoder's softness must not pass for a style."""
    blurred = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.from_numpy(rng.choice([0.0, 0.5, 1.0], (len(images), 1, 1, 1)).astype(np.float32))
    light = torch.from_numpy(rng.uniform(0.92, 1.05, (len(images), 3, 1, 1)).astype(np.float32))
    return (((images + share * (blurred - images)) + 1) * light - 1).clamp(-1, 1)


def train(config: StyleJudgeConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes `folder/style-judge.safetensors` with the styles' names in its metadata."""
    images = labelled(config, workspace)
    styles = list(images.rows)

    def build() -> tuple[nn.Module, StepFunction]:
        model = StyleClassifier(len(styles))

        def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
            rng = np.random.default_rng((config.seed, step, 5))
            labels = rng.integers(len(styles), size=config.batch)
            chosen = [images.rows[styles[label]][rng.integers(len(images.rows[styles[label]]))] for label in labels]
            seen = images_to_device(soften(shrink(images.take(chosen)), rng))
            with mixed_precision():
                logits = model(seen).float()
            (target,) = to_device(torch.from_numpy(labels))
            accuracy = float((logits.argmax(1) == target).float().mean())
            return functional.cross_entropy(logits, target, label_smoothing=0.05), {"accuracy": accuracy}, config.batch

        return model, step_function

    train_network(config, folder / FILE, progress, build, metadata={"styles": ",".join(styles)})


class StyleJudge:
    """A trained classifier and what it can measure."""

    def __init__(self, path: Path) -> None:
        with safe_open(path, "pt") as file:
            self.styles = file.metadata()["styles"].split(",")
        self.model = StyleClassifier(len(self.styles))
        self.model.load_state_dict(load_file(path))
        self.model.eval().requires_grad_(False)

    @torch.no_grad()
    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of each style for each image, (N, styles)."""
        parts = [self.model(shrink(images[i : i + 64])).softmax(-1) for i in range(0, len(images), 64)]
        return torch.cat(parts).numpy()

    def score(self, images: NDArray[np.uint8], style: str) -> float:
        """The mean probability that `style` drew the images."""
        return float(self.probabilities(images)[:, self.styles.index(style)].mean())
