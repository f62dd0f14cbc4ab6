"""Images as ControlNets read them."""

from __future__ import annotations

from torch import Tensor


def control_tensor(images: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1], the range ControlNets are trained on."""
    return images.permute(0, 3, 1, 2).float() / 255
