"""Auxiliary networks (discriminator heads, fake score), each with its own AdamW."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.optim import laid_out_as


class AuxiliaryNetwork:
    """The trained parameters of an auxiliary network and their AdamW; `betas` of (0, 0.99) suit a moving adversary."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        lr: float,
        processes: Processes,
        betas: tuple[float, float] = (0.0, 0.99),
        gradient_clip: float = 10.0,
    ) -> None:
        self._parameters, self._workers, self._clip = dict(parameters), processes, gradient_clip
        processes.broadcast_parameters(self._parameters.values())
        self._optimizer = torch.optim.AdamW(self._parameters.values(), lr, betas=betas, weight_decay=0.0, fused=True)

    def update(self, loss: Tensor) -> None:
        """One optimizer step on `loss`, skipped where the gradient is not finite."""
        self._optimizer.zero_grad(set_to_none=True)
        self._workers.backward(loss)
        parameters = list(self._parameters.values())
        self._workers.average_gradients(parameters)
        if torch.isfinite(nn.utils.clip_grad_norm_(parameters, self._clip)):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state_tensors(self) -> dict[str, Tensor]:
        """Weights and the optimizer's state under flat names."""
        tensors = {f"weights.{name}": parameter.detach() for name, parameter in self._parameters.items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optim.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state_tensors`."""
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(tensors[f"weights.{name}"])
        parameters = [parameter for group in self._optimizer.param_groups for parameter in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optim."):
                _, index, key = name.split(".")
                states.setdefault(int(index), {})[key] = laid_out_as(parameters[int(index)], value)
        self._optimizer.load_state_dict({"state": states, "param_groups": self._optimizer.state_dict()["param_groups"]})
