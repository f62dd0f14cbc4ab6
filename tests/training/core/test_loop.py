"""The training machinery: Muon, averages, checkpoints that resume to the same curve."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hypersd_app.settings import ROOT
from hypersd_app.training.core.loop import (
    LoopConfig,
    RunFolder,
    TrainingStage,
    TrainingState,
    learning_rate_factor,
    run_loop,
    run_stage,
    steps_done,
)
from hypersd_app.training.core.optim import ExponentialAverage, build_optimizers, orthogonalize


def test_orthogonalize_evens_out_singular_values():
    matrix = torch.randn(32, 80, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix).float())
    assert values.min() > 0.1 and values.max() < 2.0  # from a spread of 1 to 30


def test_schedule_warms_up_and_cools_down():
    config = LoopConfig(steps=20, warmup=4, cooldown=5)
    assert [learning_rate_factor(step, 0, config) for step in (0, 3, 10, 18, 19, 20)] == pytest.approx([0.25, 1, 1, 0.4, 0.2, 0])


def test_learning_rate_falls_over_the_last_minutes():
    config = LoopConfig(steps=10**6, warmup=1, minutes=60, cooldown_minutes=20)
    assert [learning_rate_factor(9, minutes, config) for minutes in (0, 40, 50, 60, 70)] == pytest.approx([1, 1, 0.5, 0, 0])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(64, 64)
        self.conv_out = nn.Linear(64, 1)

    def forward(self, x):
        return self.conv_out(torch.tanh(self.inner(x)))


def train(folder, steps, kind, kill_at=None):
    net = Net()
    state = TrainingState(module=net, optimizers=build_optimizers(net, kind, 1e-2), ema=ExponentialAverage(net, 0.9))
    run = RunFolder(folder)
    resumed = run.resume(state)

    def step_function(step):
        if step == kill_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 64, generator=torch.Generator().manual_seed(step))
        return (net(x) - x[:, :1]).square().mean(), {}, 16

    config = LoopConfig(steps=steps, warmup=2, log_every=1, checkpoint_minutes=1e-9)
    with contextlib.suppress(KeyboardInterrupt):
        run_loop(run, TrainingStage(state=state, step=step_function, preview=lambda path: None), config, lambda *a: None)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return resumed, {row["step"]: row["loss"] for row in rows}, state


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, kind):
    _, whole, first = train(tmp_path / "whole", 12, kind)
    train(tmp_path / "cut", 12, kind, kill_at=7)
    resumed, cut, second = train(tmp_path / "cut", 12, kind)
    assert resumed and cut == whole
    assert whole[12] < whole[1]
    for name, value in first.tensors().items():
        torch.testing.assert_close(second.tensors()[name], value)


def test_average_swaps_in_and_out():
    net = Net()
    average = ExponentialAverage(net, 0.5)
    before = net.inner.weight.detach().clone()
    with torch.no_grad():
        net.inner.weight.add_(1.0)
    average.update(100)
    average.swap()
    torch.testing.assert_close(net.inner.weight.detach(), before + 0.5)
    average.swap()
    torch.testing.assert_close(net.inner.weight.detach(), before + 1.0)


def test_a_bad_step_changes_nothing(tmp_path):
    net = Net()
    state = TrainingState(module=net, optimizers=build_optimizers(net, "adamw", 1e-2), ema=ExponentialAverage(net, 0.9))
    before = net.inner.weight.detach().clone()
    config = LoopConfig(steps=1, log_every=1)
    bad = TrainingStage(state=state, step=lambda step: (net.inner.weight.sum() * float("nan"), {}, 1), preview=lambda path: None)
    run_loop(RunFolder(tmp_path), bad, config, lambda *a: None)
    assert torch.equal(net.inner.weight, before) and state.step == 1 and np.isfinite(state.images)


@dataclasses.dataclass(frozen=True)
class NetConfig:
    seed: int = 3
    loop: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(steps=8, warmup=2, log_every=1, checkpoint_minutes=1e-9)
    )


def net_stage(previews=None, killed_at=None):
    net = nn.Linear(4, 1)
    state = TrainingState.new(net, lr=1e-2, ema_decay=0.9)

    def step_function(step):
        if step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        return (net(x) - x[:, :1]).square().mean(), {}, 16

    def preview(path):
        if previews is not None:
            previews.append((path.name, net.weight.detach().clone()))
        return {"error": 1.0}

    return TrainingStage(state=state, step=step_function, preview=preview)


def quiet(done, total, metrics):
    """Progress that nobody sees."""


def test_a_stage_s_preview_sees_the_average_and_its_metrics_are_kept(tmp_path):
    previews = []
    state = run_stage(NetConfig(), tmp_path, quiet, lambda: net_stage(previews))
    ((name, weight),) = previews
    assert name == "000008.png" and state.step == 8
    assert torch.equal(weight, state.ema.state_tensors()["weight"]) and not torch.equal(weight, state.module.weight)
    assert json.loads((tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1]) == {"step": 8, "error": 1.0}
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["seed"] == 3 and steps_done(tmp_path) == 8
    assert steps_done(tmp_path / "elsewhere") == 0


def test_a_stage_killed_outright_resumes_to_the_same_weights(tmp_path):
    whole = run_stage(NetConfig(), tmp_path / "whole", quiet, net_stage)
    script = "import sys, pathlib; from tests.training.core.test_loop import *; "
    script += "run_stage(NetConfig(), pathlib.Path(sys.argv[1]), quiet, lambda: net_stage(killed_at=5))"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "cut")], cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL and steps_done(tmp_path / "cut") == 5
    resumed = run_stage(NetConfig(), tmp_path / "cut", quiet, net_stage)
    for name, value in whole.tensors().items():
        torch.testing.assert_close(resumed.tensors()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_resumed_optimizer_goes_on_as_if_never_stopped_whatever_the_memory_layout(kind):
    def fresh():
        torch.manual_seed(0)
        model = nn.Conv2d(8, 64, 3).to(memory_format=torch.channels_last)
        return model, build_optimizers(model, kind, 1e-2)

    def steps(model, optimizers, numbers):
        for number in numbers:
            model(torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(number))).square().mean().backward()
            optimizers.step(1.0)

    whole, optimizers = fresh()
    steps(whole, optimizers, range(4))
    first, optimizers = fresh()
    steps(first, optimizers, range(2))
    second, resumed = fresh()
    second.load_state_dict(first.state_dict())
    resumed.load_state_tensors({name: value.contiguous() for name, value in optimizers.state_tensors().items()})
    steps(second, resumed, range(2, 4))
    assert torch.equal(whole.weight, second.weight)


def run_with(folder, values, **changes):
    """A run whose previews, one a step, measure `values` in turn."""
    net, left = Net(), list(values)
    state = TrainingState(module=net, optimizers=build_optimizers(net, "adamw", 1e-2), ema=ExponentialAverage(net, 0.9))
    config = LoopConfig(steps=len(values) - 1, warmup=1, log_every=1, checkpoint_minutes=1e-9, preview_minutes=1e-9, **changes)
    stage = TrainingStage(
        state=state, step=lambda step: (net(torch.ones(2, 64)).mean(), {}, 2), preview=lambda path: {"validation": left.pop(0)}
    )
    run_loop(RunFolder(folder), stage, config, lambda *a: None)


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path):
    run_with(tmp_path, [5.0, 1.0, 3.0, 2.0], kept=2, best="validation")
    assert [path.stem for path in sorted((tmp_path / "checkpoints").iterdir())] == ["00000002", "00000003"]
    best = json.loads((tmp_path / "best.json").read_text(encoding="utf-8"))
    assert best == {"metric": "validation", "value": 1.0, "step": 2}
    again = tmp_path / "again"
    again.mkdir()
    os.link(tmp_path / "best.safetensors", again / "checkpoint.safetensors")
    assert steps_done(again) == 2 and steps_done(tmp_path) == 3
    run_with(tmp_path / "none", [1.0, 2.0])
    assert not (tmp_path / "none" / "checkpoints").exists() and not (tmp_path / "none" / "best.safetensors").exists()


def test_metrics_are_written_for_tensorboard_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_with(tmp_path, [4.0, 3.0, 2.0], tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("validation")] == [(1, 4.0), (2, 3.0), (2, 2.0)]
    assert len(events.Scalars("loss")) == 2
