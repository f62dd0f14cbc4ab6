"""torchvision's detector as a loss: its gradients reach the image, and it finds its own annotations again."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.detection import maskrcnn_resnet50_fpn

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.critics.mask_rcnn import CLASSES, WEIGHTS, MaskRCNNSegmenter

SMALL = {"min_size": 64, "max_size": 64}


def test_the_loss_is_torchvision_s_own_and_reaches_the_image(tmp_path):
    torch.manual_seed(0)
    reference = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES, **SMALL)
    save_file(reference.state_dict(), tmp_path / WEIGHTS)
    segmenter = MaskRCNNSegmenter(tmp_path, **SMALL)
    images = torch.rand(2, 3, 64, 64).mul(2).sub(1).requires_grad_()
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, 10:40, 12:44] = 1
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "masks": mask[:0]}
    thing = {"boxes": torch.tensor([[12.0, 10.0, 44.0, 40.0]]), "labels": torch.tensor([3]), "masks": mask}
    torch.manual_seed(1)  # proposals are sampled
    loss = segmenter.loss(images, [thing, nothing])
    loss.backward()
    assert images.grad[0].abs().sum() > 0 and not images.grad[1].any(), "nothing seen, nothing asked"
    assert not segmenter.model.training and not segmenter.model.backbone.training
    reference.eval()
    for part in (reference, reference.rpn, reference.roi_heads, reference.transform):
        part.training = True
    torch.manual_seed(1)
    expected = sum(reference([images[0].detach() / 2 + 0.5], [thing]).values())
    assert loss.item() == pytest.approx(expected.item() / 2, rel=1e-4)
    assert segmenter.loss(images, [nothing, nothing]).item() == 0
    assert {len(each["boxes"]) for each in segmenter.annotations(images)} <= set(range(101))
    segmenter.train()
    assert not segmenter.training


def test_missing_and_other_weights_are_named(tmp_path):
    with pytest.raises(ModelUnavailable, match="mask_rcnn"):
        MaskRCNNSegmenter(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(ModelUnavailable, match="not maskrcnn"):
        MaskRCNNSegmenter(tmp_path, **SMALL)
