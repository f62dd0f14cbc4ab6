"""Optimizers for training on a CPU: Muon for weight matrices, AdamW for the rest, and an EMA of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hypersd_app.training.core.device import compute_dtype

# Three of the quintic steps of Amsel et al., "The Polar Express" (2025), lift small singular values as far as four of
# Muon's own, and the optimizer was a third of a training step here.
_POLAR_EXPRESS = ((8.2052, -22.9019, 16.4607), (4.0664, -2.8612, 0.5184), (3.9096, -2.8234, 0.5250))


def orthogonalize(matrix: Tensor) -> Tensor:
    """About the nearest semi-orthogonal matrix, in `compute_dtype`, by a Newton-Schulz-like iteration."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).to(compute_dtype())
    x = x / (1.01 * x.norm() + 1e-7)
    for a, b, c in _POLAR_EXPRESS:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalized (Jordan et al., 2024).

    Like torch.optim.Muon, but for convolutions too, whose kernels are flattened to (out, in*h*w).

    The step of each matrix has root-mean-square 0.2 * lr, that of AdamW, so that one learning rate fits both.
    Only every `refresh`-th step computes the direction anew: momentum turns it slowly, and it is the costly part.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0, refresh: int = 3
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "refresh": refresh})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"], state["age"] = torch.zeros_like(gradient), torch.zeros(())
        buffer: Tensor = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        if state["age"] % group["refresh"] == 0:
            turned = orthogonalize(gradient.lerp(buffer, group["momentum"]).reshape(len(parameter), -1))
            state["direction"] = turned.to(gradient.dtype)  # a resumed run gets its state in the weights' precision
        state["age"] += 1
        update = state["direction"]
        scale = 0.2 * max(update.shape) ** 0.5
        if group["weight_decay"]:
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)


class Optimizers:
    """Several optimizers stepped as one, with a common learning-rate factor and a flat state."""

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)
        self._base = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def step(self, factor: float) -> None:
        """Step with each base learning rate times `factor`, then clear the gradients."""
        for optimizer, rates in zip(self.optimizers, self._base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as flat names, for a safetensors file."""
        tensors = {}
        for number, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"{number}.{index}.{key}"] = torch.as_tensor(value)
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`."""
        for number, optimizer in enumerate(self.optimizers):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            states: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                owner, index, key = name.split(".", 2)
                if int(owner) == number:
                    states.setdefault(int(index), {})[key] = laid_out_as(parameters[int(index)], value)
            optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory layout of a parameter of its shape.

    Files hold plain layouts, and fused AdamW on a CPU pairs the elements of parameter and state by their place in memory.
    """
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.shape == parameter.shape else value


def build_optimizers(module: nn.Module, kind: str, lr: float, weight_decay: float = 0.0) -> Optimizers:
    """`adamw` for everything, or `muon` for inner weight matrices with AdamW for embeddings, norms, biases and ends."""
    trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    matrices: list[nn.Parameter] = []
    if kind == "muon":
        matrices = [p for name, p in trained if p.ndim >= 2 and min(p.shape[0], p[0].numel()) >= 64 and "conv_out" not in name]
    chosen = {id(parameter) for parameter in matrices}
    rest = [parameter for _, parameter in trained if id(parameter) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if matrices:
        optimizers.append(Muon(matrices, lr, weight_decay=weight_decay))
    if rest:
        optimizers.append(torch.optim.AdamW(rest, lr, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True))
    return Optimizers(optimizers)


class ExponentialAverage:
    """EMA of a module's weights, in float32, with a warm-up so that early weights are forgotten."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        self.average = [parameter.detach().clone() for parameter in self._live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the live weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [parameter.detach() for parameter in self._live], 1 - decay)

    def state_tensors(self) -> dict[str, Tensor]:
        """The averaged weights under the module's own names."""
        return dict(zip(self._names, self.average, strict=True))

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `state_tensors`."""
        for name, average in zip(self._names, self.average, strict=True):
            average.copy_(tensors[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """The averaged weights in place of the live ones while the block runs; values are copied, graphs stay allowed."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange live and averaged weights; call again to undo."""
        for live, average in zip(self._live, self.average, strict=True):
            held = live.detach().clone()
            live.copy_(average)
            average.copy_(held)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """The averaged weights in place of the live ones while the block runs, without gradients.

        Pointers are exchanged, not values: it costs nothing, and graphs built before still find the weights they used.
        """
        self._exchange()
        try:
            with torch.no_grad():
                yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for index, live in enumerate(self._live):
            live.data, self.average[index] = self.average[index], live.data
