"""Image to image on every recipe: strengths, noise levels, masks, batches, both backends, and diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from hypersd_app.catalog.builtin import hub_models
from hypersd_app.catalog.specs import Recipe
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.sampling.schedules import Schedulers
from hypersd_app.errors import InvalidRequest
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.requests import ControlInput, GenerationRequest, InitImage
from tests.engine.conftest import SD15
from tests.support import tiny_models

SIZES = {"pocket": 256, "sd15": 256, "sdxl": 512}
EPSILON = dict(diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False).config)
ZERO_SNR = {**EPSILON, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
CONFIGS = {"pocket": dict(new_scheduler().config), "epsilon": EPSILON, "zero-snr": ZERO_SNR}
TCD = Recipe("few", "", steps=tuple(range(1, 9)), scheduler="TCDScheduler", eta=(0.0, 1.0, 1.0))
LCM = Recipe("consistent", "", steps=tuple(range(1, 9)), scheduler="LCMScheduler")
DDIM = Recipe(
    "many", "", steps=tuple(range(8, 51)), scheduler="DDIMScheduler", scheduler_arguments=(("timestep_spacing", "trailing"),)
)


def image(size: int, seed: int = 0) -> np.ndarray:
    """Soft colours, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def upper_mask(size: int) -> np.ndarray:
    """The upper half is made anew."""
    mask = np.zeros((size, size), np.uint8)
    mask[: size // 2] = 255
    return mask


def painted(model: str = "pocket", strength: float = 0.5, **changes: object) -> GenerationRequest:
    size = SIZES[model]
    given = {"width": size, "height": size, "seed": 3, "init": InitImage(image(size), strength), **changes}
    return GenerationRequest("a red cat", model=model, **given)  # type: ignore[arg-type]


def drawn(engine: Engine, request: GenerationRequest) -> np.ndarray:
    return engine.generate(request).pixels[0]


# --- strengths and noise levels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("recipe", [TCD, LCM, DDIM], ids=lambda recipe: recipe.scheduler)
@pytest.mark.parametrize("strength", [0.02, 0.1, 0.35, 0.5, 0.8, 0.97])
def test_a_run_starts_at_its_strength_and_noise_level(config: str, recipe: Recipe, strength: float) -> None:
    for steps in recipe.steps[:8]:
        schedule = Schedulers(recipe, CONFIGS[config]).schedule(steps, 0.0, strength)
        times = [int(t) for t in schedule.timesteps]
        assert abs(times[0] - (1000 * strength - 1)) <= 10, "within half a point of the coarsest grid"
        assert times == sorted(set(times), reverse=True) and 1 <= len(times) <= steps and times[-1] >= 0
        assert not schedule.from_noise
        reference = getattr(diffusers, recipe.scheduler).from_config(CONFIGS[config], **dict(recipe.scheduler_arguments))
        clean, eps = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 2.0)
        for number, t in enumerate(schedule.timesteps):
            alpha, sigma = schedule.level(number)
            wanted = reference.add_noise(clean, eps, t.reshape(1).long())
            assert alpha + 2 * sigma == pytest.approx(wanted.item(), abs=1e-5)
        assert schedule.level(len(times)) == (1.0, 0.0)


def test_strengths_between_rise_in_timesteps() -> None:
    schedulers = Schedulers(TCD, CONFIGS["pocket"])
    starts = [int(schedulers.schedule(4, 0.0, strength / 50).timesteps[0]) for strength in range(1, 51)]
    assert starts == sorted(set(starts)) and starts[-1] == 999


def test_full_strength_is_text_to_image() -> None:
    for recipe, steps in ((TCD, 4), (LCM, 2), (DDIM, 10)):
        schedulers = Schedulers(recipe, CONFIGS["epsilon"])
        plain, full = schedulers.schedule(steps, 0.0), schedulers.schedule(steps, 0.0, 1.0)
        assert [int(t) for t in plain.timesteps] == [int(t) for t in full.timesteps] and full.from_noise


def test_every_recipe_says_its_strengths() -> None:
    said = {(model.name, recipe.name): recipe.strengths for model in hub_models() for recipe in model.recipes}
    assert said["sd15", "unified"] is None and said["sd15", "teacher"] is None
    assert said["sd15", "4steps"] == (0.0, 0.25, 0.5, 0.75, 1.0) and said["sd15", "2steps"] == (0.0, 0.5, 1.0)
    assert said["sdxl", "1step-unet"] == (0.0, 0.801, 1.0), "its only timestep, 800, lets a quarter of an image through"
    assert len(said["sdxl", "12steps-cfg"] or ()) == 13
    assert all(said[name, recipe] == () for name, recipe in said if name in ("sd3", "flux"))


@pytest.mark.parametrize(
    ("model", "recipe", "steps", "strength", "words"),
    [
        ("sd15", "4steps", 4, 0.3, "strength.*0.3.*0, 0.25, 0.5, 0.75 or 1.*'4steps'"),
        ("sd15", "2steps", 2, 0.25, "strength.*0.25.*0, 0.5 or 1"),
        ("sdxl", "1step-unet", 1, 0.5, "strength.*0.5.*0, 0.8 or 1"),
        ("sd3", "4steps-cfg", 4, 0.5, "init.*none.*Stable Diffusion 3"),
        ("flux", "8steps", 8, 0.5, "init.*none.*FLUX"),
    ],
)
def test_other_strengths_are_refused_with_what_is_allowed(
    engine: Engine, model: str, recipe: str, steps: int, strength: float, words: str
) -> None:
    init = InitImage(image(64), strength)
    with pytest.raises(InvalidRequest, match=words):
        engine.generate(GenerationRequest("a cat", model=model, recipe=recipe, num_inference_steps=steps, init=init))


def test_rounded_strengths_are_taken_for_the_exact_ones(engine: Engine) -> None:
    made = engine.generate(painted("sd15", 0.33, recipe="12steps-cfg", num_inference_steps=12))
    assert made.request.init is not None and made.request.init.strength == pytest.approx(4 / 12)


# --- images ---------------------------------------------------------------------------------------------------------


def round_trip(model: str) -> tuple[str, int]:
    return {"pocket": ("unified", 1), "sd15": ("unified", 2), "sdxl": ("unified", 1)}[model]


@pytest.mark.parametrize("model", SIZES)
def test_the_distance_to_the_start_in_latents_falls_with_strength(engine: Engine, model: str) -> None:
    """Random networks draw noise, and random autoencoders lose the image: what is compared starts from the mildest strength."""
    recipe, steps = round_trip(model)
    request = painted(model, 0.02, recipe=recipe, num_inference_steps=steps)
    start = drawn(engine, request).astype(float)
    found = []
    for strength in (0.1, 0.4, 0.8, 1.0):
        now = replace(request, init=InitImage(image(SIZES[model]), strength))
        found.append(np.abs(drawn(engine, now).astype(float) - start).mean())
    assert found == sorted(found) and found[0] < 0.95 * found[-1]


@pytest.mark.parametrize("model", SIZES)
def test_no_strength_keeps_the_image_and_full_strength_forgets_it(engine: Engine, model: str) -> None:
    recipe, steps = round_trip(model)
    kept = drawn(engine, painted(model, 0.0, recipe=recipe, num_inference_steps=steps))
    assert (kept == image(SIZES[model])).all()
    free = painted(model, 1.0, recipe=recipe, num_inference_steps=steps)
    assert (drawn(engine, free) == drawn(engine, replace(free, init=None))).all()


RECIPES = [
    ("pocket", "unified", 3, 0.4), ("pocket", "teacher", 8, 0.5), ("sd15", "2steps", 2, 0.5), ("sd15", "8steps-cfg", 8, 0.25),
    ("sdxl", "1step-unet", 1, 0.8), ("sdxl", "4steps", 4, 0.75),
]  # fmt: skip


@pytest.mark.parametrize(("model", "recipe", "steps", "strength"), RECIPES)
def test_a_mask_keeps_the_rest_bit_for_bit(engine: Engine, model: str, recipe: str, steps: int, strength: float) -> None:
    size = SIZES[model]
    old = image(size)
    request = painted(model, recipe=recipe, num_inference_steps=steps, init=InitImage(old, strength, upper_mask(size)))
    made = drawn(engine, request)
    below = size // 2 + size // 32
    assert (made[below:] == old[below:]).all()
    assert np.abs(made[: size // 2].astype(int) - old[: size // 2]).mean() > 3, "the rest is new"


def test_images_drawn_together_are_those_drawn_alone(engine: Engine) -> None:
    size = SIZES["pocket"]
    inits = [InitImage(image(size, seed), 0.6, upper_mask(size) if seed == 1 else None) for seed in range(3)]
    stroke = np.zeros((size, size, 3), np.uint8)
    stroke[60:64] = 255
    requests = [
        painted(init=init, seed=seed, num_inference_steps=2, eta=0.5, control=ControlInput(stroke) if seed == 2 else None)
        for seed, init in enumerate(inits)
    ]
    together = engine.generate_batch(requests)
    for request, made in zip(requests, together, strict=True):
        alone = drawn(engine, request)
        assert np.abs(made.pixels[0].astype(int) - alone).max() <= 1, "sums of a batch may round otherwise"


def test_images_of_one_request_differ_and_share_the_start(engine: Engine) -> None:
    result = engine.generate(painted(strength=0.7, num_images=3))
    assert len({image.tobytes() for image in result.pixels}) == 3
    alone = drawn(engine, painted(strength=0.7, seed=5)).astype(int)
    assert np.abs(result.pixels[2] - alone).max() <= 1, "sums of a batch may round otherwise"


@pytest.mark.parametrize(
    ("recipe", "steps", "strength"), [("8steps-cfg", 8, 0.5), ("4steps", 4, 0.75), ("teacher", 10, 0.3), ("12steps-cfg", 12, 1 / 3)]
)
def test_image_to_image_equals_diffusers(engine: Engine, repositories: Path, recipe: str, steps: int, strength: float) -> None:
    row = next(row for row in engine.recipes("sd15") if row.name == recipe)
    pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(repositories / SD15)
    pipeline.set_progress_bar_config(disable=True)
    if row.lora is not None:
        path = repositories / row.lora.repo / row.lora.filename
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
        pipeline.fuse_lora()
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **dict(row.scheduler_arguments))
    pipeline.unet.to(memory_format=torch.channels_last)
    old = image(256)
    values = torch.from_numpy(old.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        latents = pipeline.vae.encode(values).latent_dist.mode() * pipeline.vae.config.scaling_factor
    guidance = (row.guidance or (0, 0, 0))[1]
    wanted = pipeline(
        prompt="a red cat", image=latents, strength=strength + 1e-6, num_inference_steps=steps, guidance_scale=guidance,
        generator=torch.Generator().manual_seed(3), output_type="np",
    ).images[0]  # fmt: skip
    made = drawn(engine, painted("sd15", strength, recipe=recipe, num_inference_steps=steps))
    assert np.abs(made.astype(int) - np.round(wanted * 255)).max() <= 2


@pytest.fixture
def vino(settings, repositories: Path) -> Iterator[Engine]:
    made = Engine(settings, hardware=Hardware("openvino", "cpu", dtype=torch.float32), hub=tiny_models.FolderHub(repositories))
    yield made
    made.close()


def test_openvino_paints_what_torch_paints(engine: Engine, vino: Engine) -> None:
    size = SIZES["pocket"]
    for init in (InitImage(image(size), 0.5), InitImage(image(size), 0.8, upper_mask(size))):
        request = painted(init=init, num_inference_steps=2)
        difference = np.abs(drawn(engine, request).astype(int) - drawn(vino, request))
        assert difference.max() <= 6 and difference.mean() < 0.5
