"""Settings changed on the command line."""

import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.overrides import overridden
from hypersd_app.training.distillation.config import StudentConfig


def test_values_reach_nested_settings_in_their_types():
    found = overridden(
        StudentConfig(),
        ["lr=1", "score.weights=(0, 0.5)", "score.fake_lr=2e-5", "loop.steps=7", "method=tdm", "gradient_checkpointing=true",
         "feedback.rewards=[('aesthetic', 1.0)]", "kept_guidance=(5.0, 8.0)", "mse_weights=0.5"],
    )  # fmt: skip
    assert found.lr == 1.0 and isinstance(found.lr, float)
    assert (found.score.weights, found.score.fake_lr, found.loop.steps) == ((0, 0.5), 2e-5, 7)
    assert (found.method, found.gradient_checkpointing, found.kept_guidance) == ("tdm", True, (5.0, 8.0))
    assert found.feedback.rewards == (("aesthetic", 1.0),) and found.mse_weights == (0.5,)
    assert found.feedback.every == StudentConfig().feedback.every, "the rest stays"


@pytest.mark.parametrize(
    "wrong", ["lr", "=1", "learning=1", "score.none=1", "lr.x=1", "lr=fast", "batch=1.5", "batch=True", "score=1", "method=3",
              "gradient_checkpointing=1"],
)  # fmt: skip
def test_what_does_not_fit_is_named(wrong):
    with pytest.raises(InvalidRequest, match="override"):
        overridden(StudentConfig(), [wrong])
