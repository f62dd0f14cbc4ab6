"""The processes and devices of a training run, through accelerate.

One process unless the command was started by `accelerate launch` or `torchrun`. Gradients are averaged explicitly after
the last backward pass: a distillation step runs several networks, some of them twice, which DDP's hooks do not support.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from hypersd_app.training.core.device import computes_in_bfloat16, training_device

PRECISIONS = ("auto", "no", "bf16")


class Processes:
    """This process's place among those of the run, in accelerate's terms, and the collective operations of training."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    @staticmethod
    def open(precision: str = "auto") -> Processes:
        """Join the run. `precision`: "no" (float32), "bf16", or "auto", bf16 where the device computes in it natively.

        Master weights, averages and conversions to x0 stay float32 in all of them.
        """
        assert precision in PRECISIONS, precision
        chosen = ("bf16" if computes_in_bfloat16() else "no") if precision == "auto" else precision
        return Processes(Accelerator(mixed_precision=chosen, cpu=training_device().type == "cpu"))

    @property
    def process_index(self) -> int:
        """This process's number."""
        return self._accelerator.process_index

    @property
    def num_processes(self) -> int:
        """How many processes there are."""
        return self._accelerator.num_processes

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self._accelerator.is_main_process

    @property
    def device(self) -> torch.device:
        """The device this process computes on."""
        return self._accelerator.device

    def autocast(self) -> AbstractContextManager[None]:
        """Mixed precision for forward passes."""
        return self._accelerator.autocast()

    def backward(self, loss: Tensor) -> None:
        """Accumulate the gradients of `loss`."""
        self._accelerator.backward(loss)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over all processes, in one message."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.num_processes == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        mean = self._accelerator.reduce(flat, "mean")
        for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def reduce_mean(self, values: Sequence[float]) -> list[float]:
        """Numbers averaged over all processes."""
        if self.num_processes == 1:
            return list(values)
        return self._accelerator.reduce(torch.tensor(values, device=self.device), "mean").tolist()

    def broadcast(self, value: float) -> float:
        """The main process's value, so that all stop at the same step and use the same learning rate."""
        if self.num_processes == 1:
            return value
        return float(broadcast(torch.tensor(value, device=self.device)).item())

    @torch.no_grad()
    def broadcast_parameters(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the main process's values to every process."""
        if self.num_processes > 1:
            for parameter in parameters:
                parameter.copy_(broadcast(parameter.detach().clone()))

    def wait_for_everyone(self) -> None:
        """Block until all processes are here."""
        self._accelerator.wait_for_everyone()
