"""Instance segmentation of photographs by torchvision's Mask R-CNN: its own loss on a predicted image is L_percep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models.detection import maskrcnn_resnet50_fpn

from hypersd_app.errors import ModelUnavailable

WEIGHTS = "mask_rcnn.safetensors"
SURE = 0.5  # a detection's score from which on it counts as an annotation
CLASSES = 91  # of COCO
LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")


class MaskRCNNSegmenter(nn.Module):
    """Reads `folder/mask_rcnn.safetensors`, torchvision's `maskrcnn_resnet50_fpn` weights converted: pickles are not read.

    Hyper-SD uses SOLO; this one's interface is the same: images and annotations to losses. Raises
    ModelUnavailable where the file is missing or does not fit.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__()
        path = folder / WEIGHTS
        if not path.exists():
            raise ModelUnavailable(
                f"Instance segmentation needs {path}: torchvision's maskrcnn_resnet50_fpn weights as safetensors."
            )
        self.model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **options)
        try:
            self.model.load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ModelUnavailable(f"{path} is not maskrcnn_resnet50_fpn: {error}") from error
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> MaskRCNNSegmenter:
        """Stays in evaluation mode, but for the flag by which torchvision's detectors give losses."""
        return super().train(False)

    @torch.no_grad()
    def annotations(self, images: Tensor) -> list[dict[str, Tensor]]:
        """What is seen in real images in [-1, 1], (B, 3, H, W), as the targets of `loss`: boxes, labels and binary masks."""
        found = self.model(list(images.float() / 2 + 0.5))
        kept = [(each, (each["scores"] >= SURE) & _has_area(each["boxes"])) for each in found]
        return [
            {
                "boxes": each["boxes"][keep],
                "labels": each["labels"][keep],
                "masks": (each["masks"][keep, 0] > 0.5).to(torch.uint8),
            }
            for each, keep in kept
        ]

    def loss(self, images: Tensor, annotations: list[dict[str, Tensor]]) -> Tensor:
        """The detector's losses summed, a scalar with gradients to `images` alone. 0 where nothing was seen in any image."""
        seen = [row for row, each in enumerate(annotations) if len(each["boxes"])]
        if not seen:
            return images.sum() * 0
        parts = (self.model, self.model.rpn, self.model.roi_heads, self.model.transform)
        for part in parts:  # these flags alone: normalization and dropout stay as they are
            part.training = True
        try:
            losses = self.model([images[row].float() / 2 + 0.5 for row in seen], [annotations[row] for row in seen])
        finally:
            for part in parts:
                part.training = False
        return torch.stack([losses[name] for name in LOSSES]).sum() * len(seen) / len(images)


def _has_area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] > boxes[:, 0] + 1) & (boxes[:, 3] > boxes[:, 1] + 1)
