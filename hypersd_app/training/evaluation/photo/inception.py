"""The Fréchet inception distance of photographs as clean-fid computes it (Parmar et al., 2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import Inception3
from torchvision.models.inception import InceptionA, InceptionC, InceptionE

from hypersd_app.errors import ModelUnavailable

WEIGHTS = "inception.safetensors"
SIDE = 299


def clean_resize(image: Image.Image) -> NDArray[np.float32]:
    """An image at the network's size, (299, 299, 3) in 0 to 255: bicubic, each channel in float, nothing rounded."""
    channels = [Image.fromarray(channel.astype(np.float32)) for channel in np.asarray(image.convert("RGB")).transpose(2, 0, 1)]
    resized = [np.asarray(channel.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).clip(0, 255) for channel in channels]
    return np.stack(resized, axis=2).astype(np.float32)


def _average(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _largest(x: Tensor) -> Tensor:
    return functional.max_pool2d(x, 3, stride=1, padding=1)


def _pooled(block: nn.Module, x: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """torchvision's block with TensorFlow's pooling before its last branch."""
    return torch.cat([*block._forward(x)[:-1], block.branch_pool(pool(x))], 1)  # type: ignore[operator]


class _Averaging(nn.Module):
    """What the blocks' variants share; torchvision's own block comes after it."""

    def forward(self, x: Tensor) -> Tensor:
        return _pooled(self, x, _average)


class _A(_Averaging, InceptionA):  # type: ignore[misc]
    pass


class _C(_Averaging, InceptionC):  # type: ignore[misc]
    pass


class _E(_Averaging, InceptionE):  # type: ignore[misc]
    pass


class _LastE(InceptionE):  # type: ignore[misc]
    def forward(self, x: Tensor) -> Tensor:
        return _pooled(self, x, _largest)


_BLOCKS: dict[str, type[nn.Module]] = {
    "Mixed_5b": _A, "Mixed_5c": _A, "Mixed_5d": _A, "Mixed_6b": _C, "Mixed_6c": _C, "Mixed_6d": _C, "Mixed_6e": _C,
    "Mixed_7b": _E, "Mixed_7c": _LastE,
}  # fmt: skip


def new_inception() -> Inception3:
    """TensorFlow's Inception of 2015 with random weights, in the names of `pt_inception-2015-12-05`."""
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for name, kind in _BLOCKS.items():
        getattr(network, name).__class__ = kind
    return network.eval().requires_grad_(False)


class InceptionFeatures:
    """Reads `folder/inception.safetensors`, pytorch-fid's `pt_inception-2015-12-05` converted. Raises ModelUnavailable."""

    def __init__(self, folder: Path) -> None:
        path = folder / WEIGHTS
        if not path.exists():
            raise ModelUnavailable(f"FID needs {path}: run `evaluate convert --weights inception --source FILE` first.")
        self.network = new_inception()
        try:
            self.network.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ModelUnavailable(f"{path} is not pt_inception-2015-12-05: {error}") from error
        self.network.fc = nn.Identity()

    @torch.no_grad()
    def __call__(self, images: Iterable[Image.Image]) -> NDArray[np.float32]:
        """float32 (N, 2048)."""
        parts = [self.features(torch.from_numpy(clean_resize(image)).permute(2, 0, 1)[None]) for image in images]
        return torch.cat(parts).numpy()

    def features(self, pixels: Tensor) -> Tensor:
        """Of (B, 3, 299, 299) in 0 to 255."""
        return self.network((pixels - 128) / 128)
