"""A graph cut in two: what words and timestep alone decide is computed once per prompt, the rest once per image."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Any

import numpy as np
import openvino as ov
from cachetools import LRUCache
from numpy.typing import NDArray
from openvino import opset13
from openvino.passes import ConstantFolding, Manager

Arrays = Sequence[NDArray[Any]]
KEPT = 16  # results: a prompt in eight steps, guided or not


def cut(model: ov.Model, steady: Sequence[int]) -> tuple[ov.Model, ov.Model] | None:
    """Two models in the place of one of static shapes: of its `steady` inputs, and of the others and all that the first gives.

    Text is projected to keys and values in every attention, and the timestep for every block: a twelfth of a small UNet's
    time for something that no stroke changes. None where nothing depends on the steady inputs alone. `model` is used up.
    """
    passes = Manager()
    passes.register_pass(ConstantFolding())  # else shapes, known by now, would count as something computed
    passes.run_passes(model)
    inputs = model.get_parameters()
    alone = {inputs[index].get_name() for index in steady}
    moving = {node.get_name() for node in inputs} - alone
    kinds = _kinds(model, alone, moving)
    found: dict[tuple[str, int], Any] = {}
    given: list[Any] = []
    for node in model.get_ordered_ops():
        if kinds[node.get_name()] is not Depends.MOVING:
            continue
        for entry in node.inputs():
            source = entry.get_source_output()
            name = (source.get_node().get_name(), source.get_index())
            if kinds[name[0]] is not Depends.STEADY:
                continue
            if name not in found:
                found[name] = opset13.parameter(source.get_partial_shape(), source.get_element_type())
                given.append(source)
            entry.replace_source_output(found[name].output(0))
    if not given:
        return None
    kept = [node for index, node in enumerate(inputs) if index not in set(steady)]
    first = ov.Model([opset13.result(output) for output in given], [inputs[index] for index in steady])
    return first, ov.Model(model.get_results(), [*kept, *found.values()])


class Depends(Enum):
    """What a node's value depends on."""

    CONSTANTS = "constants"
    STEADY = "steady"  # words and timestep
    MOVING = "moving"  # what changes with every image


def _kinds(model: ov.Model, steady: set[str], moving: set[str]) -> dict[str, Depends]:
    """What each node depends on, by name: something moving, else something steady, else constants alone."""
    kinds: dict[str, Depends] = {}
    for node in model.get_ordered_ops():
        name = node.get_name()
        sources = {kinds[entry.get_source_output().get_node().get_name()] for entry in node.inputs()}
        if name in moving or Depends.MOVING in sources:
            kinds[name] = Depends.MOVING
        else:
            kinds[name] = Depends.STEADY if name in steady or Depends.STEADY in sources else Depends.CONSTANTS
    return kinds


class SteadyPart:
    """The first of two models, and what it gave for the last keys. Use under the device lock."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._known: LRUCache[Hashable, list[ov.Tensor]] = LRUCache(KEPT)
        self._each = 0  # bytes of one result: shapes are static, so all are alike

    @property
    def bytes(self) -> int:
        """What is kept, without the model's weights."""
        return len(self._known) * self._each

    def __call__(self, key: Hashable, inputs: Arrays) -> list[ov.Tensor]:
        """What it gives for `inputs`, which are the same whenever `key` is."""
        known = self._known.get(key)
        if known is not None:
            return known
        values = {i: np.ascontiguousarray(array) for i, array in enumerate(inputs)}
        found = self._request.infer(values, share_inputs=True, share_outputs=True)
        made = [ov.Tensor(np.array(found[i])) for i in range(len(found))]
        self._known[key] = made
        self._each = sum(tensor.get_byte_size() for tensor in made)
        return made
