"""One step of any method: its terms over one or several batches, on one or several processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.loop import Stateful, TrainingState
from hypersd_app.training.core.optim import ExponentialAverage, build_optimizers
from hypersd_app.training.core.random_streams import part_rows
from hypersd_app.training.distillation.context import Batch, Kit
from hypersd_app.training.distillation.methods import METHODS


class Distiller:
    """A step function for `run_loop`: runs all backward passes itself and gives the loss without a graph."""

    def __init__(self, kit: Kit) -> None:
        if kit.config.method not in METHODS:
            raise InvalidRequest("method", kit.config.method, ", ".join(METHODS))
        self.kit = kit
        self.terms = METHODS[kit.config.method].terms(kit)
        kit.workers.start_alike(self.parameters())

    def parameters(self) -> list[torch.nn.Parameter]:
        """What the student trains."""
        return [parameter for parameter in self.kit.networks.module.parameters() if parameter.requires_grad]

    def state(self) -> TrainingState:
        """The state to train and to keep: student, its average, the target's, and what the terms train."""
        config, module = self.kit.config, self.kit.networks.module
        extras: dict[str, Stateful] = {}
        for term in self.terms:
            extras |= term.learning()  # type: ignore[arg-type]
        if self.kit.networks.target_average is not None:
            extras["target"] = self.kit.networks.target_average
        optimizers = build_optimizers(module, config.optimizer, config.lr)
        return TrainingState(module, optimizers, ExponentialAverage(module, config.ema_decay), extras=extras)

    def __call__(self, step: int) -> tuple[Tensor, dict[str, float], int]:
        workers, config = self.kit.workers, self.kit.config
        parts = workers.count * config.accumulation
        total = config.batch * parts
        x0, captions = self.kit.source.batch(step, total)
        sums: dict[str, float] = {}
        for number in range(config.accumulation):
            rows = part_rows(total, workers.index * config.accumulation + number, parts)
            told = self.kit.source.condition(captions[rows])
            loss, figures = self._loss(step, self._batch(x0[rows], told, captions[rows], total, rows))
            workers.backward(loss / config.accumulation)
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / config.accumulation
        workers.average_gradients(self.parameters())
        means = dict(zip(sums, workers.mean(list(sums.values())), strict=True))
        if self.kit.networks.target_average is not None:
            self.kit.networks.target_average.update(step)
        return torch.tensor(means.pop("total")), means, total

    def _batch(self, x0: Tensor, told: Conditioning, captions: list[str], total: int, rows: slice) -> Batch:
        device = self.kit.device
        return Batch(x0.to(device), told.to(device), captions, self.kit.config.seed, total, rows)

    def _loss(self, step: int, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        losses: list[Tensor] = []
        figures: dict[str, float] = {}
        for term in self.terms:
            found = term(step, batch)
            if found is not None:
                losses.append(found[0])
                figures |= found[1]
        loss = torch.stack(losses).sum()
        return loss, {"total": float(loss.detach()), **figures}


def forward_equivalents(distiller: Distiller, step: int) -> float:
    """What a step costs, in forward passes of the student's network for one picture, counted in operations.

    Everything counts: backward passes, guidance, the fake score, heads, decoder and rewards. The step is really run, so
    what learns beside the student takes it, and the student's gradients are thrown away.
    """
    kit = distiller.kit
    with FlopCounterMode(display=False) as counter:
        distiller(step)
    for parameter in distiller.parameters():
        parameter.grad = None
    return counter.get_total_flops() / forward_flops(kit)


def forward_flops(kit: Kit) -> float:
    """Operations of one forward pass of the student for one picture."""
    x0, captions = kit.source.batch(0, 1)
    told = kit.source.condition(captions).to(kit.device)
    x0 = x0.to(kit.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        kit.networks.teacher(x0, torch.zeros(1, dtype=torch.long, device=kit.device), told)
    return float(counter.get_total_flops())
