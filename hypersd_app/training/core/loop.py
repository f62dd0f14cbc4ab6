"""The skeleton of every training stage: run folder, config, resume, steps, checkpoints that survive a kill, previews."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hypersd_app.catalog.legacy_keys import current_keys
from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.optim import ExponentialAverage, Optimizers, build_optimizers

if TYPE_CHECKING:
    from hypersd_app.training.core.distributed import Processes

logger = logging.getLogger(__name__)


CHECKPOINT = "checkpoint.safetensors"
Progress = Callable[[int, int, dict[str, float]], None]  # (done, total, metrics)
StepFunction = Callable[[int], tuple[Tensor, dict[str, float], int]]  # step -> loss, metrics, images used


class Stateful(Protocol):
    """What a checkpoint can hold."""

    def state_tensors(self) -> dict[str, Tensor]: ...

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None: ...


@dataclass(kw_only=True)
class TrainingState:
    """Everything that changes during training. Random numbers depend on `step` alone, so nothing else need be saved.

    `extras`: further trained state, such as auxiliary networks, by a stable name.
    """

    module: nn.Module
    optimizers: Optimizers
    ema: ExponentialAverage
    step: int = 0
    images: int = 0
    extras: dict[str, Stateful] = field(default_factory=dict)

    @staticmethod
    def new(
        module: nn.Module,
        *,
        lr: float,
        ema_decay: float,
        optimizer: str = "adamw",
        weight_decay: float = 0.0,
        extras: dict[str, Stateful] | None = None,
    ) -> TrainingState:
        """State of step 0 for the parameters of `module` that require gradients. `module` is on its device already."""
        optimizers = build_optimizers(module, optimizer, lr, weight_decay)
        return TrainingState(module=module, optimizers=optimizers, ema=ExponentialAverage(module, ema_decay), extras=extras or {})

    def tensors(self) -> dict[str, Tensor]:
        """All state under flat names; of the module the trained parameters only."""
        live = {n: p.detach() for n, p in self.module.named_parameters() if p.requires_grad}
        parts = {"model": live, "ema": self.ema.state_tensors(), "optim": self.optimizers.state_tensors()}
        parts |= {f"extra-{name}": extra.state_tensors() for name, extra in self.extras.items()}
        return {f"{part}/{name}": value.contiguous() for part, rows in parts.items() for name, value in rows.items()}

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optim": {}}
        for name, value in tensors.items():
            part, rest = name.split("/", 1)
            parts.setdefault(part, {})[rest] = value
        missing = set(self.ema.state_tensors()) - set(parts["model"])
        assert not missing, f"checkpoint lacks {sorted(missing)[:3]}"
        self.module.load_state_dict(parts["model"], strict=False)
        self.ema.load_state_tensors(parts["ema"])
        self.optimizers.load_state_tensors(parts["optim"])
        # Extras that the checkpoint lacks start fresh: a run that continues another's checkpoint may train more of them.
        for name in self.extras.keys() & {part.removeprefix("extra-") for part in parts}:
            self.extras[name].load_state_tensors(parts[f"extra-{name}"])


class RunFolder:
    """Files of one training run under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.previews = folder / "previews"
        self.previews.mkdir(parents=True, exist_ok=True)
        self._metrics = folder / "metrics.jsonl"
        self._checkpoint = folder / CHECKPOINT

    def save_config(self, config: Any) -> None:
        """Write the stage's config; a resumed run with another config says so in the log."""
        path, text = self.folder / "config.json", json.dumps(asdict(config), indent=1, default=str)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            logger.warning("%s: the config differs from the one this run began with", self.folder)
        path.write_text(text, encoding="utf-8")

    def write_metrics(self, row: dict[str, float], tensorboard: bool = False) -> None:
        """Append one JSON line. Raises ModelUnavailable where TensorBoard is asked for and not installed."""
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if tensorboard:
            write_events(self.folder / "tensorboard", row)

    def save(self, state: TrainingState) -> None:
        """Replace the checkpoint in one rename, so that a kill leaves the old or the new one, whole."""
        partial = self._checkpoint.with_suffix(".partial")
        save_file(state.tensors(), partial, {"step": str(state.step), "pictures": str(state.images)})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._checkpoint)

    def keep(self, step: int, count: int) -> None:
        """A second name for the checkpoint just saved; of those kept so the oldest go. Links, so that nothing is copied."""
        if not count:
            return
        folder = self.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        _link(self._checkpoint, folder / f"{step:08d}.safetensors")
        for old in sorted(folder.glob("*.safetensors"))[:-count]:
            old.unlink()

    def keep_best(self, name: str, metrics: dict[str, float], step: int) -> None:
        """`best.safetensors`, the checkpoint just saved, if its metric is the lowest so far; `best.json` says which."""
        noted = self.folder / "best.json"
        lowest = json.loads(noted.read_text(encoding="utf-8"))["value"] if noted.exists() else float("inf")
        if name in metrics and metrics[name] < lowest:
            _link(self._checkpoint, self.folder / "best.safetensors")
            noted.write_text(json.dumps({"metric": name, "value": metrics[name], "step": step}), encoding="utf-8")

    def resume(self, state: TrainingState) -> bool:
        """Load the checkpoint into `state` if there is one."""
        if not self._checkpoint.exists():
            return False
        with safe_open(self._checkpoint, "pt") as file:
            state.load_tensors(current_keys({name: file.get_tensor(name) for name in file.keys()}))  # noqa: SIM118
            metadata = file.metadata()
        state.step, state.images = int(metadata["step"]), int(metadata["pictures"])
        return True


def _link(source: Path, target: Path) -> None:
    """Another name for a file, in one rename; a copy where links are not to be had."""
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


def write_events(folder: Path, row: dict[str, float]) -> None:
    """Metrics as TensorBoard's events, one file a run of the process. Raises ModelUnavailable where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ModelUnavailable("TensorBoard is not installed: pip install tensorboard, or loop.tensorboard=false.") from error
    with SummaryWriter(str(folder)) as writer:
        for name, value in row.items():
            if name != "step":
                writer.add_scalar(name, value, int(row["step"]))


def steps_done(folder: Path) -> int:
    """The step of a run folder's checkpoint, 0 without one."""
    path = folder / CHECKPOINT
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        return int(file.metadata()["step"])


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long to train, and how often to save and draw previews."""

    steps: int
    warmup: int = 200
    cooldown: int = 0
    gradient_clip: float = 1.0
    log_every: int = 20
    checkpoint_minutes: float = 4.0
    preview_minutes: float = 8.0
    minutes: float = 0.0  # stop after so long; 0 trains to the last step
    cooldown_minutes: float = 0.0  # of a run stopped by `minutes`: the last ones sharpen what it leaves behind
    kept: int = 0  # checkpoints that are kept beside the newest
    best: str = ""  # a preview's metric by whose lowest value the best checkpoint is kept
    tensorboard: bool = False  # metrics for TensorBoard too, in the run's folder `tensorboard`


def learning_rate_factor(step: int, minutes: float, config: LoopConfig) -> float:
    """Warm-up, constant, then a linear fall to zero over the last `cooldown` steps, or the last `cooldown_minutes`.

    `minutes` is the time since this run was started or resumed.
    """
    factors = [1.0, (step + 1) / max(1, config.warmup), (config.steps - step) / max(1, config.cooldown)]
    if config.minutes and config.cooldown_minutes:
        factors.append((config.minutes - minutes) / config.cooldown_minutes)
    return max(0.0, min(factors))


@dataclass(frozen=True, kw_only=True)
class TrainingStage:
    """What one stage supplies to the skeleton: its state, a step function and a preview.

    `preview(path)` runs with the averaged weights in place: it draws samples into `path`, saves the weights the stage
    leaves behind, and returns validation metrics, if any. Of several `processes` the main one writes and reports; where
    they draw `together`, as a network spread over them is run by all, the others' images go to a folder that is thrown away.
    """

    state: TrainingState
    step: StepFunction
    preview: Callable[[Path], dict[str, float] | None]
    processes: Processes | None = None
    together: bool = False

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.processes is None or self.processes.is_main_process


class StageConfig(Protocol):
    """What the skeleton reads of a stage's config, a dataclass."""

    @property
    def seed(self) -> int: ...
    @property
    def loop(self) -> LoopConfig: ...


def run_stage(config: StageConfig, folder: Path, progress: Progress, build: Callable[[], TrainingStage]) -> TrainingState:
    """Train or resume a stage in `folder` up to its last step; returns the final state.

    `build` runs after the global seed is set, so weights start the same in every run.
    """
    torch.manual_seed(config.seed)
    stage, run = build(), RunFolder(folder)
    if stage.writes:
        run.save_config(config)
    run.resume(stage.state)
    run_loop(run, stage, config.loop, progress)
    return stage.state


def run_loop(run: RunFolder, stage: TrainingStage, config: LoopConfig, progress: Progress) -> None:
    """Train from the state's step to the last one.

    Ctrl-C saves before it leaves; a kill loses what came after the last checkpoint.
    """
    state, processes, writes = stage.state, stage.processes, stage.writes
    began = time.monotonic()

    def clock() -> float:
        """Minutes since the start, the same in every process."""
        minutes = (time.monotonic() - began) / 60
        return processes.broadcast(minutes) if processes else minutes

    saved = previewed = 0.0
    window = MetricsWindow(run, config, progress)
    try:
        while state.step < config.steps:
            minutes = clock()
            if config.minutes and minutes >= config.minutes:
                break
            used, metrics = train_step(state, config, stage.step, minutes)
            if writes:
                window.add(state, used, metrics)
            if minutes - saved > config.checkpoint_minutes:
                if writes:
                    run.save(state)
                    run.keep(state.step, config.kept)
                saved = clock()
            if minutes - previewed > config.preview_minutes:
                draw_preview(run, stage, config)
                previewed = clock()
    finally:
        if writes:
            run.save(state)
            run.keep(state.step, config.kept)
    draw_preview(run, stage, config)


def draw_preview(run: RunFolder, stage: TrainingStage, config: LoopConfig) -> None:
    """The stage's preview of the averaged weights; its validation metrics are a line of the metrics file and pick the best."""
    step = stage.state.step
    if not stage.writes and not stage.together:
        return
    with TemporaryDirectory() as thrown_away, stage.state.ema.swapped():
        metrics = stage.preview((run.previews if stage.writes else Path(thrown_away)) / f"{step:06d}.png")
    if metrics and stage.writes:
        run.write_metrics({"step": step, **metrics}, config.tensorboard)
        if config.best:
            run.save(stage.state)
            run.keep_best(config.best, metrics, step)


def train_step(
    state: TrainingState, config: LoopConfig, step_function: StepFunction, minutes: float = 0.0
) -> tuple[int, dict[str, float]]:
    """One step; returns images used and metrics. A gradient that is not finite skips the update.

    A step function that runs its own backward passes, as gradient accumulation does, returns a loss without a graph.
    """
    loss, metrics, images = step_function(state.step)
    if loss.requires_grad:
        loss.backward()
    parameters = [p for p in state.module.parameters() if p.requires_grad]
    norm = nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
    if torch.isfinite(norm):
        state.optimizers.step(learning_rate_factor(state.step, minutes, config))
        state.ema.update(state.step)
    else:
        logger.warning("step %d skipped: the gradient is not finite", state.step)
        for parameter in parameters:
            parameter.grad = None
    state.step += 1
    state.images += images
    return images, {"loss": float(loss.detach()), "gradient_norm": float(norm), **metrics}


class MetricsWindow:
    """Averages metrics over `log_every` steps and writes them out."""

    def __init__(self, run: RunFolder, config: LoopConfig, progress: Progress) -> None:
        self._run, self._config, self._progress = run, config, progress
        self._clear()

    def _clear(self) -> None:
        self._sums: dict[str, float] = {}
        self._steps = self._images = 0
        self._since = time.monotonic()

    def add(self, state: TrainingState, images: int, metrics: dict[str, float]) -> None:
        """Take in one step's metrics."""
        self._steps += 1
        self._images += images
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if state.step % self._config.log_every:
            return
        means = {name: value / self._steps for name, value in self._sums.items()}
        speed = self._images / (time.monotonic() - self._since)
        row = {"step": state.step, "pictures": state.images, "per_second": speed, **means}
        self._run.write_metrics({name: round(value, 6) for name, value in row.items()}, self._config.tensorboard)
        self._progress(state.step, self._config.steps, row)
        self._clear()
