"""A schedule of weighted sums does what diffusers' schedulers do."""

from __future__ import annotations

import diffusers
import pytest
import torch

from hypersd_app.catalog.specs import Recipe
from hypersd_app.engine.sampling.schedules import Schedulers, StepwiseSchedule, WeightedSchedule
from hypersd_app.models.pocket import new_scheduler as pocket_scheduler

CONFIGS = {
    "v": dict(pocket_scheduler().config),
    "epsilon": dict(diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False).config),
}
RECIPES = [
    (Recipe("few", "", steps=(1, 2, 4), scheduler="TCDScheduler", eta=(0.0, 0.3, 1.0)), 4, 0.3),
    (Recipe("few", "", steps=(1, 2, 4), scheduler="TCDScheduler", eta=(0.0, 0.3, 1.0)), 1, 1.0),
    (Recipe("many", "", steps=(8,), scheduler="DDIMScheduler", scheduler_arguments=(("timestep_spacing", "trailing"),)), 8, 0.0),
    (Recipe("consistent", "", steps=(3,), scheduler="LCMScheduler"), 3, 0.0),
    (Recipe("one", "", steps=(1,), scheduler="LCMScheduler", timesteps=(800,)), 1, 0.0),
]


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (4, 5)]


def run(schedule: StepwiseSchedule | WeightedSchedule) -> list[torch.Tensor]:
    """What each step gives for the same predictions."""
    chance, drawing = torch.Generator().manual_seed(1), generators()
    latents, found = torch.randn(2, 3, 4, 4, generator=chance), []
    for number in range(len(schedule.timesteps)):
        prediction = torch.randn(latents.shape, generator=chance)
        latents, expected = schedule.step(number, prediction, latents, drawing)
        found += [latents, expected]
    return found


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(("recipe", "steps", "eta"), RECIPES)
def test_sums_are_diffusers_steps(config: str, recipe: Recipe, steps: int, eta: float) -> None:
    made = Schedulers(recipe, CONFIGS[config]).schedule(steps, eta)
    assert isinstance(made, WeightedSchedule)
    scheduler = getattr(diffusers, recipe.scheduler).from_config(CONFIGS[config], **dict(recipe.scheduler_arguments))
    scheduler.set_timesteps(**({"timesteps": list(recipe.timesteps)} if recipe.timesteps else {"num_inference_steps": steps}))
    assert [int(t) for t in made.timesteps] == scheduler.timesteps.tolist()
    for found, wanted in zip(run(made), run(StepwiseSchedule(scheduler, eta)), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_steps_that_clip_are_left_to_diffusers() -> None:
    recipe = Recipe("many", "", steps=(8,), scheduler="DDIMScheduler")
    made = Schedulers(recipe, {**CONFIGS["epsilon"], "clip_sample": True}).schedule(8, 0.0)
    expected = run(made)[1::2]
    assert max(float(latents.abs().max()) for latents in expected) <= 1.0


def test_runs_do_not_share_where_they_are() -> None:
    schedulers = Schedulers(RECIPES[0][0], CONFIGS["v"])
    first, second = run(schedulers.schedule(4, 0.3)), run(schedulers.schedule(4, 0.3))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert schedulers.schedule(4, 0.3) is schedulers.schedule(4, 0.3)
    assert len(schedulers.schedule(2, 0.3).timesteps) == 2


def test_steps_that_depend_on_earlier_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="DPMSolverMultistepScheduler"):
        Schedulers(Recipe("many", "", steps=(8,), scheduler="DPMSolverMultistepScheduler"), CONFIGS["epsilon"])
