"""Frozen judges measure everything, on the images they were frozen with and no others."""

import pytest
from safetensors.torch import load_file

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.critics.frozen import digest, freeze, judge_file
from hypersd_app.training.data.dataset import write_lines
from hypersd_app.training.evaluation.features import judge_of
from tests.support.judged_models import no_progress


@pytest.fixture
def workspace(own_judged):
    made = own_judged
    made.run("data", "tiny").rename(made.run("data", "evaluation"))
    made.run("data", "tiny").symlink_to(made.run("data", "evaluation"))
    return made


def test_frozen_judges_win_over_later_ones_and_are_not_replaced(workspace):
    assert judge_file(workspace, "judge").is_relative_to(workspace.runs / "judge")
    before = judge_of(workspace).model.state_dict()
    freeze(workspace, no_progress)
    shipped = judge_file(workspace, "judge")
    assert shipped.is_relative_to(workspace.assets) and judge_file(workspace, "style-judge").is_relative_to(workspace.assets)
    stored = load_file(shipped)
    assert all(value.element_size() == 2 for value in stored.values())
    assert all((stored[name].float() - value).abs().max() <= 1e-3 * value.abs().max() + 1e-6 for name, value in before.items())
    with pytest.raises(ModelUnavailable, match="frozen"):
        freeze(workspace, no_progress)


def test_other_images_are_refused(workspace):
    freeze(workspace, no_progress)
    folder = workspace.images("evaluation").folder
    was = digest(workspace, "evaluation")
    write_lines(folder / "scenes.jsonl", (scene.to_json() for scene in workspace.images("evaluation").scenes[1:]))
    assert digest(workspace, "evaluation") != was
    with pytest.raises(ModelUnavailable, match="not those that the judges were frozen with"):
        judge_file(workspace, "judge")
