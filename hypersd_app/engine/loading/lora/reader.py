"""A LoRA file's tensors as changes. Which tensors mean what is read from its header, as when the file was accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from hypersd_app.catalog.lora.adapters import BIAS, FULL, IA3, LOHA, LOKR, LORA, Adapter
from hypersd_app.catalog.lora.contents import read_contents
from hypersd_app.catalog.lora.keys import COMPONENTS
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.engine.loading.lora.changes import (
    Change,
    Decomposed,
    Full,
    Gate,
    Hadamard,
    Kronecker,
    LowRank,
    low_rank_of_tucker,
)
from hypersd_app.errors import ModelUnavailable

Changes = Mapping[str, Change]  # parameter, underscores for dots, with ".bias" for a bias -> change
Factors = Mapping[str, Changes]  # component -> changes


def read_factors(path: Path) -> Factors:
    """All changes in a LoRA file of any kind. Raises ModelUnavailable."""
    contents = read_contents(read_header(path))
    found: dict[str, dict[str, Change]] = {component: {} for component in COMPONENTS}
    try:
        with safe_open(path, "pt") as file:
            for adapter in contents.adapters:
                tensors = {role: file.get_tensor(key) for role, key in adapter.tensors.items()}
                _check_numbers(path, adapter, tensors)
                found[adapter.place.component] |= changes(adapter, tensors)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelUnavailable(f"{path.name} cannot be read as a LoRA: {error}") from error
    return found


def _check_numbers(path: Path, adapter: Adapter, tensors: Mapping[str, Tensor]) -> None:
    """A file that lay in the folder already came through no door. Raises ModelUnavailable."""
    for role, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            raise ModelUnavailable(f"{path.name} is damaged: {adapter.tensors[role][:80]!r} holds values that are no numbers.")


def changes(adapter: Adapter, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """The changes that one adapter's tensors make, by parameter: (IA)^3 of outputs acts on the bias too."""
    if adapter.kind == IA3:
        return _gates(adapter, tensors)
    if adapter.kind in MAKERS:
        change: Change = MAKERS[adapter.kind](tensors, strength(adapter, tensors))
        magnitude = tensors.get("magnitude", tensors.get("dora_scale"))
        if magnitude is not None:
            shape = magnitude.flatten() if "magnitude" in tensors else magnitude
            change = Decomposed(change, shape)  # type: ignore[arg-type]
    elif adapter.kind == FULL:
        change = Full(tensors["diff"])
    else:
        assert adapter.kind == BIAS
        change = Full(tensors["diff_b"]) if "diff_b" in tensors else Full(tensors["up_bias"], strength(adapter, tensors))
    return {adapter.parameter: change}


def strength(adapter: Adapter, tensors: Mapping[str, Tensor]) -> float:
    """What the product of the factors is multiplied with: alpha over rank, by PEFT's rules where they are given."""
    scale = 1.0
    if adapter.scale is not None:
        scale = adapter.scale
    elif "alpha" in tensors and adapter.rank:
        # An alpha of 0 means the rank itself to those who write it.
        scale = (float(tensors["alpha"]) or adapter.rank) / adapter.rank
    return scale * float(tensors["scalar"]) if "scalar" in tensors else scale


def _low_rank(tensors: Mapping[str, Tensor], scale: float) -> LowRank:
    if "embedding_down" in tensors:
        return LowRank(tensors["embedding_up"].T, tensors["embedding_down"].T, scale)
    if "mid" in tensors:
        return low_rank_of_tucker(tensors["down"], tensors["mid"], tensors["up"], scale)
    return LowRank(tensors["down"], tensors["up"], scale)


def _hadamard(tensors: Mapping[str, Tensor], scale: float) -> Hadamard:
    a1, b1, a2, b2 = (tensors[f"hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    return Hadamard(a1=a1, b1=b1, a2=a2, b2=b2, scale=scale, core1=tensors.get("hada_t1"), core2=tensors.get("hada_t2"))


def _kronecker(tensors: Mapping[str, Tensor], scale: float) -> Kronecker:
    names = {"first": "w1", "second": "w2", "a1": "w1_a", "b1": "w1_b", "a2": "w2_a", "b2": "w2_b", "core2": "t2"}
    return Kronecker(scale=scale, **{field: tensors.get(f"lokr_{name}") for field, name in names.items()})


MAKERS: Mapping[str, Callable[[Mapping[str, Tensor], float], LowRank | Hadamard | Kronecker]] = {
    LORA: _low_rank,
    LOHA: _hadamard,
    LOKR: _kronecker,
}


def _gates(adapter: Adapter, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """LyCORIS' factors are around 0 and leave biases alone, PEFT's around 1 and act on outputs whole."""
    if "on_input" in tensors:
        return {adapter.parameter: Gate(tensors["weight"].flatten(), bool(tensors["on_input"]))}
    factor = tensors["ia3_l"].float().flatten() - 1
    gates: dict[str, Change] = {adapter.parameter: Gate(factor, not adapter.outputs)}
    if adapter.outputs:
        gates[f"{adapter.parameter}.bias"] = Gate(factor, False)
    return gates
