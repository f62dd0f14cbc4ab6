"""The layout prior and the UNet that begins from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.models.layout import CODED, PART_PLACES, LayoutPrior, LayoutSize, at_places, size_of, with_code
from hypersd_app.models.pocket import PocketUNet, new_unet, with_code_of
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


@pytest.fixture(scope="module")
def coded() -> LayoutPrior:
    torch.manual_seed(0)
    return LayoutPrior(CODED)


def test_a_code_says_which_layout_and_none_says_no_layout(coded: LayoutPrior, text: Tensor) -> None:
    codes = torch.randn(2, CODED.code, generator=torch.Generator().manual_seed(2))
    first, other = coded(with_code(text, codes)), coded(with_code(text, codes.flip(0)))
    assert first.shape == (2, 16, 16, 16) and torch.equal(first, coded(with_code(text, codes)))
    assert not torch.allclose(first, other, atol=1e-3)
    assert not torch.allclose(first, coded(with_code(text.flip(0), codes)), atol=1e-3), "the words count besides"
    assert not coded(with_code(text, None)).any()
    one = coded(with_code(text, codes, torch.tensor([True, False])))
    assert torch.equal(one[0], first[0]) and not one[1].any()
    padded = torch.nn.functional.pad(text, (0, 0, 0, 26))
    torch.testing.assert_close(coded(with_code(padded, codes)), first, atol=1e-5, rtol=1e-4)


def test_the_nearest_code_is_no_farther_than_any_other(coded: LayoutPrior, text: Tensor) -> None:
    wanted = coded(with_code(text, torch.randn(2, CODED.code, generator=torch.Generator().manual_seed(3))))
    tried = torch.randn(2, 32, CODED.code, generator=torch.Generator().manual_seed(4))
    distance = (coded(with_code(text, coded.nearest_code(text, wanted, tried))) - wanted).square().mean((1, 2, 3))
    for column in range(32):
        assert (distance <= (coded(with_code(text, tried[:, column])) - wanted).square().mean((1, 2, 3)) + 1e-6).all()


def test_a_seed_has_one_code(unet: PocketUNet, text: Tensor) -> None:
    noise = seeded_noise([3, 4], (16, 16, 16))
    model = new_unet((64, 64, 64), 1, CODED)
    both = with_code_of(model, text, noise)
    assert torch.equal(both[1:], with_code_of(model, text[1:], seeded_noise([4], (16, 16, 16))))
    assert not torch.equal(both[0, -1], both[1, -1])
    assert torch.equal(with_code_of(unet, text, noise), text), "layouts without a code are a caption's alone"


def test_a_saved_unet_knows_that_its_layouts_have_a_code(text: Tensor, tmp_path: Path) -> None:
    unet = new_unet((64, 64, 64), 1, CODED)
    unet.save_pretrained(tmp_path)
    again = PocketUNet.from_pretrained(tmp_path)
    words = with_code_of(again, text, seeded_noise([1, 2], (16, 16, 16)))
    assert again.layout.size == CODED == size_of(unet.layout.state_dict())
    x, t = torch.randn(2, 16, 16, 16), torch.tensor(999)
    torch.testing.assert_close(again(x, t, words, return_dict=False)[0], unet(x, t, words, return_dict=False)[0])
    without = again(x, t, with_code_of(again, text, None), return_dict=False)[0]
    assert not torch.allclose(without, again(x, t, words, return_dict=False)[0], atol=1e-3)


def test_a_code_has_to_fit_a_token() -> None:
    with pytest.raises(ValueError, match="code: 384"):
        LayoutSize(code=384)
