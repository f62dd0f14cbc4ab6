"""Distillation of a teacher whose layouts have a code: an image goes with its nearest code, noise with its own, "" with none."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers.utils import logging
from safetensors.torch import load_file

from hypersd_app.models.layout import CODED, code_of
from hypersd_app.models.pocket import PocketUNet, new_unet
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.denoiser import UNetDenoiser
from hypersd_app.training.distillation.pocket_source import PocketSource
from hypersd_app.training.distillation.train import FILE, PRESETS, train
from hypersd_app.training.pocket import layout_prior, teacher
from hypersd_app.training.workspace import LAYOUT_FILE
from tests.support.judged_models import no_progress

logging.disable_progress_bar()


@pytest.fixture
def workspace(own_judged):
    torch.manual_seed(0)
    new_unet((64, 64, 64), 1, CODED).save_pretrained(own_judged.assets / "unet")
    return own_judged


def test_what_goes_with_the_words(workspace):
    source = PocketSource(workspace, caption_drop=0.0, seed=0)
    x0, captions = source.batch(0, 3)
    captions[1] = ""
    found = source.condition(captions, x0=x0, stream=RandomStream.of(0, 0, "layout", 3)).embeddings
    assert found.shape == (3, 33, 384) and found[:, -1, -1].tolist() == [1, 0, 1]
    again = source.condition(captions, x0=x0, stream=RandomStream.of(0, 0, "layout", 3)).embeddings
    assert torch.equal(found, again)
    assert not torch.equal(found, source.condition(captions, x0=x0, stream=RandomStream.of(0, 1, "layout", 3)).embeddings)
    noise = torch.randn(3, 16, 16, 16)
    begun = source.condition(captions, noise=noise).embeddings[:, -1, : CODED.code]
    assert torch.equal(begun[[0, 2]], code_of(noise, CODED.code)[[0, 2]]) and not begun[1].any()
    assert not source.condition([""]).embeddings[:, -1].any()
    heads = UNetDenoiser(workspace.teacher()).features(x0, torch.tensor(500), source.condition(captions, noise=noise))
    assert [len(part) for part in heads] == [3] * 4


def test_the_stages_run_with_a_code(workspace):
    """Layout, teacher, student: each reads what the one before has left."""
    config = dataclasses.replace(layout_prior.PRESETS["tiny"], candidates=4)
    layout_prior.train(config, workspace, workspace.run("layout", "tiny"), no_progress)
    learnt = load_file(workspace.run("layout", "tiny") / LAYOUT_FILE)
    teacher.train(teacher.PRESETS["tiny"], workspace, workspace.run("teacher", "tiny"), no_progress)
    unet = PocketUNet.from_pretrained(workspace.run("teacher", "tiny") / "unet")
    assert unet.layout.size == CODED
    assert torch.equal(unet.layout.state_dict()["place.weight"], learnt["place.weight"])
    train(PRESETS["tiny"], workspace, workspace.run("student", "tiny"), no_progress)
    assert (workspace.run("student", "tiny") / FILE).exists()
