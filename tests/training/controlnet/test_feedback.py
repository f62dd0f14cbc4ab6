"""Feedback of what sketches become: the right part is looked at, and the right thing named."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.fitting import box
from hypersd_app.training.controlnet import layout_stage
from hypersd_app.training.controlnet import train as controlnet
from hypersd_app.training.controlnet.feedback import SketchFeedback, faintness, framed
from hypersd_app.training.critics.registry import trained
from hypersd_app.training.data.thumbnails import framed as framed_image
from hypersd_app.training.data.thumbnails import shrink
from tests.support.judged_models import no_progress


@pytest.fixture(scope="module")
def workspace(judged):
    return judged


def test_what_is_drawn_is_looked_at_as_the_judge_of_doodles_does():
    image = np.full((256, 256, 3), 255, np.uint8)
    image[40:80, 150:230] = (200, 30, 30)
    drawn = torch.zeros(1, 256, 256)
    drawn[:, 40:80, 150:230] = 1
    as_tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    (seen,) = framed(as_tensor, box(drawn, 0.5)).permute(0, 2, 3, 1)
    (asked,) = shrink(framed_image(image)[None])
    assert np.abs((seen.numpy() + 1) * 127.5 - asked).mean() < 3


def test_the_thing_that_is_drawn_is_surer_than_another(workspace):
    names = [concept.names[0] for concept in workspace.data.concepts]
    feedback = SketchFeedback(trained("agreement", workspace), names, workspace.embed, workspace.autoencoder)
    latents = torch.from_numpy(workspace.latents[np.arange(4)].astype(np.float32))
    made, drawn = latents.clone().requires_grad_(), torch.ones(4, 3, 256, 256)
    likeliest = order(feedback, latents, drawn)
    unsure = feedback(made, latents, drawn, likeliest[:, 0]).unsure
    assert (unsure < feedback(latents, latents, drawn, likeliest[:, -1]).unsure).all()
    unsure.sum().backward()
    assert all(row.any() for row in made.grad)
    nothing_named = feedback(latents, latents, drawn, torch.full((4,), -1))
    assert not nothing_named.unsure.any() and not nothing_named.faint.any(), "real images lack nothing"


def order(feedback: SketchFeedback, latents: Tensor, drawn: Tensor) -> Tensor:
    """Of every image the things, surest first, (B, things)."""
    with torch.no_grad():
        things = [torch.full((len(latents),), thing) for thing in range(len(feedback.names))]
        losses = [feedback(latents, latents, drawn, thing).unsure for thing in things]
    return torch.stack(losses, 1).argsort(1)


def test_a_line_that_is_drawn_has_to_be_seen():
    asked = torch.ones(3, 3, 128, 128)
    asked[:, :, 64:] = -1
    control = torch.zeros(3, 3, 256, 256)
    control[:, :, 126:130] = 1
    made = asked.clone()
    made[1] = asked[1].roll(30, 1)  # its edge lies elsewhere
    made[2] = 0.1 * asked[2]  # a third of what is plain to see
    found = faintness(made, asked, control)
    assert found[0] == 0 and found[1] == 1 and found[2] == pytest.approx(2 / 3, abs=0.01)


def test_a_controlnet_learns_from_it_and_so_does_what_it_draws_in_layouts(workspace):
    layout_stage.train(layout_stage.PRESETS["tiny"], workspace, workspace.run("sketches", "tiny"), no_progress)
    config = controlnet.PRESETS["tiny-student"]
    before = PocketControlNet.from_pretrained(workspace.assets / "controlnet").state_dict()
    told: list[dict[str, float]] = []
    controlnet.train(
        config, workspace, workspace.run("controlnet", "tiny-student"), lambda done, total, metrics: told.append(metrics)
    )
    after = PocketControlNet.from_pretrained(workspace.run("controlnet", "tiny-student") / "controlnet").state_dict()
    assert any({"unsure", "matching", "fake"} <= metrics.keys() for metrics in told)
    for part in ("drawn.", "controlnet_down_blocks."):
        assert any(not torch.equal(before[name].float(), after[name].float()) for name in before if name.startswith(part)), part


def test_what_is_left_behind_is_the_mean_with_another_run(workspace, tmp_path):
    one, two = (PocketControlNet.from_pretrained(workspace.assets / "controlnet").float() for _ in range(2))
    with torch.no_grad():
        for weight in two.parameters():
            weight.add_(torch.randn(weight.shape))
    two.save_pretrained(tmp_path / "controlnet")
    made = controlnet.mean_of(one, tmp_path / "controlnet")
    for first, second, found in zip(one.parameters(), two.parameters(), made.parameters(), strict=True):
        assert torch.allclose(found, (first + second) / 2, atol=1e-5)
    for absent in (None, tmp_path / "nobody"):
        alone = controlnet.mean_of(one, absent)
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), alone.parameters(), strict=True))
