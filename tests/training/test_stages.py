"""Every training stage for a few steps, one after the other, on sixteen images: what users run, only smaller."""

import argparse
import dataclasses
import json
import random
import shutil

import cv2
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors import safe_open

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import PocketUNet, new_scheduler
from hypersd_app.settings import ROOT, Settings
from hypersd_app.training import cli as commands
from hypersd_app.training.cli import run_train
from hypersd_app.training.controlnet.dataset import DrawingConfig, DrawnImages
from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.data.compositions import moved
from hypersd_app.training.data.dataset import PRESETS, ImageDataset, SceneRenderer
from hypersd_app.training.data.icons.libraries import load_libraries
from hypersd_app.training.data.icons.render import on_white
from hypersd_app.training.data.latents import encode
from hypersd_app.training.data.scribbles import silhouette
from hypersd_app.training.style.train import read_folder
from hypersd_app.training.workspace import Workspace
from tests.support.icon_packages import write_all

STAGES = (
    "data",
    "autoencoder",
    "latents",
    "layout",
    "sketches",
    "teacher",
    "student",
    "controlnet",
    "style",
    "judge",
    "style-judge",
    "export",
)


class Quiet:
    def __init__(self, title):
        self.rows = []

    def __call__(self, done, total, metrics):
        self.rows.append((done, total, metrics))


def arguments(stage, **changes):
    return argparse.Namespace(
        **{
            "stage": stage,
            "preset": "tiny",
            "dry_run": False,
            "steps": None,
            "minutes": None,
            "cooldown_minutes": None,
            "threads": 0,
            "icon_set": None,
            "images": None,
            "title": "",
            **changes,
        }
    )


@pytest.fixture(scope="module")
def trained(module_folder):
    settings = Settings(runs=module_folder)
    write_all(settings.runs / "npm")
    assets = settings.runs / "assets" / "tiny"
    for part in ("text_encoder", "tokenizer"):
        shutil.copytree(ROOT / "assets" / "pocket" / part, assets / part)
    patch = pytest.MonkeyPatch()
    patch.setattr(commands, "ProgressLine", Quiet)
    for stage in STAGES:
        assert run_train(arguments(stage), settings) == 0
    patch.undo()
    return settings, assets


def test_the_shipped_folder_is_whole_and_half_precision(trained):
    _, assets = trained
    for part in ("vae", "unet", "controlnet", "text_encoder"):
        (file,) = (assets / part).glob("*.safetensors")
        with safe_open(file, "pt") as tensors:
            kinds = {tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118
        assert kinds == {torch.float16}, part
    assert PocketControlNet.from_pretrained(assets / "controlnet").controlnet_cond_embedding.layers[0].downscale_factor == 8
    assert not list(assets.rglob("*.bin"))


def test_no_shipped_file_names_the_folder_it_was_trained_in(trained):
    _, assets = trained
    configs = [*assets.rglob("config.json"), *(ROOT / "assets").rglob("config.json")]
    assert len(configs) >= 6
    assert not [path for path in configs if "_name_or_path" in path.read_text(encoding="utf-8")]


def test_a_plain_diffusers_pipeline_draws_with_it(trained):
    from transformers import AutoTokenizer

    from hypersd_app.diffusion.schedules import trailing_timesteps
    from hypersd_app.models.text_encoder import MaskedBertModel

    _, assets = trained
    pipeline = StableDiffusionPipeline(
        vae=PocketAutoencoder.from_pretrained(assets / "vae").float(),
        text_encoder=MaskedBertModel.from_pretrained(assets / "text_encoder").float(),
        tokenizer=AutoTokenizer.from_pretrained(assets / "tokenizer"),
        unet=PocketUNet.from_pretrained(assets / "unet").float(),
        scheduler=new_scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(str(assets / "accelerator.safetensors"))
    image = pipeline("a cat", num_inference_steps=2, guidance_scale=2.0, output_type="np").images[0]
    assert image.shape == (256, 256, 3) and np.isfinite(image).all()
    assert trailing_timesteps(1000, 2).tolist() == [999, 499]


def test_compositions_are_what_rendering_them_would_give(trained):
    """Latents of parts, moved and added, are those of an image of both; a cell beside it they are not."""
    settings, assets = trained
    workspace = Workspace(settings.runs, assets, "tiny")
    composer = workspace.compositions
    scene = next(scene for row in range(99) if (scene := composer.any_scene(random.Random(row))).kind == "pair")
    renderer = SceneRenderer(
        load_libraries(workspace.packages, PRESETS["tiny"].set_keys), {(d.set_key, d.icon): d.hue for d in workspace.data.drawings}
    )
    rendered = from_uint8(on_white(renderer.rgba(scene))[None])
    with torch.no_grad():
        encoded = workspace.autoencoder.eval().encode(rendered).latent_dist.mode()[0]
    (composed,) = composer.latents([scene])
    error = (composed - encoded).square().mean()
    assert error < 0.05 * (moved(encoded, composer.blank, 0, 1) - encoded).square().mean()
    caption = composer.data.captioner.caption(scene, random.Random(0), style=False)
    for item in scene.placements:
        concept = composer.data.concepts[item.concept]
        words = [name.split()[-1] for name in (*concept.names, *concept.kinds)]
        assert item.colour or any(word in caption for word in words), caption


def test_a_sketch_changes_the_layout_where_it_is_told_to(trained):
    _, assets = trained
    unet, controlnet = (
        PocketUNet.from_pretrained(assets / "unet").float(),
        PocketControlNet.from_pretrained(assets / "controlnet").float(),
    )
    x, t, text, control = torch.randn(1, 16, 16, 16), torch.tensor(500), torch.randn(1, 5, 384), torch.rand(1, 3, 256, 256)
    layout = unet.layout(text)
    down, middle = controlnet(x, t, text, control, 0.5, added_cond_kwargs={"layout": layout}, return_dict=False)
    assert down[0].shape == (1, 17, 16, 16)
    torch.testing.assert_close(2 * down[0], controlnet.drawn(control, text, layout))
    with pytest.raises(ValueError, match="use_prior_of"):
        controlnet(x, t, text, control, 0.5)
    controlnet.use_prior_of(unet)
    assert torch.equal(controlnet(x, t, text, control, 0.5).down_block_res_samples[0], down[0])
    assert not any("prior" in name or name.startswith("layout") for name in controlnet.state_dict()), "the weights stay the UNet's"
    whole = torch.cat([torch.full((1, 16, 16, 16), 3.0), torch.ones(1, 1, 16, 16)], 1)
    assert (unet.with_layout(x, text, whole)[:, 16:] == 3).all(), "a weight of one puts its own in the layout's place"
    nothing = [torch.zeros_like(residual) for residual in (*down, middle)]
    torch.testing.assert_close(
        unet(
            x, t, text, down_block_additional_residuals=nothing[:-1], mid_block_additional_residual=nothing[-1], return_dict=False
        )[0],
        unet(x, t, text, return_dict=False)[0],
    )


def test_drawings_are_made_once_and_fit_their_images(trained):
    settings, assets = trained
    workspace = Workspace(settings.runs, assets, "tiny")
    config = DrawingConfig(anywhere=8, workers=1)
    before = (workspace.drawings_path / "controls.npy").stat().st_mtime_ns
    seen = DrawnImages.of(config, workspace, Quiet("drawings"))
    assert (workspace.drawings_path / "controls.npy").stat().st_mtime_ns == before, "two stages have used them by now"
    whole = workspace.data.indices(False)
    assert len(seen.captions) == len(seen.latents) == len(seen.controls) == len(whole) + 8
    small = np.load(workspace.drawings_path / "small.npy")
    assert np.abs(encode(workspace.autoencoder, small) - seen.latents[-8:]).max() < 0.05, "in the order of their drawings"
    for image, control in zip(small, seen.controls[-8:], strict=True):
        near, inked = cv2.dilate(silhouette(np.ascontiguousarray(image[..., :3])), np.ones((25, 25), np.uint8)) > 0, control.any(-1)
        assert (inked & near).sum() > 0.9 * inked.sum() > 0, "the strokes stand where the small thing does, about"
    one, again = (seen.batch(6, 0.5, 3, 7) for _ in range(2))
    assert torch.equal(one.latents, again.latents) and torch.equal(one.control, again.control) and torch.equal(one.text, again.text)
    assert not torch.equal(one.control, seen.batch(6, 0.5, 3, 8).control)
    assert one.text.shape == (6, 32, 384) and one.control.shape == (6, 3, 256, 256)
    (empty,) = workspace.embed([""])
    # bfloat16 rounds differently in batches of other sizes; another caption differs by more than 1.
    dropped = [bool((row - empty).abs().max() < 0.1) for row in seen.batch(6, 1.0, 3, 7).text]
    assert all(dropped) and not all((row - empty).abs().max() < 0.1 for row in seen.batch(6, 0.0, 3, 7).text)


def test_every_layer_of_the_accelerator_is_loaded(trained):
    _, assets = trained
    unet = PocketUNet.from_pretrained(assets / "unet").float()
    before = {name: value.detach().clone() for name, value in unet.state_dict().items()}
    with safe_open(assets / "accelerator.safetensors", "pt") as file:
        layers = {name.removeprefix("unet.").rsplit(".lora_", 1)[0] for name in file.keys()}  # noqa: SIM118
    fuse_lora(unet, assets / "accelerator.safetensors")
    changed = {name for name, value in unet.state_dict().items() if not torch.equal(before[name], value)}
    assert changed == {f"{layer}.weight" for layer in layers}
    assert any("attn1.to_q" in layer for layer in layers) and any("conv1" in layer for layer in layers)
    assert not any("lora" in name for name, _ in unet.named_parameters())


def test_finished_stages_are_not_trained_again(trained, monkeypatch):
    settings, _ = trained
    path = settings.runs / "teacher" / "tiny" / "metrics.jsonl"
    before = path.read_text(encoding="utf-8")
    monkeypatch.setattr(commands, "ProgressLine", Quiet)
    run_train(arguments("teacher"), settings)
    assert path.read_text(encoding="utf-8") == before


def test_a_folder_of_images_becomes_a_style(trained, tmp_path, monkeypatch):
    settings, _ = trained
    settings = dataclasses.replace(settings, styles=tmp_path / "styles", assets=tmp_path / "assets")
    shutil.copytree(settings.runs / "assets" / "tiny", tmp_path / "assets" / "pocket")
    monkeypatch.setattr(commands, "ProgressLine", Quiet)
    images = tmp_path / "My Ink"
    images.mkdir()
    for number in range(10):
        Image.new("RGBA", (40, 80), (10 * number, 0, 0, 128)).save(images / f"red_bar-{number}.png")
    run_train(arguments("style", images=images, steps=2), settings)
    with safe_open(settings.styles / "my-ink.safetensors", "pt") as file:
        assert file.metadata()["title"] == "My Ink"
        assert all(name.startswith("unet.") for name in file.keys())  # noqa: SIM118
    assert read_folder(images)[1][0] == "red bar"


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_folder_without_images_is_refused(tmp_path, content):
    for number in range(10):
        (tmp_path / f"{number}.png").write_bytes(content)
    with pytest.raises(InvalidRequest, match="images"):
        read_folder(tmp_path)
    with pytest.raises(InvalidRequest, match="10 to 2000"):
        read_folder(tmp_path / "nowhere")


def test_dry_run_trains_nothing(trained, capsys):
    settings, _ = trained
    assert run_train(arguments("teacher", preset="pocket", dry_run=True), settings) == 0
    assert '"optimizer": "muon"' in capsys.readouterr().out
    assert not (settings.runs / "teacher" / "pocket").exists()


@pytest.mark.parametrize(("field", "changes"), [("stage", {"stage": "nonsense"}), ("preset", {"preset": "huge"})])
def test_unknown_words_are_refused_with_what_there_is(field, changes):
    with pytest.raises(InvalidRequest, match=field):
        run_train(arguments(**{"stage": "teacher", **changes}), Settings())


@pytest.mark.parametrize(("field", "value"), [("seed", [0]), ("variant", ["lcm"])])
def test_only_a_study_has_seeds_and_variants_to_choose_from(field, value):
    with pytest.raises(InvalidRequest, match=f"{field}.*train study"):
        run_train(arguments("teacher", **{field: value}), Settings())


def test_a_study_s_seed_and_variant_are_taken_from_the_command_line(capsys):
    run_train(arguments("study", preset="pocket", dry_run=True, seed=[2], variant=["pcm"], minutes=40.0), Settings())
    said = json.loads(capsys.readouterr().out)["config"]
    assert (said["seeds"], said["variants"], said["minutes"]) == ([2], ["pcm"], 40.0)


def test_missing_images_say_what_to_run(tmp_path):
    with pytest.raises(ModelUnavailable, match="train data"):
        run_train(arguments("teacher"), Settings(runs=tmp_path))


def test_data_is_split_by_concept_and_composition(trained):
    settings, _ = trained
    data = ImageDataset(settings.runs / "data" / "tiny")
    assert len(data.indices(True)) + len(data.indices(False)) == len(data.scenes) == len(data.images)
    assert data.caption(0, 1) == data.caption(0, 1)
