"""Images as CLIP and BLIP read them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(images: Tensor, side: int) -> Tensor:
    """Square images in [-1, 1], (B, 3, H, W), resized to `side` and normalized; differentiable."""
    resized = functional.interpolate(images, (side, side), mode="bicubic", antialias=True)
    mean = torch.tensor(MEAN, device=images.device).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=images.device).view(1, 3, 1, 1)
    return (resized.clamp(-1, 1) / 2 + 0.5 - mean) / deviation
