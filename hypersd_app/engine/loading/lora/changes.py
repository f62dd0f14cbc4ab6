"""What adapters do to a weight, as tensors: LoRA, LoHa, LoKr, (IA)^3, full differences, and DoRA around any of them.

Formulas and names are those of PEFT and of LyCORIS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import torch
from torch import Tensor


class Change(Protocol):
    """One change of one parameter."""

    @property
    def needs_base(self) -> bool:
        """Whether the change depends on the values that it changes, not only on their shape."""
        ...

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        ...

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base` at this weight of the style, float32, in the shape of `base`."""
        ...

    def tensors(self) -> Iterator[Tensor]:
        """All that it is made of."""
        ...

    def with_tensors(self, moved: Callable[[Tensor], Tensor]) -> Self:
        """The same change of other tensors, say on another device."""
        ...


class Parts:
    """What all changes share: they are made of the tensors in their fields, and mostly need only a shape."""

    needs_base = False

    def tensors(self) -> Iterator[Tensor]:
        """All that it is made of."""
        for value in self._values().values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, Parts):
                yield from value.tensors()

    def with_tensors(self, moved: Callable[[Tensor], Tensor]) -> Self:
        """The same change of other tensors."""
        new: dict[str, Any] = {}
        for name, value in self._values().items():
            if isinstance(value, Tensor):
                new[name] = moved(value)
            elif isinstance(value, Parts):
                new[name] = value.with_tensors(moved)
        return replace(self, **new)  # type: ignore[type-var]

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


def has_sizes(shape: tuple[int, ...], outputs: int, inputs: int) -> bool:
    """Whether a parameter has so many outputs, and so many numbers for each."""
    return (shape[0] if shape else 1, math.prod(shape[1:])) == (outputs, inputs)


@dataclass(frozen=True)
class LowRank(Parts):
    """scale * up @ down. `down`: (r, in, ...), `up`: (out, r, ...); convolutions have 4 dimensions."""

    down: Tensor
    up: Tensor
    scale: float

    @property
    def rank(self) -> int:
        """Inner dimension r."""
        return int(self.down.shape[0])

    def delta(self, weight: float = 1.0) -> Tensor:
        """The change of the layer's weight, float32, in the layer's own shape (1x1 kernels may be left out)."""
        up = self.up.float().flatten(1) * (self.scale * weight)
        return (up @ self.down.float().flatten(1)).view(self.up.shape[0], *self.down.shape[1:])

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        return has_sizes(shape, self.up.shape[0], math.prod(self.down.shape[1:]))

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        return self.delta(weight).view(base.shape)


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """(out, in, ...) of a core (r, s, ...) with a: (r, out) and b: (s, in)."""
    return torch.einsum("i j ..., i p, j r -> p r ...", core.float(), a.float(), b.float())


def low_rank_of_tucker(down: Tensor, mid: Tensor, up: Tensor, scale: float) -> LowRank:
    """LoCon's three factors as two: the core's kernel taken into `down`."""
    wide = torch.einsum("i j ..., j r -> i r ...", mid.float(), down.float().flatten(1))
    return LowRank(wide, up, scale)


@dataclass(frozen=True, kw_only=True)
class Hadamard(Parts):
    """LoHa: scale * (a1 @ b1) * (a2 @ b2), number by number; with cores, each half made of its core and the two."""

    a1: Tensor
    b1: Tensor
    a2: Tensor
    b2: Tensor
    scale: float
    core1: Tensor | None = None
    core2: Tensor | None = None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        return has_sizes(shape, *half_sizes(None, self.a1, self.b1, self.core1))

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        first, second = product(self.a1, self.b1, self.core1), product(self.a2, self.b2, self.core2)
        return (first.flatten(1) * second.flatten(1)).mul_(self.scale * weight).view(base.shape)


def product(a: Tensor, b: Tensor, core: Tensor | None = None) -> Tensor:
    """a @ b as a matrix, or what a core tensor makes of both, float32."""
    return a.float() @ b.float().flatten(1) if core is None else tucker(core, a, b)


@dataclass(frozen=True, kw_only=True)
class Kronecker(Parts):
    """LoKr: scale * kron(first, second), each a matrix, or two factors, or two and a core. `second` may be a kernel."""

    scale: float
    first: Tensor | None = None
    second: Tensor | None = None
    a1: Tensor | None = None
    b1: Tensor | None = None
    a2: Tensor | None = None
    b2: Tensor | None = None
    core2: Tensor | None = None

    def _halves(self) -> tuple[Tensor, Tensor]:
        first, second = self.first, self.second
        if first is None:
            assert self.a1 is not None and self.b1 is not None
            first = product(self.a1, self.b1)
        if second is None:
            assert self.a2 is not None and self.b2 is not None
            second = product(self.a2, self.b2, self.core2)
        return first.float().flatten(1), second.float().flatten(1)

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        first, second = half_sizes(self.first, self.a1, self.b1), half_sizes(self.second, self.a2, self.b2, self.core2)
        return has_sizes(shape, first[0] * second[0], first[1] * second[1])

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        first, second = self._halves()
        return torch.kron(first * (self.scale * weight), second).view(base.shape)


def half_sizes(whole: Tensor | None, a: Tensor | None, b: Tensor | None, core: Tensor | None = None) -> tuple[int, int]:
    """Rows and columns of a matrix, or of the product of its factors."""
    if whole is not None:
        return whole.shape[0], math.prod(whole.shape[1:])
    assert a is not None and b is not None
    if core is None:
        return a.shape[0], math.prod(b.shape[1:])
    return a.shape[1], b.shape[1] * math.prod(core.shape[2:])


@dataclass(frozen=True)
class Full(Parts):
    """A whole difference, of any parameter."""

    difference: Tensor
    scale: float = 1.0

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        own = self.difference.shape
        return has_sizes(shape, own[0] if own else 1, math.prod(own[1:]))

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        return self.difference.float().view(base.shape) * (self.scale * weight)


@dataclass(frozen=True)
class Gate(Parts):
    """(IA)^3: the inputs or outputs of a layer times (1 + factor). Where only one side has that size, it is that one."""

    factor: Tensor  # one-dimensional
    on_input: bool

    needs_base = True

    def _along(self, shape: tuple[int, ...]) -> list[int]:
        """Dimensions of `shape` that the factor could run along, the one meant first."""
        sides = (1, 0) if self.on_input else (0, 1)
        return [side for side in sides if side < len(shape) and shape[side] == self.factor.numel()]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        return bool(self._along(shape))

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        sizes = [1] * base.ndim
        sizes[self._along(tuple(base.shape))[0]] = -1
        return base.float() * (self.factor.float() * weight).view(sizes)


@dataclass(frozen=True)
class Decomposed(Parts):
    """DoRA: base + change, each output (or input) scaled to the length that `magnitude` says.

    At a weight other than 1 this difference is scaled as a whole, as A1111 and ComfyUI do: at 0 nothing is changed.
    """

    change: LowRank | Hadamard | Kronecker
    magnitude: Tensor  # (out,), or (1, in, ...) where lengths are those of inputs

    needs_base = True

    def _by_input(self, shape: tuple[int, ...]) -> bool:
        own = tuple(self.magnitude.shape)
        return len(own) > 1 and own[0] == 1 and len(shape) > 1 and own[1] == shape[1] == self.magnitude.numel()

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a parameter of this shape can be changed so."""
        return self.change.fits(shape) and (self._by_input(shape) or self.magnitude.numel() == shape[0])

    def of(self, base: Tensor, weight: float = 1.0) -> Tensor:
        """What is to be added to `base`."""
        whole = base.float() + self.change.of(base)
        by_input = self._by_input(tuple(base.shape))
        if by_input:
            whole = whole.transpose(0, 1)
        lengths = whole.flatten(1).norm(dim=1).clamp_min(torch.finfo(torch.float32).tiny)
        whole = whole * (self.magnitude.float().flatten() / lengths).view(-1, *[1] * (whole.ndim - 1))
        if by_input:
            whole = whole.transpose(0, 1)
        return (whole - base.float()) * weight
