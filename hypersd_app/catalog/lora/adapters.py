"""One layer's tensors as adapters: of which kind, complete or not, and the shape of what they change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypersd_app.catalog.lora.keys import Key

Shape = tuple[int, ...]
LORA, LOHA, LOKR, IA3, FULL, BIAS = "LoRA", "LoHa", "LoKr", "(IA)^3", "full difference", "bias"
MOST_DIMENSIONS = 4


class BrokenAdapter(Exception):
    """Tensors of a layer are missing, or their shapes contradict each other."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a layer by its header."""

    key: str
    shape: Shape


Roles = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One change of one parameter. `outputs` and `inputs` are the sizes of what it changes; 0 where it acts on the other side."""

    place: Key
    kind: str
    tensors: Mapping[str, str]  # role -> the tensor's key in the file
    outputs: int
    inputs: int
    rank: int = 0
    magnitudes: Shape = ()  # of a DoRA
    scale: float | None = None  # what PEFT's metadata say; None: the file's alpha over the rank

    @property
    def parameter(self) -> str:
        """The parameter it changes: a layer's name for its weight, with ".bias" for its bias."""
        return f"{self.place.layer}.bias" if self.kind == BIAS else self.place.layer

    def fits(self, shape: Shape) -> bool:
        """Whether a parameter of this shape can be changed so."""
        outputs, inputs = shape[0] if shape else 1, math.prod(shape[1:])
        if self.kind == IA3:
            return self.outputs == outputs or (len(shape) > 1 and self.inputs == shape[1])
        if (self.outputs, self.inputs) != (outputs, inputs):
            return False
        size = math.prod(self.magnitudes)
        return (
            not self.magnitudes or size == outputs or (len(shape) > 1 and self.magnitudes[:2] == (1, shape[1]) and size == shape[1])
        )


def layer_adapters(place: Key, roles: Roles) -> list[Adapter]:
    """The adapters that a layer's tensors are; [] if none. Raises BrokenAdapter."""
    for name, tensor in roles.items():
        if len(tensor.shape) > MOST_DIMENSIONS or 0 in tensor.shape:
            raise BrokenAdapter(f"{tensor.key!r} has the shape {tensor.shape}")
        if name in ("alpha", "scalar", "on_input") and math.prod(tensor.shape) != 1:
            raise BrokenAdapter(f"{tensor.key!r} is not one number")
    found = [adapter for read in READERS if (adapter := read(place, roles)) is not None]
    if sum(adapter.kind != BIAS for adapter in found) > 1:
        raise BrokenAdapter(f"{place.module!r} is changed in two ways at once")
    return found


def _shapes(roles: Roles, *needed: str) -> list[Shape] | None:
    """Shapes of the tensors of some roles: None if none is there. Raises BrokenAdapter if only some are."""
    if not any(role in roles for role in needed):
        return None
    if missing := [role for role in needed if role not in roles]:
        there = next(roles[role].key for role in needed if role in roles)
        raise BrokenAdapter(f"{there!r} has no {missing[0]!r} beside it")
    return [roles[role].shape for role in needed]


def _adapter(place: Key, kind: str, roles: Roles, sizes: tuple[int, int], rank: int = 0) -> Adapter:
    names = {"alpha"} if rank else set()
    names |= {"scalar"} if kind in (LORA, LOHA, LOKR) else set()
    used = {role: tensor.key for role, tensor in roles.items() if role in names or role in OWN[kind]}
    magnitudes: Shape = ()
    for role in ("magnitude", "dora_scale"):
        if role in roles and kind in (LORA, LOHA, LOKR):
            used[role], magnitudes = roles[role].key, roles[role].shape
            # PEFT's are one for each output, whatever their shape.
            magnitudes = (math.prod(magnitudes),) if role == "magnitude" else magnitudes
    return Adapter(place=place, kind=kind, tensors=used, outputs=sizes[0], inputs=sizes[1], rank=rank, magnitudes=magnitudes)


def _same(condition: bool, roles: Roles, *names: str) -> None:
    if not condition:
        shapes = " and ".join(str(roles[name].shape) for name in names if name in roles)
        raise BrokenAdapter(f"the factors of {roles[names[0]].key!r} are {shapes}, of different ranks or shapes")


def _lora(place: Key, roles: Roles) -> Adapter | None:
    if shapes := _shapes(roles, "embedding_down", "embedding_up"):
        down, up = shapes
        _same(len(down) == len(up) == 2 and down[0] == up[1], roles, "embedding_down", "embedding_up")
        return _adapter(place, LORA, roles, (down[1], up[0]), down[0])
    shapes = _shapes(roles, "down", "up")
    if shapes is None:
        if "mid" in roles:
            raise BrokenAdapter(f"{roles['mid'].key!r} has no factors beside it")
        return None
    down, up = shapes
    rank, kernel = down[0], 1
    _same(min(len(down), len(up)) >= 2 and math.prod(up[1:]) == rank, roles, "down", "up")
    if "mid" in roles:
        mid = roles["mid"].shape
        kernel = math.prod(mid[2:])
        _same(mid[:2] == (rank, rank) and math.prod(down[2:]) == 1, roles, "mid", "down", "up")
    return _adapter(place, LORA, roles, (up[0], math.prod(down[1:]) * kernel), rank)


def _loha(place: Key, roles: Roles) -> Adapter | None:
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    shapes = _shapes(roles, *names)
    tuckers = _shapes(roles, "hada_t1", "hada_t2")
    if shapes is None:
        if tuckers:
            raise BrokenAdapter(f"{roles['hada_t1'].key!r} has no factors beside it")
        return None
    _same(all(len(shape) >= 2 for shape in shapes), roles, *names)
    sizes = [_pair(roles, *pair) for pair in (("hada_w1_a", "hada_w1_b", "hada_t1"), ("hada_w2_a", "hada_w2_b", "hada_t2"))]
    _same(sizes[0] == sizes[1], roles, *names)
    # LyCORIS divides by the rank of the first pair.
    return _adapter(place, LOHA, roles, sizes[0], roles["hada_w1_b"].shape[0])


def _pair(roles: Roles, a: str, b: str, tucker: str = "") -> tuple[int, int]:
    """Outputs and inputs of a @ b, or of what a core tensor and a, b make: a is turned there."""
    first, second = roles[a].shape, roles[b].shape
    _same(len(first) == 2 and len(second) >= 2, roles, a, b)
    if tucker not in roles:
        _same(first[1] == second[0], roles, a, b)
        return first[0], math.prod(second[1:])
    core = roles[tucker].shape
    _same(len(core) > 2 and core[:2] == (first[0], second[0]) and len(second) == 2, roles, tucker, a, b)
    return first[1], second[1] * math.prod(core[2:])


def _lokr(place: Key, roles: Roles) -> Adapter | None:
    if not any(role.startswith("lokr_") for role in roles):
        return None
    rank, sizes = 0, []
    for whole, tucker in (("lokr_w1", ""), ("lokr_w2", "lokr_t2")):
        a, b = f"{whole}_a", f"{whole}_b"
        if whole in roles:
            shape = roles[whole].shape
            _same(len(shape) >= 2, roles, whole)
            sizes.append((shape[0], math.prod(shape[1:])))
        elif _shapes(roles, a, b):
            sizes.append(_pair(roles, a, b, tucker))
            rank = roles[b].shape[0]
        else:
            raise BrokenAdapter(f"{place.module!r} lacks {whole!r}")
    outputs, inputs = (first * second for first, second in zip(*sizes, strict=True))
    return _adapter(place, LOKR, roles, (outputs, inputs), rank)


def _ia3(place: Key, roles: Roles) -> Adapter | None:
    """A matrix of PEFT says by its shape on which side it acts, (1, in) or (out, 1); others act on the side that has their size."""
    if "on_input" in roles:
        shape = (_shapes(roles, "on_input", "weight") or [()])[1]
    elif "ia3_l" in roles:
        shape = roles["ia3_l"].shape
    else:
        return None
    size = math.prod(shape)
    _same(size == max(shape, default=1), roles, "ia3_l" if "ia3_l" in roles else "weight")
    if "ia3_l" in roles and len(shape) == 2:
        return _adapter(place, IA3, roles, (0, size) if shape[0] == 1 else (size, 0))
    return _adapter(place, IA3, roles, (size, size))


def _full(place: Key, roles: Roles) -> Adapter | None:
    if "diff" not in roles:
        return None
    shape = roles["diff"].shape
    return _adapter(place, FULL, roles, (shape[0] if shape else 1, math.prod(shape[1:])))


def _bias(place: Key, roles: Roles) -> Adapter | None:
    for role in ("diff_b", "up_bias"):
        if role in roles:
            rank = roles["down"].shape[0] if role == "up_bias" and "down" in roles and roles["down"].shape else 0
            return _adapter(place, BIAS, roles, (math.prod(roles[role].shape), 1), rank)
    return None


READERS: tuple[Callable[[Key, Roles], Adapter | None], ...] = (_lora, _loha, _lokr, _ia3, _full, _bias)
OWN = {
    LORA: {"down", "up", "mid", "embedding_down", "embedding_up"},
    LOHA: {f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    LOKR: {f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    IA3: {"ia3_l", "on_input", "weight"},
    FULL: {"diff"},
    BIAS: {"diff_b", "up_bias"},
}
