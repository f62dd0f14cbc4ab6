"""Every stage after the teacher, and every evaluation, on a model whose layouts have a code and whose images have alpha."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from diffusers.utils import logging

from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.layout import CODED, code_of
from hypersd_app.models.pocket import PocketUNet, new_unet, with_code_of, with_prior
from hypersd_app.training.controlnet import layout_stage
from hypersd_app.training.controlnet import train as controlnet
from hypersd_app.training.controlnet.dataset import DrawingConfig, DrawnImages
from hypersd_app.training.data.latents import encode
from hypersd_app.training.distillation import train as student
from hypersd_app.training.evaluation import known_words
from hypersd_app.training.evaluation import report as evaluation
from hypersd_app.training.evaluation.doodles import quick_draw_report
from hypersd_app.training.evaluation.doodles.drawing import read_doodles
from hypersd_app.training.evaluation.doodles.report import SketchedStudent, controls_of
from hypersd_app.training.evaluation.models import load_models, new_sampler
from hypersd_app.training.style import train as style
from hypersd_app.training.style.objectives import Images, Layouts, StyleImages, Words
from tests.support import tiny_models
from tests.support.judged_models import no_progress

logging.disable_progress_bar()


@pytest.fixture
def workspace(own_judged):
    tiny_models.write_pocket(own_judged.assets, layout=CODED, stickers=True)
    return own_judged


def test_alpha_is_encoded(workspace) -> None:
    """What is transparent and what is white paper have latents of their own, although they look alike."""
    seen = DrawnImages.of(DrawingConfig(anywhere=8, workers=1), workspace, no_progress)
    assert seen.images[0].shape == seen.images[len(seen.captions) - 1].shape == (256, 256, 4)
    assert not seen.images[len(seen.captions) - 1][:2, :, 3].any(), "nothing stands at the border of a thing put anywhere"
    opaque = workspace.data.rgba[:1].copy()
    opaque[..., 3] = 255
    assert np.abs(encode(workspace.autoencoder, workspace.data.rgba[:1]) - encode(workspace.autoencoder, opaque)).max() > 0.01


def test_a_dropped_caption_comes_without_a_layout(workspace) -> None:
    seen = DrawnImages.of(DrawingConfig(anywhere=8, workers=1), workspace, no_progress)
    shown, dropped = seen.batch(4, 0.0, 0, 0).text, seen.batch(4, 1.0, 0, 0).text
    assert shown.shape == dropped.shape == (4, 33, 384)
    assert shown[:, -1, -1].tolist() == [1] * 4 and not dropped[:, -1].any()
    assert torch.equal(shown, seen.batch(4, 0.0, 0, 0).text)


def test_sketches_student_and_controlnet_are_trained_on_it(workspace) -> None:
    layout_stage.train(layout_stage.PRESETS["tiny"], workspace, workspace.run("sketches", "tiny"), no_progress)
    student.train(student.PRESETS["tiny"], workspace, workspace.run("student", "tiny"), no_progress)
    for preset in ("tiny", "tiny-student"):
        controlnet.train(controlnet.PRESETS[preset], workspace, workspace.run("controlnet", preset), no_progress)
    made = PocketControlNet.from_pretrained(workspace.run("controlnet", "tiny-student") / "controlnet")
    assert made.layout_size == CODED
    drawing = SketchedStudent(workspace)
    doodles = read_doodles()[:2]
    one, other = (drawing.draw([doodle.prompt for doodle in doodles], controls_of(doodles), 1.0, seed) for seed in (0, 9))
    assert one.shape == (2, 256, 256, 3) and not np.array_equal(one, other), "another seed, another layout"
    found = quick_draw_report.measure(workspace, read_doodles()[:6])
    assert found.words == len({doodle.prompt for doodle in read_doodles()[:6]}) and found.drawings == 6
    with_it, without = found.rows["with the drawing"], found.rows["without it"]
    assert not np.array_equal(with_it.outline, without.outline, equal_nan=True)
    quick_draw_report.write(found, read_doodles()[:6], workspace.runs / "people")
    assert "| with the drawing |" in (workspace.runs / "people" / "quick-draw.md").read_text(encoding="utf-8")


def test_styles_are_learnt_with_codes(workspace) -> None:
    assert workspace.prior().size == CODED
    unet = workspace.teacher()
    words = Words.of(workspace, "blob style", 1.0, 4, 0, no_progress)
    loss, count = words(unet, 0)
    assert count == 4 and loss.item() > 0
    assert float(dataclasses.replace(words, strength=0.0)(unet, 0)[0]) == 0, "both see the same code"
    shown = StyleImages(torch.randn(6, 16, 16, 16), ("a cat",) * 6)
    layouts = Layouts.of(workspace, shown, 1.0, workspace.run("style", "kept"), 4, 0, no_progress)
    assert np.isfinite(float(layouts(unet, 0)[0])) and float(dataclasses.replace(layouts, strength=0.0)(unet, 0)[0]) == 0
    images = Images.of(("a cat",), torch.randn(1, 16, 16, 16), "", 0.0, workspace.embed, 4, 0)
    assert np.isfinite(images(unet, 0)[0].item())
    style.train(style.PRESETS["tiny"], workspace, workspace.run("style", "tiny"), no_progress)


def test_it_is_evaluated(workspace) -> None:
    student.train(student.PRESETS["tiny"], workspace, workspace.run("student", "tiny"), no_progress)
    models = load_models(workspace, new_sampler(workspace))
    bench = evaluation.Bench(workspace, new_sampler(workspace), 12, 0)
    assert [row.name for row in bench.floors()] == ["real images", "real, autoencoded"]
    assert all(np.isfinite(bench.trajectory(models[1], models[0])[1]))
    words = {"animals": ("cat", "dog", "owl", "fish", "frog", "bear", "duck")}
    rows = known_words.measure(models[:2], workspace, new_sampler(workspace), lists=words)
    assert [row.model for row in rows] == [model.name for model in models[:2]]
    assert all(row.chances.shape == (7,) and ((row.chances >= 0) & (row.chances <= 1)).all() for row in rows)
    assert "animals (7)" in known_words.markdown(rows)


def test_the_lists_of_words_are_whole() -> None:
    words = {name: known_words.read_list(name) for name in known_words.LISTS}
    assert {name: len(found) for name, found in words.items()} == {"Quick, Draw! words": 344, "common nouns": 500}
    assert all(len(set(found)) == len(found) for found in words.values())


def test_figures_of_a_word_are_the_mean_of_its_drawings() -> None:
    values = quick_draw_report.by_word(np.array([1.0, np.nan, 0.0, np.nan]), ["a cat", "a cat", "a cat", "a dog"])
    assert values[0] == 0.5 and np.isnan(values[1])


def test_a_teacher_goes_on_with_a_prior_of_another_size(workspace) -> None:
    coded = workspace.teacher().cpu()
    plain = new_unet((64, 64, 64))
    changed = with_prior(plain, coded.layout.state_dict())
    assert isinstance(changed, PocketUNet) and changed.layout.size == CODED
    assert torch.equal(changed.conv_out.weight, plain.conv_out.weight)
    assert torch.equal(changed.layout.place.weight, coded.layout.place.weight)
    noise = torch.randn(1, 16, 16, 16)
    token = with_code_of(changed, torch.randn(1, 5, 384), noise)[:, -1]
    assert torch.equal(token[:, : CODED.code], code_of(noise, CODED.code))
