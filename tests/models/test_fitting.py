"""What is expected, stretched to where it is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hypersd_app.models.controlnet import DrawnLayout
from hypersd_app.models.fitting import box, fitted


def block(y0: int, y1: int, x0: int, x1: int, size: int = 16) -> Tensor:
    """Ones in a box of a (1, size, size) image of zeros."""
    image = torch.zeros(1, size, size)
    image[:, y0:y1, x0:x1] = 1
    return image


def test_a_box_is_found_in_parts_of_the_image() -> None:
    found = box(torch.cat([block(2, 6, 3, 16), block(0, 16, 8, 9), torch.zeros(1, 16, 16)]), 0.5)
    expected = torch.tensor([[2, 6, 3, 16], [0, 16, 8, 9], [0, 16, 0, 16]]) / 16  # nothing at all: the whole
    assert torch.equal(found, expected)
    assert torch.equal(box(0.4 * block(2, 6, 3, 16), 0.5), torch.tensor([[0.0, 1, 0, 1]])), "too weak to count"
    per_image = torch.tensor([0.3, 3.0]).view(2, 1, 1)
    both = box(block(4, 8, 4, 8).expand(2, 16, 16), per_image)
    assert both[0].tolist() == [0.25, 0.5, 0.25, 0.5] and both[1].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("target", [(0, 8, 0, 8), (8, 16, 4, 12), (1, 15, 6, 10), (3, 6, 3, 6)])
def test_what_stands_in_one_box_comes_to_stand_in_the_other(target: tuple[int, int, int, int]) -> None:
    source = block(2, 14, 4, 12)
    image = torch.stack([source[0], 3 * source[0]])[None]
    asked = block(*target)
    made = fitted(image, box(source, 0.5), box(asked, 0.5))
    assert made.shape == image.shape
    torch.testing.assert_close(made[:, 1], 3 * made[:, 0])
    inside = asked > 0
    assert made[0, 0][inside[0]].mean() > 0.6 and made[0, 0][~inside[0]].abs().mean() < 0.06
    assert abs(float(made[0, 0].sum() / asked.sum()) - 1) < 0.35, "neither more of it nor less"


def test_a_box_that_stays_leaves_everything_as_it_is() -> None:
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    same = box(torch.cat([block(3, 9, 1, 14), block(0, 16, 0, 16)]), 0.5)
    torch.testing.assert_close(fitted(image, same, same), image)


def test_a_gradient_keeps_its_direction() -> None:
    ramp = torch.linspace(0, 1, 16).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    half = fitted(ramp, torch.tensor([[0.0, 1, 0, 1]]), torch.tensor([[0.0, 1, 0.5, 1]]))[0, 0]
    assert (half[:, :8] < 0.02).all() and (half[:, 9:15].diff(dim=1) > 0.08).all()


def test_an_expected_thing_is_moved_to_the_ink() -> None:
    drawn = DrawnLayout()
    drawn.blank.fill_(0.5)
    layout = (0.5 + 2 * block(2, 14, 2, 14))[:, None].expand(1, 16, 16, 16)
    control = torch.zeros(1, 3, 256, 256)
    control[:, 1, 128:240, 16:128] = 1  # coloured ink is not in all channels
    there = drawn.fitted_to(control, layout - drawn.blank)[0, 0]
    assert there[9:14, 2:7].mean() > 1.5 and there[:7].abs().max() < 0.1 and there[:, 9:].abs().max() < 0.1
    assert drawn(control, torch.randn(1, 4, 384), layout).abs().max() == 0, "an untrained one changes nothing"
