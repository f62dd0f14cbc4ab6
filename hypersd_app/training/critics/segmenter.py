"""A stand-in for an instance segmenter: what is drawn on, and where one thing ends. Learnt from the icons' own alpha."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, to_device
from hypersd_app.training.core.loop import LoopConfig, Progress, StepFunction
from hypersd_app.training.critics.fit import train_network
from hypersd_app.training.data.dataset import ImageDataset, SceneRenderer
from hypersd_app.training.data.icons.libraries import load_libraries
from hypersd_app.training.data.scenes import Scene
from hypersd_app.training.data.splits import REWARD, indices_of
from hypersd_app.training.data.thumbnails import SIDE, shrink_tensor, thumbnails
from hypersd_app.training.workspace import Workspace

FILE = "segmenter.safetensors"


@dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """`scenes`: how many are drawn again from their vectors, for their alpha."""

    data: str = "pocket"
    scenes: int = 2400
    batch: int = 48
    lr: float = 2e-3
    ema_decay: float = 0.98
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=300, warmup=20, cooldown=200, preview_minutes=60))


class SegmenterNetwork(nn.Module):
    """Images (B, 3, 64, 64) in [-1, 1] to logits (B, 2, 64, 64): whether a pixel is drawn on, whether a thing ends there."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.GroupNorm(8, after), nn.SiLU())

        self.first = nn.Sequential(nn.PixelUnshuffle(2), block(12, width), block(width, width))
        self.deep = nn.Sequential(block(width, 2 * width, 2), block(2 * width, 2 * width), block(2 * width, 2 * width))
        self.last = nn.Sequential(block(3 * width, width), nn.Conv2d(width, 2 * 4, 1), nn.PixelShuffle(2))

    def forward(self, images: Tensor) -> Tensor:
        fine = self.first(images)
        coarse = functional.interpolate(self.deep(fine), scale_factor=2.0, mode="nearest")
        return self.last(torch.cat([fine, coarse], 1)).float()


def masks(renderer: SceneRenderer, scene: Scene) -> NDArray[np.float32]:
    """What a scene's alpha says, float32 (2, 64, 64): how far a pixel is drawn on, and whether a thing's edge is there."""
    drawn, edges = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    for item in scene.placements:
        alpha = renderer.rgba(replace(scene, placements=(item,)))[..., 3]
        drawn = np.maximum(drawn, alpha / 255)
        edges = np.maximum(edges, cv2.morphologyEx((alpha > 127).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    return np.stack([drawn, edges]).astype(np.float32)


def labelled(data: ImageDataset, packages: Path, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Small images of the rewards' split, (N, 64, 64, 3), with their masks, (N, 2, 64, 64)."""
    indices = indices_of(data, REWARD)
    chosen = np.sort(np.random.default_rng(seed).permutation(indices)[:count])
    libraries = load_libraries(packages, tuple(sorted({data.scenes[index].set_key for index in chosen})))
    renderer = SceneRenderer(libraries, {(row.set_key, row.icon): row.hue for row in data.drawings}, SIDE)
    return thumbnails(data)[chosen], np.stack([masks(renderer, data.scenes[index]) for index in chosen])


def train(config: SegmenterConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; writes `folder/segmenter.safetensors`."""

    def build() -> tuple[nn.Module, StepFunction]:
        model = SegmenterNetwork()
        images, wanted = labelled(workspace.data, workspace.packages, config.scenes, config.seed)

        def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
            chosen = np.random.default_rng((config.seed, step, 9)).choice(len(images), config.batch)
            with mixed_precision():
                logits = model(images_to_device(from_uint8(images[chosen])))
            (target,) = to_device(torch.from_numpy(wanted[chosen]))
            overlap = ((logits > 0) & (target > 0.5)).sum((0, 2, 3)) / ((logits > 0) | (target > 0.5)).sum((0, 2, 3)).clamp_min(1)
            figures = {"overlap_drawn": float(overlap[0]), "overlap_edges": float(overlap[1])}
            return functional.binary_cross_entropy_with_logits(logits, target), figures, config.batch

        return model, step_function

    train_network(config, folder / FILE, progress, build)


class PocketSegmenter(nn.Module):
    """The trained network as a reader of images of any size: logits (B, 2, 64, 64)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.model = SegmenterNetwork()
        self.model.load_state_dict(load_file(path))
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(shrink_tensor(images))
