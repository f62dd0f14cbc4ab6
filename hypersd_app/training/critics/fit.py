"""How a small network that judges images is trained: AdamW, averaged weights, one safetensors file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from safetensors.torch import save_file
from torch import nn

from hypersd_app.training.core.device import place
from hypersd_app.training.core.loop import Progress, StageConfig, StepFunction, TrainingStage, TrainingState, run_stage


class NetworkConfig(StageConfig, Protocol):
    """What a critic's config says about its training."""

    @property
    def lr(self) -> float: ...
    @property
    def ema_decay(self) -> float: ...


def train_network(
    config: NetworkConfig,
    path: Path,
    progress: Progress,
    build: Callable[[], tuple[nn.Module, StepFunction]],
    *,
    optimizer: str = "adamw",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Train or resume a network in the folder of `path`, to which its averaged weights are written, with `metadata`.

    `build` returns the untrained network and its step function; it runs after the seed is set.
    """

    def stage() -> TrainingStage:
        module, step = build()
        model = place(module)
        state = TrainingState.new(model, lr=config.lr, ema_decay=config.ema_decay, optimizer=optimizer, weight_decay=0.02)

        def preview(_path: Path) -> None:
            tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
            save_file(tensors, path, dict(metadata) if metadata else None)

        return TrainingStage(state=state, step=step, preview=preview)

    run_stage(config, path.parent, progress, stage)
