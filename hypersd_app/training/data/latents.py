"""Latents of the training images, encoded by the frozen autoencoder once, on first access."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.autoencoders import PocketVae, image_channels
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.device import images_to_device, mixed_precision, place, training_device
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.data.dataset import IMAGE_SIZE, ImageDataset

_CHUNK = 32


class LatentStore:
    """float16 (N, 16, 16, 16) on disk, filled lazily: training doesn't wait for images that it may never sample."""

    def __init__(self, path: Path, data: ImageDataset, autoencoder: PocketVae) -> None:
        self._data = data
        self._autoencoder = place(autoencoder.eval())
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(data.scenes), 16, 16, 16)
        if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
            np.lib.format.open_memmap(path, "w+", np.float16, shape).flush()
        self._latents = np.load(path, mmap_mode="r+")

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.float16]:
        """The latents of these images, float16 (len(indices), 16, 16, 16)."""
        # An image's latents have unit variance, so all zero means: not encoded yet.
        missing = np.unique(indices[~self._latents[indices].any((1, 2, 3))])
        for start in range(0, len(missing), _CHUNK):
            some = missing[start : start + _CHUNK]
            self._latents[some] = encode(self._autoencoder, self._data.rgba[some])
        return self._latents[indices]

    def fill(self, progress: Progress) -> None:
        """Encode all images not encoded yet."""
        count = len(self._latents)
        for start in range(0, count, 32 * _CHUNK):
            self[np.arange(start, min(start + 32 * _CHUNK, count))]
            progress(start, count, {})
        self._latents.flush()


@torch.no_grad()
def encode(autoencoder: PocketVae, images: NDArray[np.uint8]) -> NDArray[np.float16]:
    """Images uint8 (B, 256, 256, 4), RGB as it looks on white and alpha, to latents float16 (B, 16, 16, 16)."""
    parts = []
    for start in range(0, len(images), _CHUNK):
        seen = images_to_device(from_uint8(images[start : start + _CHUNK, ..., : image_channels(autoencoder)]))
        with mixed_precision():
            (encoded,) = autoencoder.encode(seen, return_dict=False)
        parts.append(encoded.mode().float().cpu().numpy().astype(np.float16))
    return np.concatenate(parts)


@torch.no_grad()
def blank_latents(autoencoder: PocketVae) -> Tensor:
    """The latents of white paper without anything on it, (16, 16, 16)."""
    white = torch.ones(1, image_channels(autoencoder), IMAGE_SIZE, IMAGE_SIZE, device=training_device())
    white[:, 3:] = -1  # alpha
    return autoencoder.encode(white, return_dict=False)[0].mode()[0].cpu()
