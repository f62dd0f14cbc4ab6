"""Single-file checkpoints draw what the diffusers folder of the same weights draws, and ask no network."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hypersd_app.catalog.builtin import stable_diffusion
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.checkpoints import BASE_MODELS, clip_tokenizer, count_checkpoint
from hypersd_app.engine.loading.loader import Loader
from hypersd_app.errors import ModelUnavailable
from hypersd_app.requests import ControlInput, GenerationRequest
from hypersd_app.weights.hub import Hub
from tests.engine.conftest import REFERENCE, SD15, SDXL
from tests.support import tiny_models
from tests.support.checkpoints import write_checkpoint
from tests.support.drawings import SIZES, sketch

PIPELINES = {"sd15": (SD15, diffusers.StableDiffusionPipeline), "sdxl": (SDXL, diffusers.StableDiffusionXLPipeline)}


class RecipesOnly(tiny_models.FolderHub):
    """Has the LoRAs and ControlNets, and nothing of the base models."""

    def file(self, source: WeightSource, progress=None) -> Path:
        assert source.repo not in (SD15, SDXL), "a checkpoint holds all of the base model"
        return super().file(source, progress)


@pytest.fixture(scope="module")
def base_models(repositories, tmp_path_factory) -> Path:
    """Small configurations in the place of the true ones."""
    root = tmp_path_factory.mktemp("bases")
    for family, (repo, _) in PIPELINES.items():
        shutil.copytree(repositories / repo, root / family, ignore=shutil.ignore_patterns("*.safetensors"))
    return root


@pytest.fixture
def opened(settings, repositories, base_models):
    for family, (repo, kind) in PIPELINES.items():
        write_checkpoint(settings.models / f"dream-{family}.safetensors", kind.from_pretrained(repositories / repo))
    hub = RecipesOnly(repositories)
    engine = Engine(settings, hardware=REFERENCE, hub=hub, loader=Loader(hub, torch.float32, base_models))
    yield engine
    engine.close()


@pytest.mark.parametrize("family", PIPELINES)
def test_a_checkpoint_draws_what_its_folder_draws(engine, opened, family):
    assert opened.catalog.model(f"dream-{family}").family == family
    size = SIZES[family]
    control = ControlInput(sketch(size))
    wanted = GenerationRequest("a red cat", model=family, recipe="unified", width=size, height=size, control=control)
    guided = replace(wanted, recipe="8steps-cfg", num_inference_steps=8, negative_prompt="blurry", control=None)
    # Weights lie elsewhere in memory, by which sums change their order; random weights with guidance blow that up.
    for request, tolerance in ((wanted, 2), (guided, 10)):
        expected = np.asarray(engine.generate(request).images[0]).astype(int)
        made = np.asarray(opened.generate(replace(request, model=f"dream-{family}")).images[0]).astype(int)
        assert np.abs(made - expected).max() <= tolerance
        assert expected.std() > 3


@pytest.mark.parametrize("family", PIPELINES)
def test_every_weight_of_a_checkpoint_is_the_folders(engine, opened, family):
    states = []
    for which, name in ((engine, family), (opened, f"dream-{family}")):
        row, loader = which.catalog.model(name), which._models.loader
        unet, vae = loader.unet(row, row.recipes[0]), loader.decoder(row, row.decoders[0])
        states.append([module.state_dict() for module in (unet, vae, *loader.text(row).encoders)])
    for one, other in zip(*states, strict=True):
        assert set(one) == set(other)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_dedicated_unet_runs_on_a_checkpoint_too(engine, opened):
    request = GenerationRequest("a cat", model="sdxl", recipe="1step-unet", width=512, height=512)
    made = opened.generate(replace(request, model="dream-sdxl"))
    assert np.array_equal(np.asarray(made.images[0]), np.asarray(engine.generate(request).images[0]))


def test_what_a_checkpoint_lacks_is_named(opened, settings, repositories):
    path = settings.models / "dream-sd15.safetensors"
    tensors = {name: value for name, value in load_file(path).items() if not name.startswith("first_stage_model.")}
    save_file(tensors, settings.models / "pruned.safetensors")
    opened.rescan()
    request = GenerationRequest("a cat", model="pruned", recipe="unified", width=256, height=256)
    with pytest.raises(ModelUnavailable, match="lacks a part"):
        opened.generate(request)
    assert opened.generate(replace(request, decoder="tiny")).images, "the tiny decoder comes from elsewhere"


def test_a_checkpoint_of_another_size_is_refused(settings, repositories, tmp_path):
    write_checkpoint(settings.models / "small.safetensors", PIPELINES["sd15"][1].from_pretrained(repositories / SD15))
    engine = Engine(settings, hardware=REFERENCE, hub=Hub(offline=True, cache=tmp_path / "hub"))
    with pytest.raises(ModelUnavailable, match=r"small\.safetensors"):
        engine.generate(GenerationRequest("a cat", model="small", recipe="teacher", num_inference_steps=8))
    engine.close()


def test_parts_are_counted_where_a_checkpoint_keeps_them(opened, settings, repositories):
    pipeline = PIPELINES["sdxl"][1].from_pretrained(repositories / SDXL)
    counts = count_checkpoint(settings.models / "dream-sdxl.safetensors")
    encoders = [pipeline.text_encoder, pipeline.text_encoder_2]
    for part, modules in {"text": encoders, "unet": [pipeline.unet], "decoder": [pipeline.vae.decoder]}.items():
        assert counts[part] == sum(parameter.numel() for module in modules for parameter in module.parameters())


def test_the_tokenizer_that_comes_along_is_clips():
    first, second = (clip_tokenizer(BASE_MODELS / "sdxl" / name) for name in ("tokenizer", "tokenizer_2"))
    assert len(first) == 49408
    photo = [49406, 320, 1125, 539, 320, 2368]
    assert first("a photo of a cat", padding="max_length", max_length=9).input_ids == [*photo, 49407, 49407, 49407]
    assert second("A photo of  a CAT", padding="max_length", max_length=9).input_ids == [*photo, 49407, 0, 0]
    assert first.model_max_length == 77
    assert first.decode(first("naïve café, 3 rockets!").input_ids, skip_special_tokens=True).split() == [
        "naïve", "café", ",", "3", "rockets", "!"
    ]  # fmt: skip


@pytest.mark.parametrize(("family", "millions"), [("sd15", (860, 123, 84)), ("sdxl", (2567, 818, 84))])
def test_the_configurations_that_come_along_have_the_known_sizes(family, millions):
    import transformers

    root = BASE_MODELS / family
    kinds = {"text_encoder": transformers.CLIPTextModel, "text_encoder_2": transformers.CLIPTextModelWithProjection}
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel.from_config(diffusers.UNet2DConditionModel.load_config(root / "unet"))
        vae = diffusers.AutoencoderKL.from_config(diffusers.AutoencoderKL.load_config(root / "vae"))
        texts = [kind(kind.config_class.from_pretrained(root / name)) for name, kind in kinds.items() if (root / name).exists()]
    sizes = [sum(p.numel() for m in modules for p in m.parameters()) / 1e6 for modules in ([unet], texts, [vae])]
    assert [round(size) for size in sizes] == list(millions)
    row = stable_diffusion("mine", "Mine", family, WeightSource(path=Path("mine.safetensors")))
    schedule = Loader(Hub(offline=True), torch.float32).scheduler_config(row)
    assert (schedule["beta_end"], schedule["steps_offset"]) == (0.012, 1)


def rewritten(path: Path, change) -> Path:
    """A checkpoint with other tensors in it."""
    tensors = change(load_file(path))
    path.unlink()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("zero_snr", [False, True])
def test_a_model_that_predicts_v_is_drawn_as_its_folder_is(engine, opened, settings, repositories, tmp_path, zero_snr):
    marks = {"v_pred": torch.zeros(0), **({"ztsnr": torch.zeros(0)} if zero_snr else {})}
    rewritten(settings.models / "dream-sd15.safetensors", lambda tensors: {**tensors, **marks})
    pipeline = PIPELINES["sd15"][1].from_pretrained(repositories / SD15)
    config = {"prediction_type": "v_prediction", **({"rescale_betas_zero_snr": True} if zero_snr else {})}
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **config)
    pipeline.save_pretrained(engine.settings.models / "folder-v")
    opened.rescan()
    engine.rescan()
    assert opened.catalog.model("dream-sd15").note.startswith("From the models folder. Predicts v (by its key v_pred")
    request = GenerationRequest("a red cat", recipe="teacher", num_inference_steps=8, width=256, height=256, guidance_scale=1.0)
    expected = engine.generate(replace(request, model="folder-v")).pixels[0].astype(int)
    made = opened.generate(replace(request, model="dream-sd15")).pixels[0].astype(int)
    plain = engine.generate(replace(request, model="sd15")).pixels[0].astype(int)
    assert np.abs(made - expected).max() <= 4 < np.abs(plain - expected).max()


def test_names_without_text_model_and_weights_with_scales_are_read(opened, settings):
    path = settings.models / "dream-sd15.safetensors"
    row, loader = opened.catalog.model("dream-sd15"), opened._models.loader
    before = loader.text(row).encoders[0].state_dict(), loader.unet(row, row.recipes[-1]).state_dict()

    def dressed(tensors):
        made = {name.replace(".transformer.text_model.", ".transformer."): tensor for name, tensor in tensors.items()}
        for name in [name for name in made if name.startswith("model.diffusion_model.") and made[name].ndim == 2]:
            scale = made[name].abs().max() / 400
            made[name.replace(".weight", ".scale_weight")] = scale
            made[name] = (made[name] / scale).to(torch.float8_e4m3fn)
        return {**made, "scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}

    rewritten(path, dressed)
    after = loader.text(row).encoders[0].state_dict(), loader.unet(row, row.recipes[-1]).state_dict()
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    for name, value in before[1].items():
        assert (after[1][name] - value).abs().max() <= 0.07 * value.abs().max(), name
