"""Work is counted by hand: products and attention, forward and back."""

import pytest
import torch
from torch.nn import functional

from hypersd_app.training.core.flops import PlainFlops, flop_counter


@pytest.mark.parametrize("length", [8, 24])
def test_attention_on_a_cpu_counts_as_its_two_products(length):
    query = torch.randn(2, 3, length, 16, requires_grad=True)
    key, value = torch.randn(2, 3, 5, 16, requires_grad=True), torch.randn(2, 3, 5, 16, requires_grad=True)
    with flop_counter() as forward:
        made = functional.scaled_dot_product_attention(query, key, value)
    product = 2 * 2 * 3 * length * 5 * 16
    assert forward.get_total_flops() == 2 * product
    with flop_counter() as backward:
        made.sum().backward()
    assert backward.get_total_flops() == 5 * product  # scores once more, and four gradients


def test_counting_by_operator_alone_is_torch_s_own_count():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 64, 5))
    x = torch.randn(2, 3, 8, 8)
    with flop_counter() as expected:
        network(x).sum().backward()
    with PlainFlops() as found:
        network(x).sum().backward()
    assert found.total == expected.get_total_flops() > 0
