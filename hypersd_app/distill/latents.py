"""Latents of the training pictures: each goes through the frozen autoencoder once, when it is first asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.distill.data.dataset import PICTURE_SIZE, PictureData
from hypersd_app.distill.precision import MEMORY_FORMAT, mixed_precision
from hypersd_app.distill.previews import from_uint8
from hypersd_app.distill.runs import Progress
from hypersd_app.models.autoencoder import PocketAutoencoder

_CHUNK = 32


class LatentStore:
    """float16 (N, 16, 16, 16) on disk, filled as it is read: a training need not wait for pictures it may never draw."""

    def __init__(self, path: Path, data: PictureData, autoencoder: PocketAutoencoder) -> None:
        self._data = data
        self._autoencoder = autoencoder.eval().to(memory_format=MEMORY_FORMAT)
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
            self._encode(missing[start : start + _CHUNK])
        return self._latents[indices]

    @torch.no_grad()
    def _encode(self, indices: NDArray[np.int64]) -> None:
        pictures = from_uint8(self._data.pictures[indices]).contiguous(memory_format=MEMORY_FORMAT)
        with mixed_precision():
            encoded = self._autoencoder.encode(pictures).latent_dist.mode()  # type: ignore[union-attr]
        self._latents[indices] = encoded.float().numpy()

    def fill(self, progress: Progress) -> None:
        """Encode all that is missing."""
        count = len(self._latents)
        for start in range(0, count, 32 * _CHUNK):
            self[np.arange(start, min(start + 32 * _CHUNK, count))]
            progress(start, count, {})
        self._latents.flush()


@torch.no_grad()
def blank_latents(autoencoder: PocketAutoencoder) -> Tensor:
    """The latents of a white picture, (16, 16, 16)."""
    white = torch.ones(1, 3, PICTURE_SIZE, PICTURE_SIZE)
    return autoencoder.encode(white, return_dict=False)[0].mode()[0]  # type: ignore[union-attr]
