"""Latents of the training images, encoded by the frozen autoencoder once, on first access."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, place, training_device
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.data.dataset import PICTURE_SIZE, PictureData

_CHUNK = 32


class LatentStore:
    """float16 (N, 16, 16, 16) on disk, filled lazily: training doesn't wait for images that it may never sample."""

    def __init__(self, path: Path, data: PictureData, autoencoder: PocketAutoencoder) -> None:
        self._data = data
        self._autoencoder = place(autoencoder.eval())
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(data.scenes), 16, 16, 16)
        if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
            np.lib.format.open_memmap(path, "w+", np.float16, shape).flush()
        self._latents = np.load(path, mmap_mode="r+")

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.float16]:
        """The latents of these pictures, float16 (len(indices), 16, 16, 16)."""
        # A picture's latents have unit variance, so all zero means: not encoded yet.
        missing = np.unique(indices[~self._latents[indices].any((1, 2, 3))])
        for start in range(0, len(missing), _CHUNK):
            some = missing[start : start + _CHUNK]
            self._latents[some] = encode(self._autoencoder, self._data.pictures[some])
        return self._latents[indices]

    def fill(self, progress: Progress) -> None:
        """Encode all images not encoded yet."""
        count = len(self._latents)
        for start in range(0, count, 32 * _CHUNK):
            self[np.arange(start, min(start + 32 * _CHUNK, count))]
            progress(start, count, {})
        self._latents.flush()


@torch.no_grad()
def encode(autoencoder: PocketAutoencoder, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Pictures uint8 (B, 256, 256, 3) to latents float16 (B, 16, 16, 16)."""
    seen = images_to_device(from_uint8(pictures))
    with mixed_precision():
        encoded = autoencoder.encode(seen)
    return encoded.latent_dist.mode().float().cpu().numpy().astype(np.float16)  # type: ignore[union-attr]


@torch.no_grad()
def blank_latents(autoencoder: PocketAutoencoder) -> Tensor:
    """The latents of a white picture, (16, 16, 16)."""
    white = torch.ones(1, 3, PICTURE_SIZE, PICTURE_SIZE, device=training_device())
    return autoencoder.encode(white, return_dict=False)[0].mode()[0].cpu()
