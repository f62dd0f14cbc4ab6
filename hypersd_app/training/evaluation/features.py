"""Two feature spaces for images; neither network is a reward, a discriminator, or trained on a model's images.

`what` is the judge's image tower, which tells things apart; `how` the style judge's body, which tells drawing styles
apart and sees softness and texture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hypersd_app.training.critics.frozen import judge_file
from hypersd_app.training.critics.style import StyleJudge, shrink
from hypersd_app.training.critics.text_image import Judge
from hypersd_app.training.workspace import Workspace

Images = NDArray[np.uint8]  # (N, 256, 256, 3)
Reader = Callable[[Images], NDArray[np.float32]]
CHUNK = 64


def judge_of(workspace: Workspace) -> Judge:
    """The newest judge. Raises ModelUnavailable before one was trained."""
    return Judge(judge_file(workspace, "judge"), workspace.embed)


@torch.no_grad()
def style_features(judge: StyleJudge, images: Images) -> NDArray[np.float32]:
    """The style judge's features before its classifier: mean and maximum of each channel, (N, 224)."""
    parts = []
    for start in range(0, len(images), CHUNK):
        seen = judge.model.body(shrink(images[start : start + CHUNK])).float()
        parts.append(torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], dim=1))
    return torch.cat(parts).numpy()


@dataclass(frozen=True)
class Spaces:
    """Feature extractors by the name of their space, each whitened so that real images have unit variance."""

    readers: Mapping[str, Reader]
    scales: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]

    @staticmethod
    def of(workspace: Workspace, judge: Judge, real: Images) -> Spaces:
        """Both spaces, scaled by `real`. Raises ModelUnavailable before both judges were trained."""
        style = StyleJudge(judge_file(workspace, "style-judge"))
        return Spaces.scaled(
            {
                "what": lambda images: judge.image_features(images).numpy(),
                "how": lambda images: style_features(style, images),
            },
            real,
        )

    @staticmethod
    def scaled(readers: Mapping[str, Reader], real: Images) -> Spaces:
        """Spaces over any readers."""
        scales = {}
        for name, read in readers.items():
            found = read(real)
            scales[name] = (found.mean(0), np.maximum(found.std(0), 1e-3))
        return Spaces(readers, scales)

    def __call__(self, images: Images) -> dict[str, NDArray[np.float32]]:
        """The features of images in each space, float32 (N, D)."""
        found = {}
        for name, read in self.readers.items():
            mean, deviation = self.scales[name]
            found[name] = (read(images) - mean) / deviation
        return found
