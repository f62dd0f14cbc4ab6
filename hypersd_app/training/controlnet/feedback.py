"""Feedback for sketches: is an image that follows a drawing what its caption names, and are the drawing's lines seen in it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hypersd_app.models.autoencoders import PocketVae, rgb_of
from hypersd_app.models.controlnet import DrawnLayout
from hypersd_app.models.fitting import box
from hypersd_app.training.critics.text_image import DualEncoder
from hypersd_app.training.data.text_encoder import TextEmbedder
from hypersd_app.training.data.thumbnails import FRAMED, SIDE

SHARPEST = 50.0  # the largest factor of cosines that it was trained with
WINDOW = 5  # pixels of half an image's side, in which both sides of a line are seen
PLAIN = 0.6  # of the range from -1 to 1: with so much between its sides a line is plain to see


@dataclass(frozen=True)
class Verdict:
    """What feedback says of images, lower is better, float32 (B,): how unsure their things are, and how faint their lines."""

    unsure: Tensor
    faint: Tensor


class SketchFeedback(nn.Module):
    """Judges latents that follow drawings.

    The stand-in for text agreement tells their thing from all others: the distance to one caption, which feedback uses
    elsewhere, says nothing of what an image is mistaken for. Lines are compared with those of the image drawn from.
    """

    names: Tensor

    def __init__(self, path: Path, names: Sequence[str], embed: TextEmbedder, autoencoder: PocketVae) -> None:
        super().__init__()
        self.model, self.autoencoder = DualEncoder.from_file(path), autoencoder
        self.requires_grad_(False)
        parts = [self.model.captions(embed(list(names[start : start + 256]))) for start in range(0, len(names), 256)]
        self.register_buffer("names", torch.cat(parts), persistent=False)

    def forward(self, latents: Tensor, real: Tensor, control: Tensor, things: Tensor) -> Verdict:
        """Made and real latents (B, 16, 16, 16), control images (B, 3, 256, 256), places among the names (B,), -1 for none."""
        images = halved(self.autoencoder, latents)
        with torch.no_grad():
            asked = halved(self.autoencoder, real)
        seen = self.model.images(framed(images, box(control.amax(1), DrawnLayout.INKED)))
        logits = self.model.log_temperature.exp().clamp(max=SHARPEST) * seen @ self.names.T
        unsure = functional.cross_entropy(logits, things, reduction="none", ignore_index=-1)
        return Verdict(unsure, faintness(images, asked, control))


def halved(autoencoder: PocketVae, latents: Tensor) -> Tensor:
    """Images of half the side, float32 (B, 3, 128, 128)."""
    return functional.avg_pool2d(rgb_of(autoencoder, latents).float(), 2)


def framed(images: Tensor, where: Tensor) -> Tensor:
    """What of images (B, 3, H, W) in [-1, 1] lies in boxes (B, 4), as `box` gives them, in the middle of (B, 3, 64, 64)."""
    top, bottom, left, right = where.unbind(1)
    scale = torch.maximum(bottom - top, right - left) / FRAMED
    theta = torch.zeros(len(where), 2, 3, device=where.device)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, 0, 2], theta[:, 1, 2] = left + right - 1, top + bottom - 1
    grid = functional.affine_grid(theta, [len(where), 3, SIDE, SIDE], align_corners=False)
    # White is 0, which is also what lies outside.
    return functional.grid_sample(images - 1, grid, align_corners=False, padding_mode="zeros") + 1


def faintness(made: Tensor, asked: Tensor, control: Tensor) -> Tensor:
    """How much less contrast there is along a drawing's lines than in the image it was drawn from, float32 (B,), in [0, 1].

    Images (B, 3, 128, 128) in [-1, 1], control (B, 3, 256, 256). More contrast than is plain to see is not asked for.
    """
    lines = functional.max_pool2d(control.amax(1, keepdim=True), 2)
    lacking = functional.relu(contrast(asked).clamp(max=PLAIN) - contrast(made)) / PLAIN
    return (lacking * lines).sum((1, 2, 3)) / lines.sum((1, 2, 3)).clamp(min=1)


def contrast(images: Tensor) -> Tensor:
    """The largest difference of any channel around each pixel, (B, 1, H, W)."""
    brightest = functional.max_pool2d(images, WINDOW, 1, WINDOW // 2)
    darkest = -functional.max_pool2d(-images, WINDOW, 1, WINDOW // 2)
    return (brightest - darkest).amax(1, keepdim=True)
