"""How many shapes of one network stay compiled, and which go first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

pytest.importorskip("openvino")

import openvino as ov

from hypersd_app.engine.backends.openvino.network import MAX_COMPILED, CompiledNetwork


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.fixture
def network(tmp_path: Path) -> CompiledNetwork:
    return CompiledNetwork(ov.Core(), tmp_path / "doubled.xml", {"INFERENCE_PRECISION_HINT": "f32"}, Doubled, 1)


def run(network: CompiledNetwork, rows: int) -> np.ndarray:
    return network([np.ones((rows, 2), np.float32)])[0]


def test_what_was_not_used_for_longest_goes_first_and_is_compiled_again(network: CompiledNetwork) -> None:
    for rows in range(1, MAX_COMPILED + 1):
        assert (run(network, rows) == 2).all()
    run(network, 1)
    assert network.kept == 0  # counting what is kept is no use of it
    run(network, MAX_COMPILED + 1)
    assert network.extra == MAX_COMPILED - 1 and network.compilations == MAX_COMPILED + 1
    run(network, 1)
    assert network.compilations == MAX_COMPILED + 1, "used last but one"
    run(network, 2)
    assert network.compilations == MAX_COMPILED + 2, "used before all others"


def test_a_batch_that_went_is_compiled_beside_the_drawing_again(network: CompiledNetwork) -> None:
    def drawn() -> list[Tensor]:
        made = network.batched(4, lambda rows: [np.ones((4, 2), np.float32)[rows]], wide=True)
        network.settle()
        return made

    drawn()  # one by one, and nothing is compiled beside the first
    drawn()
    assert (4, 2) in {shapes[0] for shapes in network._requests}
    for rows in range(5, 5 + MAX_COMPILED):
        run(network, rows)
    assert (4, 2) not in {shapes[0] for shapes in network._requests}
    drawn()
    assert (4, 2) in {shapes[0] for shapes in network._requests}
    assert (drawn()[0] == 2).all()
