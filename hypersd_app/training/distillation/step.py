"""One training step of any method: the sum of its losses, with gradient accumulation and several processes."""

from __future__ import annotations

import torch
from torch import Tensor

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.flops import flop_counter
from hypersd_app.training.core.loop import Stateful, TrainingState
from hypersd_app.training.core.optim import ExponentialAverage, build_optimizers
from hypersd_app.training.core.random_streams import RandomStream, part_rows
from hypersd_app.training.distillation.context import Batch, Context
from hypersd_app.training.distillation.methods import METHODS


class Distiller:
    """A step function for `run_loop` that runs its own backward passes and returns the loss without a graph."""

    def __init__(self, context: Context) -> None:
        if context.config.method not in METHODS:
            raise InvalidRequest("method", context.config.method, ", ".join(METHODS))
        self.context = context
        self.losses = METHODS[context.config.method].losses(context)
        context.processes.broadcast_parameters(self.parameters())

    def parameters(self) -> list[torch.nn.Parameter]:
        """The student's trained parameters."""
        return [parameter for parameter in self.context.networks.module.parameters() if parameter.requires_grad]

    def training_state(self) -> TrainingState:
        """What a checkpoint holds: the student, its EMA, the target's EMA, and what the losses train."""
        config, module = self.context.config, self.context.networks.module
        extras: dict[str, Stateful] = {}
        for loss in self.losses:
            extras |= loss.state()
        if self.context.networks.target_average is not None:
            extras["target"] = self.context.networks.target_average
        optimizers = build_optimizers(module, config.optimizer, config.lr)
        return TrainingState(module=module, optimizers=optimizers, ema=ExponentialAverage(module, config.ema_decay), extras=extras)

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        processes, config = self.context.processes, self.context.config
        parts = processes.num_processes * config.accumulation
        total = config.batch * parts
        x0, captions = self.context.source.batch(step, total)
        sums: dict[str, float] = {}
        for number in range(config.accumulation):
            rows = part_rows(total, processes.process_index * config.accumulation + number, parts)
            stream = RandomStream.of(config.seed, step, "layout", total, rows)
            conditioning = self.context.source.condition(captions[rows], x0=x0[rows], stream=stream)
            figures = self._backward(step, self._batch(x0[rows], conditioning, captions[rows], total, rows))
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / config.accumulation
        processes.average_gradients(self.parameters())
        means = dict(zip(sums, processes.reduce_mean(list(sums.values())), strict=True))
        if self.context.networks.target_average is not None:
            self.context.networks.target_average.update(step)
        return torch.tensor(means.pop("total")), means, total

    def _batch(self, x0: Tensor, conditioning: Conditioning, captions: list[str], total: int, rows: slice) -> Batch:
        device = self.context.device
        return Batch(
            x0=x0.to(device),
            conditioning=conditioning.to(device),
            captions=captions,
            seed=self.context.config.seed,
            total=total,
            rows=rows,
        )

    def _backward(self, step: int, batch: Batch) -> dict[str, float]:
        """Accumulates each loss's gradients before the next one begins, so that no two graphs are held at once."""
        total = 0.0
        figures: dict[str, float] = {}
        for loss in self.losses:
            found = loss(step, batch)
            if found is not None:
                self.context.processes.backward(found[0] / self.context.config.accumulation)
                total += float(found[0].detach())
                figures |= found[1]
        return {"total": total, **figures}


def forward_equivalents(distiller: Distiller, step: int) -> float:
    """The cost of one step in FLOPs, divided by those of one forward pass of the student on one image.

    Everything counts: backward passes, guidance, the fake score, heads, decoder and rewards. The step is executed, so
    auxiliary networks are updated; the student's gradients are discarded.
    """
    context = distiller.context
    with flop_counter() as counter:
        distiller(step)
    for parameter in distiller.parameters():
        parameter.grad = None
    return counter.get_total_flops() / forward_flops(context)


def forward_flops(context: Context) -> float:
    """FLOPs of one forward pass of the student on one image."""
    x0, captions = context.source.batch(0, 1)
    conditioning = context.source.condition(captions).to(context.device)
    x0 = x0.to(context.device)
    with flop_counter() as counter, torch.no_grad():
        context.networks.teacher(x0, torch.zeros(1, dtype=torch.long, device=context.device), conditioning)
    return float(counter.get_total_flops())
