"""The study on random models and few images: budgets, continuation, rows that are kept, and what is refused."""

import collections
import dataclasses

import pytest
import torch

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.models.pocket import PocketUNet
from hypersd_app.training.distillation.step import Distiller
from hypersd_app.training.stages import limited
from hypersd_app.training.study import block, measure, report, stage
from hypersd_app.training.study.budget import continued_plan, whole_plan
from hypersd_app.training.study.config import PRESETS, VARIANTS, StudyConfig, chosen, row_key, teacher_key
from hypersd_app.training.study.rows import Row, Rows, block_stamp
from tests.support.judged_models import no_progress

TINY = dataclasses.replace(PRESETS["tiny"], budget=260.0)


@pytest.fixture(scope="module")
def workspace(judged):
    return judged


@pytest.fixture
def _few_steps(monkeypatch):
    for module in (measure, report):
        monkeypatch.setattr(module, "TEACHER_STEPS", 2)
        monkeypatch.setattr(module, "STUDENT_STEPS", (1, 2))


# budgets


def test_a_budget_is_spent_in_the_stages_shares():
    plan = whole_plan(1000, ((4, 0.5), (1, 0.5)), (5.0, 15.0), before=100)
    assert plan.stages == ((4, 45), (1, 45)) and plan.spent == 100 + 45 * 20 <= 1000
    assert whole_plan(1, ((8, 0.1), (4, 0.9)), (5.0, 5.0)).stages == ((8, 1), (4, 1)), "at least one step of each"


def test_what_goes_on_is_charged_the_trunk():
    trunk = whole_plan(500, ((8, 0.5), (4, 0.5)), (5.0, 5.0))
    plan = continued_plan(1000, trunk, 1, 20.0, before=60)
    assert plan.stages == (*trunk.stages, (1, 22)) and trunk.spent == 500
    assert 980 < plan.spent <= 1000


# rows


def test_a_row_is_known_by_everything_that_it_depends_on():
    config = StudyConfig()
    assert row_key(config, "lcm") == row_key(dataclasses.replace(config, seeds=(7,), variants=("pcm",), minutes=3.0), "lcm")
    for change in ({"budget": 1.0}, {"lr": 1.0}, {"skip": 20}, {"pictures": 5}, {"concepts": 3}):
        assert row_key(dataclasses.replace(config, **change), "lcm") != row_key(config, "lcm"), change
    assert len({row_key(config, name) for name in (*VARIANTS, "teacher")}) == len(VARIANTS) + 1
    assert teacher_key(dataclasses.replace(config, budget=1.0)) == teacher_key(config)
    assert teacher_key(dataclasses.replace(config, concepts=3)) != teacher_key(config)


def test_the_methods_own_settings_are_part_of_the_key(monkeypatch):
    before = row_key(StudyConfig(), "pcm")
    changed = dataclasses.replace(VARIANTS["pcm"], changes={"method": "pcm", "lr": 2e-3})
    monkeypatch.setattr("hypersd_app.training.study.config.VARIANTS", {**VARIANTS, "pcm": changed})
    assert row_key(StudyConfig(), "pcm") != before


def test_rows_are_kept_one_a_line(tmp_path):
    rows = Rows(tmp_path / "evaluation" / "study.json")
    assert rows.all() == [] and not rows.has("c", "b", "lcm", 0)
    first = Row("c", "b", "lcm", 0, {"1": {"recall": 0.123456789}}, [3], [1.5])
    rows.add(first)
    rows.add(dataclasses.replace(first, seed=1))
    assert rows.has("c", "b", "lcm", 1) and not rows.has("other", "b", "lcm", 1) and not rows.has("c", "other", "lcm", 1)
    assert rows.all()[0] == dataclasses.replace(first, figures={"1": {"recall": 0.123457}})
    assert len(rows.path.read_text(encoding="utf-8").splitlines()) == 4


def test_a_block_s_stamp_is_that_of_the_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.safetensors").write_bytes(b"same")
    assert block_stamp([tmp_path / "a"]) == block_stamp([tmp_path / "b" / "x.safetensors"]) == block_stamp([tmp_path / "b"])
    (tmp_path / "b" / "x.safetensors").write_bytes(b"other")
    assert block_stamp([tmp_path / "a"]) != block_stamp([tmp_path / "b"])


def figures(value):
    return {figure.name: value for figure in report.FIGURES}


def test_each_row_is_compared_with_the_teacher_of_its_own_block(tmp_path):
    rows, config = Rows(tmp_path / "study.json"), StudyConfig()
    teacher, lcm = row_key(config, "teacher"), row_key(config, "lcm")
    for number, factor in enumerate((1.0, 2.0)):
        rows.add(Row(teacher, f"block {number}", "teacher", number, {"25": figures(0.4 * factor)}))
        student = {str(steps): figures(0.2 * factor) for steps in (1, 2, 4, 8)}
        rows.add(Row(lcm, f"block {number}", "lcm", number, student, [10], [2.0]))
    rows.add(Row("another study's", "block 0", "lcm", 0, {str(steps): figures(9.9) for steps in (1, 2, 4, 8)}))
    rows.add(Row(lcm, "a block without a teacher", "lcm", 2, {str(steps): figures(9.9) for steps in (1, 2, 4, 8)}))
    results = report.Results(config, rows)
    by_name = {figure.name: figure for figure in report.FIGURES}
    assert results.values("lcm", 1, by_name["recall"]) == pytest.approx([20, 40])
    assert results.compared("lcm", 1, by_name["recall"]) == pytest.approx([0.5, 0.5])
    assert results.compared("lcm", 4, by_name["kernel_how"]) == pytest.approx([-0.2, -0.4])
    text = report.markdown(config, results)
    assert "| LCM | 30.0 ± 127.1 (0.50 ± 0.00) |" in text and "9.9" not in text
    report.write(config, rows, tmp_path / "out" / "study")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"study.md", "study.png"}


# the whole stage


@pytest.mark.usefixtures("_few_steps")
def test_the_study_spends_its_budget_goes_on_from_the_trunk_and_is_not_repeated(workspace, monkeypatch):
    folder, ran, step_of = workspace.run("study", "tiny"), collections.defaultdict(list), Distiller.__call__

    def noting(distiller, step):
        config = distiller.context.config
        ran[config.method, config.seed, config.stages].append(step)
        return step_of(distiller, step)

    monkeypatch.setattr(Distiller, "__call__", noting)
    stage.train(TINY, workspace, folder, no_progress)
    (unet,) = folder.glob("teacher-*/unet")
    prior = PocketUNet.from_pretrained(unet).layout.state_dict()
    assert all(torch.equal(value, prior[name]) for name, value in workspace.layout().items()), "begins from the trained prior"
    evaluation = workspace.assets / "evaluation"
    text = (evaluation / "study.md").read_text(encoding="utf-8")
    assert "| LCM |" in text and "| TSCD + DMD |" in text and "±" in text and "kernel distance" in text
    assert (evaluation / "study.png").exists()
    rows = {(row.variant, row.seed): row for row in Rows(evaluation / "study.json").all()}
    assert set(rows) == {(name, seed) for name in ("teacher", *TINY.variants) for seed in (0, 1)}
    lcm, tscd, dmd = (rows[name, 0] for name in ("lcm", "tscd", "tscd-dmd"))
    # A step of LCM, for each of two images: the student forward and back to its inputs (2, and a little for the LoRA's own
    # weights), the guided teacher (2), the target (1), and the captions' embedding.
    assert 2 * 4.5 < lcm.costs[0] < 2 * 8 and lcm.steps == [int(260 / lcm.costs[0])]
    assert dmd.before == 2 * 2 * 2 and dmd.costs[3] > 1.5 * tscd.costs[3] and dmd.steps[3] < tscd.steps[3]
    assert dmd.steps[:3] == tscd.steps[:3] and dmd.costs[:3] == tscd.costs[:3], "both were charged the trunk"
    assert tscd.before + sum(n * cost for n, cost in zip(tscd.steps, tscd.costs, strict=True)) <= 260
    assert {steps: len(parts) for steps, parts in tscd.blocks.items()} == {"1": 4, "2": 4}, "parts of two images each"
    assert rows["teacher", 0].blocks == {} and tscd.blocks["1"] != dmd.blocks["1"]
    stages = tuple(zip((8, 4, 2, 1), tscd.steps, strict=True))
    begun = sum(tscd.steps[:3])
    assert ran["tscd", 0, stages[:3]] == list(range(begun)), "the trunk was trained once"
    assert ran["tscd", 0, stages] == list(range(begun, sum(tscd.steps))), "and gone on from"
    assert ran["tscd-dmd", 0, (*stages[:3], (1, dmd.steps[3]))] == list(range(begun, sum(dmd.steps)))
    before = (evaluation / "study.json").read_text(encoding="utf-8")
    monkeypatch.setattr(block, "distil", None)  # would fail if anything were trained again
    stage.train(TINY, workspace, folder, no_progress)
    assert (evaluation / "study.json").read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("_few_steps")
def test_minutes_end_a_study_and_the_same_command_goes_on(workspace, monkeypatch):
    folder, config = workspace.run("study", "short"), dataclasses.replace(TINY, variants=("lcm",), seeds=(3,), lr=2e-3)
    stage.train(dataclasses.replace(config, minutes=1e-9), workspace, folder, no_progress)
    rows = Rows(workspace.assets / "evaluation" / "study.json")
    assert not [row for row in rows.all() if row.seed == 3]
    stage.train(config, workspace, folder, no_progress)
    assert [row.variant for row in rows.all() if row.seed == 3] == ["teacher", "lcm"]
    assert (workspace.assets / "evaluation" / "study-short.md").exists()


@pytest.mark.parametrize("missing", [("judge", "tiny"), ("style-judge", "tiny"), ("reward", "tiny-quality")])
def test_missing_judges_and_rewards_are_told_before_anything_is_trained(workspace, monkeypatch, missing):
    folder, away = workspace.run(*missing), workspace.run(*missing).with_name("away")
    monkeypatch.setattr(stage, "train_teacher", None)
    folder.rename(away)
    try:
        with pytest.raises(ModelUnavailable, match="run `train"):
            stage.train(TINY, workspace, workspace.run("study", "missing"), no_progress)
    finally:
        away.rename(folder)


# what is asked for


def test_seeds_and_variants_are_chosen_or_refused():
    some = chosen(StudyConfig(), [1], ["pcm", "tscd-edge"])
    assert some.seeds == (1,) and some.variants == ("pcm", "tscd-edge")
    assert chosen(StudyConfig(), [], []) == StudyConfig()
    with pytest.raises(InvalidRequest, match="tscd-plain"):
        chosen(StudyConfig(), [], ["everything"])
    with pytest.raises(InvalidRequest, match="seed"):
        chosen(StudyConfig(), [-1], [])


def test_a_study_takes_minutes_and_refuses_steps():
    assert limited(StudyConfig(), None, 5.0).minutes == 5.0
    with pytest.raises(InvalidRequest, match="steps"):
        limited(StudyConfig(), 10, None)
