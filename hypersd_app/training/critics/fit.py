"""How a small network that judges pictures is trained: AdamW, averaged weights, one safetensors file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor, nn

from hypersd_app.training.core.loop import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.training.core.optim import ExponentialAverage, build_optimizers


class NetworkConfig(Protocol):
    """What a stage's config tells about its training."""

    @property
    def lr(self) -> float: ...
    @property
    def ema_decay(self) -> float: ...
    @property
    def loop(self) -> LoopConfig: ...


def train_network(
    model: nn.Module,
    config: NetworkConfig,
    folder: Path,
    file: str,
    step_function: Callable[[int], tuple[Tensor, dict[str, Any], int]],
    progress: Progress,
) -> None:
    """Train or resume `model` in `folder`; its averaged weights are left in `folder/file`."""
    state = TrainingState(model, build_optimizers(model, "adamw", config.lr, 0.02), ExponentialAverage(model, config.ema_decay))
    run = RunFolder(folder)
    run.save_config(config)
    run.resume(state)

    def preview(step: int) -> None:
        state.ema.swap()
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / file)
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)
