"""Styles from icon sets and from folders, and what is measured of styles and doodles, on small random models."""

import argparse
import base64
import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.errors import ModelUnavailable
from hypersd_app.settings import Settings
from hypersd_app.training import cli as commands
from hypersd_app.training.cli import run_train
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.critics import style as style_judge
from hypersd_app.training.data import dataset
from hypersd_app.training.data.icons.sources import ICON_SETS
from hypersd_app.training.evaluation import styles as style_report
from hypersd_app.training.evaluation.doodles import report as doodle_report
from hypersd_app.training.evaluation.doodles.drawing import read_doodles
from hypersd_app.training.pocket.layout_prior import fills_the_image
from hypersd_app.training.style import train as style
from hypersd_app.training.style.objectives import Images
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models
from tests.support.icon_packages import write_all


def no_progress(done, total, metrics):
    """Training reports to nobody here."""


@pytest.fixture(scope="module")
def workspace(module_folder):
    """Images of four things in two sets, random models, a style and a style judge trained for a few steps."""
    runs = module_folder
    write_all(runs / "npm")
    made = Workspace(runs, tiny_models.write_pocket(runs / "assets" / "tiny"), "tiny")
    dataset.build(dataset.PRESETS["tiny"], made.run("data", "tiny"), made.packages)
    path = style.train(style.PRESETS["tiny"], made, made.run("style", "tiny"), no_progress)
    (made.assets / "styles").mkdir()
    shutil.copyfile(path, made.assets / "styles" / "tiny.safetensors")
    style_judge.train(style_judge.PRESETS["tiny"], made, made.run("style-judge", "tiny"), no_progress)
    return made


def test_a_folder_of_images_becomes_a_style_in_the_picker(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "ProgressLine", lambda title: no_progress)
    settings = Settings(runs=tmp_path / "runs", assets=tmp_path / "assets", styles=tmp_path / "styles", models=tmp_path / "models")
    tiny_models.write_pocket(settings.assets / "pocket")
    images = tmp_path / "My Ink"
    images.mkdir()
    for number in range(10):
        Image.new("RGBA", (40, 80), (20 * number, 0, 90, 128)).save(images / f"red_bar-{number}.png")
    arguments = argparse.Namespace(
        stage="style", preset="pocket", icon_set=None, images=images, title="", dry_run=False, steps=2, minutes=None,
        cooldown_minutes=None, threads=0,
    )  # fmt: skip
    catalog, file = Catalog(settings), settings.styles / "my-ink.safetensors"
    assert not catalog.styles("pocket")
    run_train(arguments, settings)
    catalog.rescan()
    (row,) = catalog.styles("pocket")
    assert (row.name, row.title, row.family, row.rank) == ("my-ink", "My Ink", "pocket", 8)
    assert row.preview.startswith("data:image/jpeg;base64,") and not row.trigger
    first = file.read_bytes()
    Image.new("RGB", (64, 64), "blue").save(images / "blue square.png")
    run_train(arguments, settings)
    assert file.read_bytes() != first, "other images are learnt anew"
    assert len(list((settings.runs / "style").iterdir())) == 2


def test_a_style_says_what_it_is(workspace):
    with safe_open(workspace.assets / "styles" / "tiny.safetensors", "pt") as file:
        said = file.metadata()
    assert (said["title"], said["modelspec.license"], said["modelspec.author"]) == ("Tiny", "Apache-2.0", "Google Inc")
    assert said["ss_base_model_version"] == "pocket" and "'tiny style'" in said["modelspec.usage_hint"]
    with Image.open(io.BytesIO(base64.b64decode(said["modelspec.thumbnail"].split(",")[1]))) as preview:
        assert preview.size == (192, 192)


def test_captions_of_a_folder_mostly_leave_the_styles_name_out():
    lesson = Images.of(("a cat",), torch.zeros(1, 16, 16, 16), "blob style", 0.1, None, 8, 0)
    rng = np.random.default_rng(0)
    captions = [lesson._said("a cat", rng) for _ in range(400)]
    assert 20 < captions.count("") < 65 and 60 < captions.count("a cat, blob style") < 130


def test_every_shipped_style_has_a_preset_of_low_rank():
    assert {"blob", "fluent", "flat", "twemoji", "emojione", "fxemoji"} <= set(style.PRESETS)
    assert all(row.rank <= 16 for row in style.PRESETS.values())
    assert style.PRESETS["fxemoji"].data == "fxemoji" and ICON_SETS["fxemoji"].held_out


def test_a_set_is_learnt_from_its_own_training_images(workspace):
    images = style.from_data(workspace, "noto")
    scenes = [workspace.data.scenes[i] for i in workspace.data.indices(False)]
    own = [scene for scene in scenes if scene.set_key == "noto" and fills_the_image(scene)]
    assert len(images.latents) == len(images.captions) == len(own) and images.latents.any((1, 2, 3)).all()
    assert not any("style" in caption for caption in images.captions)


def test_doodles_are_measured_and_shown(workspace, tmp_path):
    doodles = [read_doodles()[index] for index in (0, 1, 30, 50, 53)]
    found = doodle_report.measure(workspace, doodles=doodles, scales=(0.0, 1.0))
    assert list(found.follow) == [
        "scale 0", "scale 1", "scale 1, another doodle's words", "scale 1, against another doodle (chance)",
    ]  # fmt: skip
    assert all(0 <= value <= 1 for row in found.follow.values() for value in (*row.recall, *row.overlap))
    assert all(0 <= value <= 1 for value in found.colours.values()) and len(found.colours) == 4
    assert not np.array_equal(found.images[0.0], found.images[1.0])
    doodle_report.write(found, tmp_path, doodles)
    assert "another doodle's words" in (tmp_path / "doodles.md").read_text(encoding="utf-8")
    with Image.open(tmp_path / "doodles.png") as sheet:
        assert sheet.width == 12 * 114


def test_styles_are_measured_on_top_of_accelerator_and_sketch(workspace, tmp_path):
    doodles = read_doodles()[:2]
    with pytest.raises(ModelUnavailable, match="train style"):
        style_report.measure(workspace, doodles=doodles, family="tiny")
    for name in ("noto", "twemoji"):
        shutil.copyfile(workspace.assets / "styles" / "tiny.safetensors", workspace.assets / "styles" / f"{name}.safetensors")
    found = style_report.measure(workspace, doodles=doodles, family="tiny")
    assert set(found.styles) == {"noto", "twemoji"} and ("noto", "twemoji") in found.mixtures
    row = found.styles["noto"]
    assert list(row.sweep) == [0, 0.25, 0.5, 0.75, 1] and all(0 < score < 1 for score in row.sweep.values())
    assert min(row.changes) > 0 and row.recall_at_1 is None
    style_report.write(found, tmp_path, doodles)
    assert "| noto and twemoji |" in (tmp_path / "styles.md").read_text(encoding="utf-8")
    assert (tmp_path / "styles.png").exists() and (tmp_path / "styles-sketch.png").exists()


def test_a_style_adds_up_with_the_accelerator_and_leaves_it_whole(workspace):
    plain = dict(doodle_report.SketchedStudent(workspace).unet.named_parameters())
    lora = workspace.assets / "styles" / "tiny.safetensors"
    styled = dict(doodle_report.SketchedStudent(workspace, [(lora, 1.0)]).unet.named_parameters())
    undone = dict(doodle_report.SketchedStudent(workspace, [(lora, 1.0), (lora, -1.0)]).unet.named_parameters())
    assert set(plain) == set(styled) == set(undone)
    assert any(not torch.equal(plain[name], styled[name]) for name in plain)
    assert all(torch.allclose(plain[name], undone[name], atol=1e-6) for name in plain)


def test_the_style_judge_knows_its_sets_and_names_what_is_missing(workspace):
    judge = style_judge.StyleJudge(workspace.run("style-judge", "tiny") / style_judge.FILE)
    assert judge.styles == ["noto", "twemoji"]
    found = judge.probabilities(workspace.data.images[:3])
    assert found.shape == (3, 2) and np.allclose(found.sum(1), 1, atol=1e-5)
    with pytest.raises(ModelUnavailable, match="train data --preset fxemoji"):
        style_judge.labelled(replace(style_judge.PRESETS["tiny"], more=("fxemoji",)), workspace)


def test_the_style_judge_learns_a_difference(workspace, monkeypatch, tmp_path):
    """Two sets that draw alike but for their colours can be told apart after a few steps."""
    rows = style_judge.labelled(style_judge.PRESETS["tiny"], workspace).rows
    noto, twemoji = ([index for _, index in rows[key]] for key in ("noto", "twemoji"))
    images = np.array(workspace.data.images)
    images[twemoji] = images[twemoji][..., ::-1]
    other = Workspace(workspace.runs, workspace.assets, "tiny")
    data = other.data
    monkeypatch.setitem(data.__dict__, "images", images)
    monkeypatch.setattr(Workspace, "images", lambda workspace, name: data)
    loop = LoopConfig(steps=40, warmup=2, cooldown=15)
    style_judge.train(
        style_judge.StyleJudgeConfig(data="tiny", more=(), batch=16, ema_decay=0.8, loop=loop), other, tmp_path, no_progress
    )
    judge = style_judge.StyleJudge(tmp_path / style_judge.FILE)
    assert judge.score(images[twemoji], "twemoji") > 0.7 and judge.score(images[noto], "noto") > 0.7
