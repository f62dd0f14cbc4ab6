"""SD1.5 and SDXL folders as teachers, epsilon and v: distilled, resumed, and used by diffusers and by the app."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline, TCDScheduler
from PIL import Image
from safetensors.torch import load_file

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.settings import Settings
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.critics.mask_rcnn import MaskRCNNSegmenter
from hypersd_app.training.data.shards import Shards
from hypersd_app.training.distillation import stable_diffusion
from hypersd_app.training.distillation.config import AdversarialConfig, ScoreConfig, StudentConfig
from hypersd_app.training.distillation.stable_diffusion import CaptionedFolder, open_pipeline
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models


def quiet(done, total, metrics):
    """Nobody looks."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a_cat", (60, 40)), ("dog", (40, 70)), ("red", (64, 64))):
        Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(folder / f"{name}.png")
    (folder / "dog.txt").write_text("a blue dog\n", encoding="utf-8")
    return folder


CONFIG = StudentConfig(
    method="tscd-dmd", stages=((2, 1.0), (1, 1.0)), rank=2, batch=1, accumulation=2, guidance_scale=3.0, target_decay=0.9,
    gradient_checkpointing=True, precision="no", adversarial=AdversarialConfig(weights=(0.1,)),
    score=ScoreConfig(weights=(0.0, 0.5), pairs=1, pair_steps=2, fake_rank=2, fake_steps=1),
    loop=LoopConfig(steps=3, warmup=1, log_every=1),
)  # fmt: skip


def shrunk(folder):
    """The UNet at 16x16 latents: 128-px images are enough here."""
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text(encoding="utf-8")), "sample_size": 16}), encoding="utf-8")
    return folder


def distil(config, teacher, images, folder):
    stable_diffusion.train(config, teacher, images, Workspace(folder.parent, folder.parent), folder, quiet)
    return folder / "accelerator.safetensors"


def draws(kind, teacher, lora):
    """diffusers' own pipeline with the LoRA, two steps."""
    pipeline = kind.from_pretrained(teacher)
    pipeline.scheduler = TCDScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    plain, styled = [], []
    for target in (plain, styled):
        generator = torch.Generator().manual_seed(0)
        target.append(pipeline("cat", num_inference_steps=2, guidance_scale=0, generator=generator, output_type="latent").images)
        if target is plain:
            pipeline.load_lora_weights(str(lora))
    assert torch.isfinite(styled[0]).all()
    return (plain[0] - styled[0]).abs().max().item()


def test_sd15_epsilon_as_adapters_goes_on_as_if_never_stopped(tmp_path, images):
    teacher = shrunk(tiny_models.write_sd15(tmp_path / "sd15"))
    whole = distil(CONFIG, teacher, images, tmp_path / "student" / "whole")
    cut = tmp_path / "student" / "cut"
    # The stages are shares of all steps, so the run is stopped by hand, not made shorter.
    stopped = dataclasses.replace(CONFIG, loop=dataclasses.replace(CONFIG.loop, minutes=1e-9))
    distil(stopped, teacher, images, cut)
    distil(CONFIG, teacher, images, cut)
    for name, value in load_file(whole).items():
        torch.testing.assert_close(load_file(cut / "accelerator.safetensors")[name], value, msg=name)
    assert draws(StableDiffusionPipeline, teacher, whole) > 1e-4
    rows = [json.loads(line) for line in (whole.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["segments"] for row in rows] == [2, 2, 1] and "matching" in rows[2] and "heads" in rows[0]
    settings = Settings(runs=tmp_path, assets=tmp_path / "none", styles=tmp_path / "none", models=tmp_path / "none")
    names = {model.name: [recipe.name for recipe in model.recipes] for model in Catalog(settings).models()}
    assert "run-whole" in names["sd15"] and not {"run-whole", "run-cut"} & {*names["sdxl"], *names["pocket"]}


def test_sdxl_v_prediction_as_whole_weights(tmp_path, images):
    teacher = shrunk(tiny_models.write_sdxl(tmp_path / "sdxl"))
    scheduler = teacher / "scheduler" / "scheduler_config.json"
    scheduler.write_text(
        json.dumps({**json.loads(scheduler.read_text(encoding="utf-8")), "prediction_type": "v_prediction"}), encoding="utf-8"
    )
    config = dataclasses.replace(CONFIG, weights="whole", rank=8, accumulation=1, batch=2)
    lora = distil(config, teacher, images, tmp_path / "student" / "xl")
    assert draws(StableDiffusionXLPipeline, teacher, lora) > 1e-4


def test_sdxl_is_told_pooled_text_and_sizes_and_zeros_for_nothing(tmp_path, images):
    _, pipeline = open_pipeline(shrunk(tiny_models.write_sdxl(tmp_path / "sdxl")))
    from hypersd_app.training.core.distributed import Processes

    source = stable_diffusion.FolderSource(pipeline, CaptionedFolder(images, 128), 0.0, 0, Processes.open("no"))
    told = source.condition(["cat", ""])
    expected = pipeline.encode_prompt("cat", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True)
    torch.testing.assert_close(told.embeddings[:1], expected[0])
    torch.testing.assert_close(told.pooled[:1], expected[2])
    torch.testing.assert_close(told.embeddings[1:], expected[1])  # what the pipeline itself extrapolates from
    torch.testing.assert_close(told.pooled[1:], expected[3])
    assert told.time_ids.tolist() == [[128, 128, 0, 0, 128, 128]] * 2
    latents, captions = source.batch(0, 4)
    assert latents.shape == (4, 4, 16, 16) and set(captions) <= {"a cat", "a blue dog", "red"}
    assert torch.equal(source.batch(0, 4)[0], latents)


def test_shards_stand_for_images_and_text_and_need_no_encoder(tmp_path, images):
    from hypersd_app.training.core.distributed import Processes
    from hypersd_app.training.distillation.cached_source import CachedSource

    teacher, folder = shrunk(tiny_models.write_sdxl(tmp_path / "sdxl")), tmp_path / "shards"
    stable_diffusion.make_shards(teacher, images, folder, True, quiet)
    family, pipeline = open_pipeline(teacher)
    live = stable_diffusion.FolderSource(pipeline, CaptionedFolder(images, 128), 0.0, 0, Processes.open("no"))

    def source(**more):
        return CachedSource(pipeline, Shards(folder), family, caption_drop=0.0, seed=0, processes=Processes.open("no"), **more)

    cached = source()
    assert cached.sizes == [(96, 160), (128, 128), (160, 96)]
    for caption in ("a cat", ""):
        told, expected = cached.condition([caption]), live.condition([caption])
        torch.testing.assert_close(told.embeddings, expected.embeddings, atol=1e-2, rtol=1e-2)
        torch.testing.assert_close(told.pooled, expected.pooled, atol=1e-2, rtol=1e-2)
        assert torch.equal(told.time_ids, expected.time_ids)
    x0, captions = cached.batch(5, 4)
    assert x0.shape[2:] == {"a cat": (12, 20), "a blue dog": (20, 12), "red": (16, 16)}[captions[0]] and len(set(captions)) == 1
    assert cached.condition(captions, x0=x0).time_ids[0].tolist()[4:] == [8 * edge for edge in x0.shape[2:]]
    assert torch.equal(source().batch(5, 4)[0], x0), "a function of the step alone, read ahead or not"
    next_one = cached.batch(6, 4)
    assert torch.equal(source().batch(6, 4)[0], next_one[0])
    held = source(held_out=1)
    assert held.validation(8)[1] == ["red"] and len(held.sizes) == 2
    with pytest.raises(InvalidRequest, match="caption"):
        cached.condition(["unheard of"])
    with pytest.raises(InvalidRequest, match="validation"):
        source(held_out=3)


def test_a_student_of_shards_is_validated_on_what_it_never_saw(tmp_path, images):
    teacher, folder = shrunk(tiny_models.write_sd15(tmp_path / "sd15")), tmp_path / "shards"
    stable_diffusion.make_shards(teacher, images, folder, True, quiet)
    config = dataclasses.replace(
        CONFIG, method="tcd", stages=((1, 1.0),), validation=1, score=ScoreConfig(pairs=0),
        loop=LoopConfig(steps=2, warmup=1, best="validation", kept=1),
    )  # fmt: skip
    lora = distil(config, teacher, folder, tmp_path / "student" / "sharded")
    assert lora.exists() and json.loads((lora.parent / "best.json").read_text(encoding="utf-8"))["metric"] == "validation"
    with pytest.raises(InvalidRequest, match="pairs"):
        distil(CONFIG, teacher, folder, tmp_path / "student" / "pairs")


def test_folders_that_cannot_be_distilled_say_why(tmp_path, images):
    with pytest.raises(ModelUnavailable, match="no diffusers folder"):
        open_pipeline(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}', encoding="utf-8")
    with pytest.raises(ModelUnavailable, match="FluxPipeline"):
        open_pipeline(tmp_path)
    with pytest.raises(InvalidRequest, match="images"):
        CaptionedFolder(tmp_path / "nowhere", 64)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InvalidRequest, match=r"broken\.png"):
        CaptionedFolder(tmp_path, 64).image(0)
    with pytest.raises(ModelUnavailable, match=r"mask_rcnn\.safetensors"):
        MaskRCNNSegmenter(tmp_path)
