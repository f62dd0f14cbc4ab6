"""The layout prior and the UNet that begins from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersd_app.models.layout import PART_PLACES, LayoutPrior, at_places
from hypersd_app.models.pocket import PocketUNet, new_unet
from hypersd_app.training.distillation.denoiser import weight_layers


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


def test_one_thing_is_drawn_the_same_in_every_place() -> None:
    parts = torch.arange(1.0, 10.0).view(1, 9, 1, 1, 1).expand(1, 9, 16, 8, 8)
    placed = at_places(parts)[0, 0]
    assert placed.shape == (16, 16)
    assert placed[5, 1] == 1 + 5, "the left one and the upper left corner's"
    for number, (y, x) in enumerate(PART_PLACES):
        one = at_places(parts * (torch.arange(9) == number).view(1, 9, 1, 1, 1))[0, 0]
        assert (one[y : y + 8, x : x + 8] == number + 1).all() and (one != 0).sum() == 64


def test_words_are_told_apart_by_their_place(text: Tensor) -> None:
    prior = LayoutPrior()
    assert not torch.allclose(prior(text), prior(text.flip(1)), atol=1e-4), "a cat and a dog is not a dog and a cat"


def test_the_unet_sees_the_layout_and_its_loss_leaves_the_prior_alone(unet: PocketUNet, text: Tensor) -> None:
    x = torch.randn(2, 16, 16, 16)
    assert unet.with_layout(x, text).shape == (2, 32, 16, 16)
    before = unet(x, torch.tensor(500), text, return_dict=False)[0]
    assert before.shape == x.shape
    bias = unet.layout.whole_head.out_proj.bias
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
