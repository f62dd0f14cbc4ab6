"""Judges, rewards, the whole method on Pocket's own path and the evaluation, on random models and few images."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.critics import registry
from hypersd_app.training.data.splits import EVALUATION, splits
from hypersd_app.training.distillation.config import PRESETS
from hypersd_app.training.distillation.train import beginning, pocket_teacher, train
from hypersd_app.training.evaluation import models, report
from hypersd_app.training.evaluation.cases import EvaluationImages, held_out_cases, trained_cases
from hypersd_app.training.evaluation.models import LatentCache, new_sampler, student_models, teacher_model
from tests.support.judged_models import no_progress


@pytest.fixture(scope="module")
def workspace(judged):
    return judged


def test_judges_and_rewards_learn_from_separate_images(workspace):
    rows = [
        json.loads(line) for line in (workspace.run("judge", "tiny") / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert {"accuracy", "contrastive", "names"} <= rows[-1].keys()
    images = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for name in ("agreement", "quality"):
        reward = registry.open_reward(name, workspace)
        scores = reward(images * 2 - 1, ["a cat", ""])
        assert scores.shape == (2,)
        if name == "agreement":
            assert scores[1].item() == pytest.approx(reward.enough), "who asked for nothing is content"
        scores.sum().backward()
        assert images.grad.abs().sum() > 0
        images.grad = None
    assert registry.open_segmenter(workspace)(images).shape == (2, 2, 64, 64)


def test_everything_hyper_sd_does_runs_and_resumes_on_pocket(workspace):
    folder = workspace.run("student", "tiny-hyper-sd")
    train(PRESETS["tiny-hyper-sd"], workspace, folder, no_progress)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {"reward_agreement", "reward_quality", "structure", "matching", "regression", "adversarial"} <= rows[-1].keys()
    assert all(np.isfinite(value) for row in rows for value in row.values())
    before = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    train(PRESETS["tiny-hyper-sd"], workspace, folder, no_progress)
    assert (folder / "metrics.jsonl").read_text(encoding="utf-8") == before, "a finished run is left alone"
    assert list((folder / "previews").glob("*.png"))


def test_evaluation_asks_for_what_nobody_was_trained_on(workspace):
    data = workspace.data
    cases = trained_cases(EvaluationImages.of(workspace), 20, 0)
    assert len(cases.prompts) == len(cases.captions) == len(cases.shown) == len(cases.others) >= 4
    assert not set(cases.shown) & set(cases.others)
    assert (splits(data)[cases.shown] == EVALUATION).all() and (splits(data)[cases.others] == EVALUATION).all()
    assert all(caption in prompt for prompt, caption in zip(cases.prompts, cases.captions, strict=True))
    assert not any(data.concepts[item.concept].held_out for i in cases.shown for item in data.scenes[i].placements)
    assert held_out_cases(EvaluationImages.of(workspace), 0).prompts == [], "none of the four things is held out"


def test_the_report_has_floors_teacher_and_student(workspace, tmp_path, monkeypatch):
    for name, value in (("DIVERSITY_PROMPTS", 2), ("DIVERSITY_SEEDS", 3), ("TRAJECTORIES", 2)):
        monkeypatch.setattr(report, name, value)
    sampler = new_sampler(workspace)
    remembered = LatentCache(tmp_path / "latents")
    found = [
        teacher_model(workspace, sampler, steps=2),
        *student_models(workspace, sampler, workspace.assets / "accelerator.safetensors", steps=(1, 2)),
    ]
    found = [remembered.remembered(model) for model in found]
    measured = report.measure(found, workspace, sampler, 20, 0)
    assert [row.name for row in measured.rows] == [
        "real images",
        "real, autoencoded",
        "teacher, 2 steps",
        "student, 1 step",
        "student, 2 steps",
    ]
    real, _, teacher, one, _ = measured.rows
    # The kernel distance is unbiased; a Fréchet distance of so few images says more of their number than of what they are.
    assert real.spaces["what"].kernel < teacher.spaces["what"].kernel and real.spaces["how"].kernel < one.spaces["how"].kernel
    assert set(one.trajectory) == {1, 2, 4, 8} and [len(errors) for errors in one.trajectory.values()] == [1, 2, 4, 8]
    assert teacher.drift.mean == 0 and teacher.drift.spread == pytest.approx(1)
    report.write(measured, tmp_path / "out")
    text = (tmp_path / "out" / "figures.md").read_text(encoding="utf-8")
    assert "student, 1 step" in text and "held-out things" in text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"figures.md", "figures.png", "nearest.png"}
    drawn = [0]
    again = remembered.remembered(dataclasses.replace(found[1], draw=lambda prompts, seed: drawn.append(1)))
    cases = trained_cases(EvaluationImages.of(workspace), 20, 0)
    assert again.draw(cases.prompts, 0).shape[1:] == (16, 16, 16) and drawn == [0], "what was drawn is remembered"


def test_a_perfect_student_has_no_trajectory_error(workspace):
    from hypersd_app.training.evaluation.trajectory import trajectory_errors

    class Straight(torch.nn.Module):
        """All its trajectories end at one point, so one step is as good as many."""

        def forward(self, x, t, c, return_dict=False):
            schedule = new_sampler(workspace).schedule
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            return (schedule.prediction(torch.full_like(x, 0.5), (x - alpha * 0.5) / sigma, t),)

    class Still(torch.nn.Module):
        """Never moves."""

        def forward(self, x, t, c, return_dict=False):
            return (torch.zeros_like(x),)

    schedule, x0, told = new_sampler(workspace).schedule, torch.randn(2, 4, 4, 4), torch.zeros(2, 1, 1)
    good = trajectory_errors(Straight(), Straight(), x0, told, told, 4.0, schedule, 0)
    bad = trajectory_errors(Still(), Straight(), x0, told, told, 4.0, schedule, 0)
    assert max(error for errors in good.values() for error in errors) < 0.02
    assert min(error for errors in bad.values() for error in errors) > 0.1


def test_a_student_is_measured_against_the_guidance_it_was_distilled_with(workspace, tmp_path):
    shipped = workspace.assets / "accelerator.safetensors"
    save_file(load_file(shipped), tmp_path / "one.safetensors", {"format": "pt", "guidance_scale": "2.5", "timestep": "800"})
    sampler = new_sampler(workspace)
    (one,) = student_models(workspace, sampler, tmp_path / "one.safetensors")
    assert (one.guidance_scale, one.steps) == (2.5, 1)
    assert teacher_model(workspace, sampler, steps=2, guidance=4.0).guidance_scale == 4.0


def test_one_step_begins_with_what_ships_where_nothing_was_trained(workspace, tmp_path):
    config = dataclasses.replace(PRESETS["tiny"], begin_with="nothing")
    teacher = pocket_teacher(config, workspace, Processes.open("no"))
    assert beginning(config, teacher, tmp_path / "one-step") == workspace.assets / "accelerator.safetensors"
    own = tmp_path / "nothing" / "accelerator.safetensors"
    own.parent.mkdir()
    own.touch()
    assert beginning(config, teacher, tmp_path / "one-step") == own, "this machine's own comes first"
    own.unlink()
    with pytest.raises(ModelUnavailable, match="train student --preset nothing"):
        beginning(config, dataclasses.replace(teacher, accelerator=None), tmp_path / "one-step")
    assert beginning(PRESETS["tiny"], teacher, tmp_path / "one-step") is None


def test_named_students_are_found_or_missed_by_name(workspace):
    with pytest.raises(ModelUnavailable, match="train student --preset nothing"):
        models.load_models(workspace, new_sampler(workspace), ["nothing"])
