"""The layout prior and the UNet that begins from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersd_app.distill.denoisers import weight_layers
from hypersd_app.models.layout import LayoutPrior
from hypersd_app.models.pocket import PocketUNet, new_unet


@pytest.fixture(scope="module")
def unet() -> PocketUNet:
    torch.manual_seed(0)
    return new_unet((64, 64, 64), 1)


@pytest.fixture
def text() -> Tensor:
    return torch.randn(2, 6, 384, generator=torch.Generator().manual_seed(1))


def test_padding_is_not_read(text: Tensor) -> None:
    prior = LayoutPrior()
    padded = torch.nn.functional.pad(text, (0, 0, 0, 26))
    assert torch.allclose(prior(text), prior(padded), atol=1e-5)
    assert not torch.allclose(prior(text), prior(text[:, :5]), atol=1e-3), "the last word is"
    assert torch.isfinite(prior(torch.zeros(1, 32, 384))).all()


def test_the_unet_sees_the_layout_and_its_loss_leaves_the_prior_alone(unet: PocketUNet, text: Tensor) -> None:
    x = torch.randn(2, 16, 16, 16)
    assert unet.with_layout(x, text).shape == (2, 32, 16, 16)
    before = unet(x, torch.tensor(500), text, return_dict=False)[0]
    assert before.shape == x.shape
    bias = unet.layout.draw.bias
    with torch.no_grad():
        bias.add_(1)
        after = unet(x, torch.tensor(500), text, return_dict=False)[0]
        bias.sub_(1)
    assert not torch.allclose(before, after, atol=1e-3)
    before.square().mean().backward()
    assert unet.conv_in.weight.grad is not None
    assert all(parameter.grad is None for parameter in unet.layout.parameters())
    assert not any("layout" in name for name in weight_layers(unet)), "nor does a student change it"


def test_a_saved_unet_comes_back_with_its_layout(unet: PocketUNet, text: Tensor, tmp_path: Path) -> None:
    unet.save_pretrained(tmp_path)
    again = PocketUNet.from_pretrained(tmp_path)
    assert again.config["_class_name"] == "PocketUNet" and again.config.in_channels == 16
    assert torch.allclose(again.layout(text), unet.layout(text), atol=1e-4)
    assert not any(parameter.requires_grad for parameter in again.layout.parameters())
