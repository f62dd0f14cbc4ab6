"""The training machinery: Muon, averages, checkpoints that resume to the same curve."""

import contextlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from hypersd_app.training.core.loop import LoopConfig, RunFolder, TrainingState, learning_rate_factor, run_loop
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
    state = TrainingState(net, build_optimizers(net, kind, 1e-2), ExponentialAverage(net, 0.9))
    run = RunFolder(folder)
    resumed = run.resume(state)

    def step_function(step):
        if step == kill_at:
            raise KeyboardInterrupt
        x = torch.randn(16, 64, generator=torch.Generator().manual_seed(step))
        return (net(x) - x[:, :1]).square().mean(), {}, 16

    config = LoopConfig(steps=steps, warmup=2, log_every=1, checkpoint_minutes=1e-9)
    with contextlib.suppress(KeyboardInterrupt):
        run_loop(run, state, config, step_function, lambda step: None, lambda *a: None)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
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
    state = TrainingState(net, build_optimizers(net, "adamw", 1e-2), ExponentialAverage(net, 0.9))
    before = net.inner.weight.detach().clone()
    config = LoopConfig(steps=1, log_every=1)
    run_loop(
        RunFolder(tmp_path),
        state,
        config,
        lambda step: (net.inner.weight.sum() * float("nan"), {}, 1),
        lambda s: None,
        lambda *a: None,
    )
    assert torch.equal(net.inner.weight, before) and state.step == 1 and np.isfinite(state.pictures)
