"""What the shipped presets promise each other."""

import dataclasses
import re

import pytest
import torch

from hypersd_app.catalog.builtin import POCKET_GUIDANCE
from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.diffusion.segments import Segments
from hypersd_app.training.distillation import config as student_config
from hypersd_app.training.distillation.config import at_stage, stage_of
from hypersd_app.training.study import config as study_config

ALL = {
    **{f"student {name}": preset for name, preset in student_config.PRESETS.items()},
    **{f"study {name}": preset for name, preset in study_config.PRESETS.items()},
}


@pytest.mark.parametrize("name", ALL)
def test_every_timestep_that_samplers_start_from_is_trained(name):
    u = torch.linspace(0, 1, 2001, dtype=torch.float64)[:-1]
    grid = set(Segments(1000, 1, ALL[name].skip).draw(u, u, "random")[0].tolist())
    exact = getattr(ALL[name], "exact_steps", 0)
    for steps in (exact,) if exact else (1, 2, 4, 8):
        assert set(trailing_timesteps(1000, steps).tolist()) <= grid, f"{steps} steps"


@pytest.mark.parametrize("name", [name for name in ALL if "photo" not in name])
def test_students_learn_the_guidance_that_the_teacher_is_measured_with(name):
    assert ALL[name].guidance_scale == POCKET_GUIDANCE


def test_photographs_are_judged_by_what_was_made_for_them():
    preset = student_config.PRESETS["photo-hyper-sd"]
    assert dict(preset.feedback.rewards).keys() == {"aesthetic", "image-reward"} and preset.feedback.structure == 0


def test_every_setting_has_its_source():
    """The docstring of each class says of each field whether it is published or ours."""
    for kind in (
        student_config.StudentConfig,
        student_config.AdversarialConfig,
        student_config.ScoreConfig,
        student_config.FeedbackConfig,
    ):
        sources = dict(re.findall(r"^ {8}(\w+): (published|ours)", kind.__doc__, re.MULTILINE))
        nested = {"adversarial", "score", "feedback", "loop"} if kind is student_config.StudentConfig else set()
        assert sources.keys() == {field.name for field in dataclasses.fields(kind)} - nested, kind.__name__


def test_exact_students_learn_the_jumps_that_they_are_drawn_with():
    for steps, preset in ((preset.exact_steps, preset) for preset in student_config.PRESETS.values() if preset.exact_steps):
        assert preset.stages[-1][0] == steps
        points = Segments(1000, steps, preset.skip)
        starts = trailing_timesteps(1000, steps)
        assert points.start(starts).tolist() == [*starts.tolist()[1:], -1]
        assert all(points.walk(start)[-1] == end for start, end in zip(starts.tolist(), [*starts.tolist()[1:], -1], strict=True))


@pytest.mark.parametrize("name", ALL)
def test_terms_that_see_part_of_a_batch_cut_it_evenly(name):
    preset = ALL[name]
    assert preset.batch % preset.score.thin == 0 and preset.batch % preset.feedback.thin == 0


def test_stages_last_their_shares():
    stages = ((8, 0.1), (4, 0.15), (2, 0.25), (1, 0.5))
    found = [stage_of(stages, step, 40) for step in range(42)]
    assert found == [0] * 4 + [1] * 6 + [2] * 10 + [3] * 22, "the last goes on"
    in_steps = ((8, 3), (4, 1), (1, 5))
    assert [stage_of(in_steps, step, 9) for step in range(9)] == [0] * 3 + [1] + [2] * 5, "shares may be steps"
    assert [stage_of(((8, 0.1), (1, 0.9)), step, 2) for step in range(2)] == [1, 1], "one too short for a step has none"


def test_the_last_weight_counts_for_all_later_stages():
    assert [at_stage((0.0, 0.1), stage) for stage in range(4)] == [0.0, 0.1, 0.1, 0.1]
