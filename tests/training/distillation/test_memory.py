"""The count on fake tensors against what the allocator hands out for the same losses on real ones, and what it must show."""

import dataclasses
import functools
from argparse import Namespace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from hypersd_app.settings import Settings
from hypersd_app.training.cli import run_train
from hypersd_app.training.core.peak_memory import PeakMemory, tensor_bytes
from hypersd_app.training.distillation import memory
from hypersd_app.training.distillation.config import StudentConfig

SHAPES = memory.Shapes(
    unet={
        "sample_size": 32, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8, "cross_attention_dim": 32,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 2,
    },
    vae={
        "block_out_channels": (8, 16), "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "layers_per_block": 1, "latent_channels": 4, "sample_size": 32,
        "norm_num_groups": 4,
    },
    judge={"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
           "patch_size": 8},
)  # fmt: skip
CONFIG = StudentConfig(rank=4, batch=4, target_decay=0.9)


@functools.cache
def by_name(*names, **changes):
    return {phase.name: phase for phase in memory.count_phases(dataclasses.replace(CONFIG, **changes), SHAPES, names)}


def allocated(run):
    """Peak bytes of torch's own CPU allocator while `run()` is at work, as its profiler notes them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        run()
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize("checkpointing", [False, True])
def test_fake_tensors_count_what_the_allocator_hands_out(checkpointing):
    config = dataclasses.replace(CONFIG, gradient_checkpointing=checkpointing)
    setting = memory.Setting.build(config, SHAPES)
    counted = by_name(gradient_checkpointing=checkpointing)
    for parameter in setting.trained():
        parameter.grad = torch.zeros_like(parameter)
    for name, run in memory.LOSSES.items():
        run(setting)  # once for what is made once, such as kernels
        assert counted[name].activations == pytest.approx(allocated(lambda run=run: run(setting)), rel=0.1), name


def test_what_is_held_is_weights_gradients_moments_and_averages():
    setting = memory.Setting.build(CONFIG, SHAPES)
    weights = sum(tensor_bytes(module.parameters()) for module in setting.modules)
    student, fake, heads = (
        tensor_bytes(part) for part in (setting.trained(), setting.networks.fake_parameters().values(), setting.heads.parameters())
    )
    held = setting.held()
    assert held == weights + 5 * student + 2 * fake + 2 * heads  # gradient, two moments, two averages
    assert memory.Setting.build(dataclasses.replace(CONFIG, target_decay=0.0), SHAPES).held() == held - student


def test_checkpointing_batches_and_crops_take_less():
    plain, checkpointed = by_name(gradient_checkpointing=False), by_name(gradient_checkpointing=True)
    for name in ("consistency", "distribution matching"):
        assert checkpointed[name].activations < 0.8 * plain[name].activations, name
    whole, half = plain["reward"].activations, by_name("reward", batch=2)["reward"].activations
    assert half == pytest.approx(whole / 2, rel=0.25)
    assert by_name("reward", batch=2, feedback=dataclasses.replace(CONFIG.feedback, crop=4))["reward"].activations < half


def test_the_tracker_sees_views_as_what_they_view_and_forgets_what_is_gone():
    with PeakMemory() as tracker:
        a = torch.zeros(1000)
        a.view(10, 100).add_(1)
        del a
        torch.zeros(500)
    assert tracker.peak == 4000


def test_the_command_prints_a_table(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(memory, "FAMILIES", {"sd15": SHAPES})
    monkeypatch.setattr(memory, "LOSSES", {"reward": memory.reward})
    chosen = {"stage": "student", "preset": "photo-sd15-24gb", "memory": "sd15", "dry_run": False, "override": ["rank=2"]}
    unsaid = dict.fromkeys(("icon_set", "images", "steps", "minutes", "cooldown_minutes"))
    assert run_train(Namespace(**chosen, **unsaid, title=""), Settings(runs=tmp_path)) == 0
    said = capsys.readouterr().out
    assert "| reward |" in said and "Fits a card of 3 GiB" in said
