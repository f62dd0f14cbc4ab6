"""The engine draws what diffusers' own pipelines draw from the same seed, for every recipe."""

from __future__ import annotations

import copy
import functools

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from hypersd_app.engine.engine import Engine
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import PocketUNet, new_unet
from hypersd_app.models.text_encoder import MaskedBertModel
from hypersd_app.requests import ControlInput, GenerationRequest, StyleWeight
from hypersd_app.settings import Settings
from tests.engine.conftest import HYPER, REFERENCE, SD15, SDXL
from tests.support import tiny_models
from tests.support.drawings import SIZES, sketch

TOLERANCE = 2


@pytest.fixture(scope="module")
def settings(pocket, tmp_path_factory):
    root = tmp_path_factory.mktemp("equivalence")
    return Settings(
        assets=pocket, cache=root / "cache", models=root / "models", styles=root / "styles", offline=True, memory_gb=4.0
    )


@pytest.fixture(scope="module")
def engine(settings, repositories):
    """One for all recipes, so that each also draws after others have: whatever one left behind would show in the next."""
    made = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bases(engine, repositories, pocket):
    """Pipelines of plain diffusers code for the same weights, by model and whether they have a ControlNet; read once."""
    tokenizer = engine._models.loader.text(engine.catalog.model("pocket")).tokenizers[0]

    def read(model, control):
        if model == "pocket":
            return pocket_pipeline(pocket / "pocket", tokenizer, control)
        arguments = {}
        if control:
            source = engine.catalog.control(engine.catalog.model(model), "scribble").source
            arguments["controlnet"] = diffusers.ControlNetModel.from_pretrained(repositories / source.repo)
        name = "StableDiffusionXL" if model == "sdxl" else "StableDiffusion"
        kind = getattr(diffusers, f"{name}{'ControlNet' if control else ''}Pipeline")
        return kind.from_pretrained(repositories / (SDXL if model == "sdxl" else SD15), **arguments)

    return functools.cache(read)


def pocket_pipeline(folder, tokenizer, control):
    parts = {
        "vae": PocketAutoencoder.from_pretrained(folder / "vae"),
        "text_encoder": MaskedBertModel.from_pretrained(folder / "text_encoder").float(),
        "tokenizer": tokenizer,
        "unet": PocketUNet.from_pretrained(folder / "unet"),
        "scheduler": diffusers.DDPMScheduler.from_pretrained(folder / "scheduler"),
        "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
    }  # fmt: skip
    if not control:
        return diffusers.StableDiffusionPipeline(**parts)
    controlnet = PocketControlNet.from_pretrained(folder / "controlnet")
    controlnet.use_prior_of(parts["unet"])
    return diffusers.StableDiffusionControlNetPipeline(controlnet=controlnet, **parts)


def reference_pipeline(bases, model, recipe, control, repositories):
    """Plain diffusers code for the weights of the recipe, with a UNet and a scheduler of its own."""
    base = bases(model, control)
    pipeline = copy.copy(base)
    pipeline.unet = copy.deepcopy(base.unet)
    if control and model == "pocket":
        pipeline.controlnet.use_prior_of(pipeline.unet)
    if recipe.unet is not None:
        from safetensors.torch import load_file

        pipeline.unet.load_state_dict(load_file(repositories / HYPER / recipe.unet.filename))
    if recipe.lora is not None:
        path = recipe.lora.path or repositories / HYPER / recipe.lora.filename
        pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
        pipeline.fuse_lora()
    kind = getattr(diffusers, recipe.scheduler)
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **dict(recipe.scheduler_arguments))
    # The order of additions in a convolution follows the memory layout; random weights with guidance blow that up to 9/255.
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def reference_images(pipeline, recipe, request, size):
    """What the pipeline draws, uint8 (B, H, W, 3)."""
    count = request.num_images
    guidance = request.guidance_scale if request.guidance_scale is not None else (recipe.guidance or (0, 0, 0))[1]
    arguments = {
        "prompt": [request.prompt] * count, "height": size, "width": size, "guidance_scale": guidance,
        "generator": [torch.Generator().manual_seed(request.seed + i) for i in range(count)], "output_type": "np",
    }  # fmt: skip
    if request.negative_prompt:
        arguments["negative_prompt"] = [request.negative_prompt] * count
    if recipe.timesteps:
        arguments["timesteps"] = list(recipe.timesteps)
    else:
        arguments["num_inference_steps"] = request.num_inference_steps
    if recipe.eta is not None:
        arguments["eta"] = request.eta if request.eta is not None else recipe.eta[1]
    if request.control is not None:
        arguments["image"] = [Image.fromarray(request.control.image)] * count
        arguments["controlnet_conditioning_scale"] = request.control.scale
    return np.round(pipeline(**arguments).images * 255).astype(np.int16)


def largest_difference(engine, request, bases, repositories, style=None) -> int:
    """Between the engine's images and the reference's; `style` is the file of the request's only style."""
    recipe = next(row for row in engine.recipes(request.model) if row.name == request.recipe)
    pipeline = reference_pipeline(bases, request.model, recipe, request.control is not None, repositories)
    if style is not None:
        pipeline.unload_lora_weights()  # the accelerating one stays in the weights
        before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
        pipeline.load_lora_weights(str(style.parent), weight_name=style.name)
        pipeline.fuse_lora(lora_scale=request.styles[0].weight)
    wanted = reference_images(pipeline, recipe, request, request.width)
    if style is not None:
        now = {name.replace(".base_layer", ""): value for name, value in pipeline.unet.state_dict().items()}
        assert sum(not torch.equal(value, now[name]) for name, value in before.items()) > 10, "the style must do something"
    made = np.stack([np.asarray(image) for image in engine.generate(request).images]).astype(np.int16)
    assert made.shape == wanted.shape
    assert wanted.std() > 3, "the reference must not be flat, or anything would equal it"
    return int(np.abs(made - wanted).max())


RECIPES = [
    ("pocket", "unified", 1), ("pocket", "unified", 4), ("pocket", "teacher", 8),
    ("sd15", "unified", 1), ("sd15", "unified", 3), ("sd15", "2steps", 2), ("sd15", "4steps", 4), ("sd15", "8steps", 8),
    ("sd15", "8steps-cfg", 8), ("sd15", "12steps-cfg", 12), ("sd15", "teacher", 10),
    ("sdxl", "unified", 1), ("sdxl", "unified", 2), ("sdxl", "2steps", 2), ("sdxl", "4steps", 4), ("sdxl", "8steps", 8),
    ("sdxl", "8steps-cfg", 8), ("sdxl", "12steps-cfg", 12), ("sdxl", "teacher", 8), ("sdxl", "1step-unet", 1),
]  # fmt: skip


@pytest.mark.parametrize(("model", "recipe", "steps"), RECIPES)
def test_every_recipe_equals_diffusers(engine, bases, repositories, model, recipe, steps):
    size = SIZES[model]
    request = GenerationRequest("a red cat", model=model, recipe=recipe, num_inference_steps=steps, seed=3, width=size, height=size)
    assert largest_difference(engine, request, bases, repositories) <= TOLERANCE


def matrix():
    """Each recipe with control and with a style, one of them as a batch of four, the other alone; in turn.

    SDXL draws four times the pixels, so that its recipes have it all in one batch.
    """
    longest = {(model, recipe): steps for model, recipe, steps in RECIPES}
    for number, ((model, recipe), steps) in enumerate(longest.items()):
        counts = {"control": 4, "style": 1} if number % 2 else {"control": 1, "style": 4}
        for kind, count in {"control+style": 4}.items() if model == "sdxl" else counts.items():
            yield pytest.param(model, recipe, steps, kind, count, id=f"{model}-{recipe}-{kind}-{count}")


def test_no_recipe_is_left_out(engine):
    shipped = {(model, row.name) for model in SIZES for row in engine.recipes(model)}
    assert shipped == {(model, recipe) for model, recipe, _ in RECIPES}


@pytest.fixture(scope="module")
def style_of(settings, engine):
    """A style of each family."""
    unets = {"pocket": new_unet((64, 64, 64), 1), "sd15": tiny_models.small_unet(32), "sdxl": tiny_models.small_unet(48, True)}
    for family, unet in unets.items():
        # Weak: a strong one makes random networks so wild that guided steps blow the last bit of a sum up to 40/255.
        tiny_models.write_lora(settings.styles / family / "brush.safetensors", unet, 2, seed=12, scale=0.5)
    engine.rescan()
    return lambda family: settings.styles / family / "brush.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "recipe", "steps", "kind", "count"), list(matrix()))
def test_every_recipe_with_control_style_and_a_batch_equals_diffusers(
    engine, bases, repositories, style_of, model, recipe, steps, kind, count
):
    size = SIZES[model]
    request = GenerationRequest(
        "a red cat", model=model, recipe=recipe, num_inference_steps=steps, seed=3, width=size, height=size, num_images=count,
        control=ControlInput(sketch(size), scale=0.7) if "control" in kind else None,
        styles=(StyleWeight("brush", 0.8),) if "style" in kind else (),
    )  # fmt: skip
    style = style_of(model) if request.styles else None
    assert largest_difference(engine, request, bases, repositories, style) <= TOLERANCE


@pytest.mark.parametrize(
    ("model", "recipe", "steps"), [("pocket", "unified", 2), ("sd15", "unified", 1), ("sdxl", "8steps-cfg", 8)]
)
def test_control_equals_diffusers(engine, bases, repositories, model, recipe, steps):
    size = SIZES[model]
    request = GenerationRequest(
        "a cat", model=model, recipe=recipe, num_inference_steps=steps, seed=5, width=size, height=size,
        control=ControlInput(sketch(size), scale=0.7),
    )  # fmt: skip
    assert largest_difference(engine, request, bases, repositories) <= TOLERANCE


@pytest.mark.parametrize("model", ["pocket", "sd15", "sdxl"])
def test_batches_with_noise_between_steps_equal_diffusers(engine, bases, repositories, model):
    size = SIZES[model]
    request = GenerationRequest(
        "a dog", model=model, recipe="unified", num_inference_steps=2, eta=0.5, seed=9, num_images=4, width=size, height=size
    )
    assert largest_difference(engine, request, bases, repositories) <= TOLERANCE


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_a_negative_prompt_equals_diffusers(engine, bases, repositories, model):
    size = SIZES[model]
    request = GenerationRequest(
        "a dog", "blurry", model=model, recipe="8steps-cfg", num_inference_steps=8, guidance_scale=6.0, width=size, height=size
    )
    assert largest_difference(engine, request, bases, repositories) <= TOLERANCE


def test_styles_equal_diffusers(engine, bases, repositories, pocket):
    request = GenerationRequest(
        "a cat, ink", recipe="unified", num_inference_steps=1, width=256, height=256,
        styles=(StyleWeight("ink", 0.8), StyleWeight("clay", -0.5)),
    )  # fmt: skip
    recipe = engine.recipes("pocket")[0]
    pipeline = reference_pipeline(bases, "pocket", recipe, False, repositories)
    pipeline.unload_lora_weights()
    folder = str(pocket / "pocket" / "styles")
    for name in ("ink", "clay"):
        pipeline.load_lora_weights(folder, weight_name=f"{name}.safetensors", adapter_name=name)
    pipeline.set_adapters(["ink", "clay"], [0.8, -0.5])
    wanted = reference_images(pipeline, recipe, request, 256)
    made = np.asarray(engine.generate(request).images[0]).astype(np.int16)
    assert np.abs(made - wanted[0]).max() <= TOLERANCE
    plain = engine.generate(GenerationRequest("a cat, ink", recipe="unified", num_inference_steps=1))
    assert np.abs(made - np.asarray(plain.images[0]).astype(np.int16)).max() > TOLERANCE, "the styles must do something"
