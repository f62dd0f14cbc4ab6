"""All stages of a tiny SD-shaped model, from images to images: shards, TSCD with all its losses, one step, feedback, exact N.

Afterwards diffusers draws with what they left, under a ControlNet and beside a style.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline, TCDScheduler, UNet2DConditionModel
from PIL import Image

from hypersd_app.settings import Settings
from hypersd_app.training.cli import run_train
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.distillation import stable_diffusion
from hypersd_app.training.distillation.config import AdversarialConfig, FeedbackConfig, ScoreConfig, StudentConfig
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models

FIRST = StudentConfig(
    method="hyper-sd", stages=((8, 1.0), (4, 1.0), (2, 1.0), (1, 1.0)), rank=2, batch=1, guidance_scale=3.0,
    precision="no", lr=1e-2, gradient_checkpointing=True, validation=1,
    adversarial=AdversarialConfig(weights=(0.0, 0.0, 0.1, 0.2)),
    score=ScoreConfig(weights=(0.0, 0.0, 0.0, 0.5), pairs=0, fake_rank=2, fake_steps=1, adversarial=(0.0, 0.0, 0.0, 0.1)),
    feedback=FeedbackConfig(weights=(0.0, 0.0, 0.0, 0.1), rewards=(("bright", 1.0),), structure=0.0, every=1, steps=(1,), crop=8),
    loop=LoopConfig(steps=4, warmup=1, log_every=1, best="validation"),
)  # fmt: skip
AFTERWARDS = {
    "one-step": {"stages": ((1, 1.0),), "begin_with": "first", "score": dataclasses.replace(FIRST.score, weights=(1.0,))},
    "feedback": {
        "method": "feedback", "begin_with": "first", "target_decay": 0.0, "stages": ((1, 1.0),),
        "feedback": dataclasses.replace(FIRST.feedback, weights=(1.0,)),
    },
    "exact-2": {"method": "tscd", "exact_steps": 2, "stages": ((2, 1.0),)},
}  # fmt: skip


class Bright:
    """A reward for light images."""

    title, enough = "bright", 100.0

    def __call__(self, images, captions):
        return images.flatten(1).mean(1)


def quiet(done, total, metrics):
    """Nobody looks."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("smallest")
    teacher = tiny_models.write_sd15(root / "sd15")
    config = teacher / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text(encoding="utf-8")), "sample_size": 8}), encoding="utf-8")
    images, rng = root / "photos", np.random.default_rng(0)
    images.mkdir()
    for name, size in (("a_cat", (60, 40)), ("dog", (40, 70)), ("red", (64, 64))):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(images / f"{name}.png")
    workspace = Workspace(root / "runs", root / "assets", user_styles=root / "styles")
    patch = pytest.MonkeyPatch()
    patch.setattr(stable_diffusion, "open_reward", lambda name, workspace: Bright())
    shards = root / "runs" / "shards"
    stable_diffusion.make_shards(teacher, images, shards, True, quiet)
    for name, changes in {"first": {}, **AFTERWARDS}.items():
        one = dataclasses.replace(FIRST, **changes)
        one = dataclasses.replace(one, loop=dataclasses.replace(one.loop, steps=4 if name == "first" else 1))
        stable_diffusion.train(one, teacher, shards, workspace, workspace.run("student", name), quiet)
    patch.undo()
    return root, teacher


def test_every_stage_ran_all_of_its_losses(trained):
    root, _ = trained
    lines = (root / "runs" / "student" / "first" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row]
    assert [row["segments"] for row in rows] == [8, 4, 2, 1]
    assert "heads" not in rows[1] and "heads" in rows[2] and "matching" not in rows[2]
    assert {"consistency", "heads", "matching", "fake", "real_heads", "reward_bright"} <= rows[3].keys()
    assert any("validation" in json.loads(line) for line in lines)


def test_feedback_stands_among_the_styles(trained):
    root, _ = trained
    kept = root / "styles" / "feedback.safetensors"
    assert kept.read_bytes() == (root / "runs" / "student" / "feedback" / "feedback.safetensors").read_bytes()
    assert not (root / "styles" / "first.safetensors").exists()


def test_the_accelerators_draw_under_a_controlnet_and_beside_a_style(trained, tmp_path):
    root, teacher = trained
    unet = UNet2DConditionModel.from_pretrained(teacher / "unet")
    controlnet = ControlNetModel.from_pretrained(tiny_models.write_controlnet(tmp_path / "control", unet))
    style = tiny_models.write_lora(tmp_path / "style.safetensors", unet, 2)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(teacher, controlnet=controlnet, unet=unet)
    pipeline.scheduler = TCDScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    lines = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))

    def drawn(strength=1.0, **weights):
        pipeline.set_adapters(list(weights), list(weights.values()))
        return pipeline(
            "a cat", image=lines, num_inference_steps=2, guidance_scale=0, controlnet_conditioning_scale=strength,
            generator=torch.Generator().manual_seed(0), output_type="latent",
        ).images  # fmt: skip

    for name, file in (("first", "accelerator"), ("one-step", "accelerator"), ("exact-2", "accelerator"), ("feedback", "feedback")):
        pipeline.load_lora_weights(
            str(root / "runs" / "student" / name / f"{file}.safetensors"), adapter_name=name.replace("-", "_")
        )
    pipeline.load_lora_weights(str(style), adapter_name="style")
    plain = drawn(first=1.0)
    assert torch.isfinite(plain).all()
    others = {
        "one step": drawn(one_step=1.0), "exact": drawn(exact_2=1.0), "half": drawn(first=1.0, feedback=0.5),
        "feedback": drawn(first=1.0, feedback=1.0), "style": drawn(first=1.0, style=1.0), "no lines": drawn(0.0, first=1.0),
    }  # fmt: skip
    assert all(torch.isfinite(other).all() for other in others.values())
    assert not [name for name, other in others.items() if (other - plain).abs().max() < 1e-4]
    torch.testing.assert_close(drawn(first=1.0, feedback=0.0), plain)


def test_the_command_that_makes_shards_says_where(tmp_path, capsys):
    from hypersd_app.cli import new_parser

    words = ["train", "shards", "--teacher", str(tmp_path / "sd15"), "--images", str(tmp_path / "photos"), "--dry-run"]
    assert run_train(new_parser(words).parse_args(words), Settings(runs=tmp_path)) == 0
    assert str(tmp_path / "shards" / "sd15-photos") in capsys.readouterr().out
