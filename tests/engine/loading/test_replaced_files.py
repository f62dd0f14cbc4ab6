"""A file replaced on disk acts from the next image on, whole: never mixed with what was read of its predecessor."""

from __future__ import annotations

import gc
import os
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.engine import model_manager
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.fingerprint import stamp
from hypersd_app.engine.loading.loader import Loader
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.requests import GenerationRequest, StyleWeight
from tests.engine.conftest import REFERENCE, SD15
from tests.engine.loading.test_checkpoints import base_models  # noqa: F401
from tests.support import tiny_models
from tests.support.checkpoints import write_checkpoint

CAT = GenerationRequest("a cat", recipe="unified", seed=7)


@pytest.fixture(autouse=True)
def always_looking(monkeypatch):
    """A look at the files before every image, not twice a second."""
    monkeypatch.setattr(model_manager, "LOOK_EVERY", -1.0)


def pixels(engine: Engine, request: GenerationRequest) -> np.ndarray:
    return np.asarray(engine.generate(request).images[0]).astype(int)


def scaled(path: Path, factor: float) -> None:
    """The same file with other weights, written beside and renamed as programs do."""
    tensors = {name: (value.float() * factor).to(value.dtype) for name, value in load_file(path).items()}
    beside = path.with_suffix(".new")
    save_file(tensors, beside, {"format": "pt"})
    beside.replace(path)


def test_a_stamp_covers_the_files_of_its_components_alone(tmp_path):
    for name in ("unet/a.safetensors", "vae/b.safetensors", "top.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    source = WeightSource(path=tmp_path)
    unet, top = stamp(source, ["unet"]), stamp(source)
    (tmp_path / "vae" / "b.safetensors").write_bytes(b"22")
    assert (stamp(source, ["unet"]), stamp(source)) == (unet, top)
    (tmp_path / "unet" / "c.safetensors").write_bytes(b"22")
    assert stamp(source, ["unet"]) != unet
    assert stamp(WeightSource(path=tmp_path / "gone.safetensors")) == stamp(source, ["gone"]) == ()
    assert stamp(WeightSource(repo="a/b")) == stamp(None) == ()


def test_a_stamp_is_right_of_folders_that_rest_and_of_ones_that_do_not(tmp_path):
    source = WeightSource(path=tmp_path)
    for number in range(30):  # faster than the clock of many file systems
        (tmp_path / f"{number}.json").write_text("1", encoding="utf-8")
        assert len(stamp(source)) == number + 1
    os.utime(tmp_path, ns=(1, 1))
    for number in range(30):
        assert len(stamp(source)) == 30
        if number == 15:
            (tmp_path / "0.json").write_text("changed in its place", encoding="utf-8")
            changed = stamp(source)
    assert changed == stamp(source) and {row[0]: row[2] for row in changed}["0.json"] == 20
    (tmp_path / "0.json").unlink()
    (tmp_path / "broken.json").symlink_to(tmp_path / "nowhere")
    assert [row[0] for row in stamp(source)] == sorted(f"{number}.json" for number in range(1, 30))


def test_pockets_own_unet_is_read_again(own_assets, settings, repositories, monkeypatch):
    mine = replace(settings, assets=own_assets)
    engine = Engine(mine, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    counted, footprint = [], Loader.footprint
    monkeypatch.setattr(Loader, "footprint", lambda *given: counted.append(1) or footprint(*given))
    before = pixels(engine, CAT)
    assert np.array_equal(before, pixels(engine, CAT))
    assert len(counted) == 1
    scaled(next((own_assets / "pocket" / "unet").glob("*.safetensors")), 1.5)
    after = pixels(engine, CAT)
    assert np.abs(after - before).max() > 2
    assert len(counted) == 2, "another file may have another size"
    assert np.array_equal(after, pixels(Engine(mine, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories)), CAT))
    engine.close()


def test_every_part_of_a_replaced_folder_is_read_again(settings, repositories):
    folder = Path(shutil.copytree(repositories / SD15, settings.models / "mine"))
    engine = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    wanted = GenerationRequest("a cat", model="mine", recipe="unified", width=256, height=256)
    images = [pixels(engine, wanted)]
    for part in ("unet", "vae", "text_encoder"):
        scaled(next((folder / part).glob("*.safetensors")), 1.3)
        images.append(pixels(engine, wanted))
        assert np.abs(images[-1] - images[-2]).max() > 0, part
    assert np.array_equal(images[-1], pixels(Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories)), wanted))
    engine.close()


def test_a_replaced_checkpoint_is_never_mixed(settings, repositories, base_models):  # noqa: F811
    path = settings.models / "dream.safetensors"
    write_checkpoint(path, diffusers.StableDiffusionPipeline.from_pretrained(repositories / SD15))

    def opened() -> Engine:
        hub = tiny_models.FolderHub(repositories)
        return Engine(settings, hardware=REFERENCE, hub=hub, loader=Loader(hub, torch.float32, base_models))

    engine, wanted = opened(), GenerationRequest("a cat", model="dream", recipe="unified", width=256, height=256)
    before = pixels(engine, wanted)
    scaled(path, 1.3)
    after = pixels(engine, wanted)
    assert np.abs(after - before).max() > 2
    assert np.array_equal(after, pixels(opened(), wanted))
    engine.close()


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_a_replaced_style_acts_at_once(own_assets, settings, repositories, backend):
    pytest.importorskip(backend)
    hardware = Hardware(backend, "cpu", dtype=torch.float32)
    engine = Engine(replace(settings, assets=own_assets), hardware=hardware, hub=tiny_models.FolderHub(repositories))
    styled = replace(CAT, styles=(StyleWeight("clay"),))
    before = pixels(engine, styled)
    scaled(own_assets / "pocket" / "styles" / "clay.safetensors", 2.0)
    assert np.abs(pixels(engine, styled) - before).max() > 2
    engine.close()


def test_an_open_pipeline_looks_at_its_files_now_and_then_only(own_assets, settings, repositories, monkeypatch):
    monkeypatch.setattr(model_manager, "LOOK_EVERY", 1000.0)
    engine = Engine(replace(settings, assets=own_assets), hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    before = pixels(engine, CAT)
    looks, held = [], engine.status()["hits"]
    monkeypatch.setattr(model_manager, "fingerprints", looks.append)
    scaled(next((own_assets / "pocket" / "unet").glob("*.safetensors")), 1.5)
    assert np.array_equal(before, pixels(engine, CAT)) and looks == []
    assert engine.status()["hits"] == held + 4, "its parts are in use all the same"
    monkeypatch.undo()
    monkeypatch.setattr(model_manager, "LOOK_EVERY", -1.0)
    assert np.abs(pixels(engine, CAT) - before).max() > 2
    engine.close()


def test_what_is_evicted_is_not_kept_by_an_open_pipeline(engine, monkeypatch):
    monkeypatch.setattr(model_manager, "LOOK_EVERY", 1000.0)
    before = pixels(engine, CAT)
    with engine._models.open(engine._planner.plan(CAT)) as pipeline:
        denoiser = weakref.ref(pipeline.denoiser)
        engine._model_cache.clear()
        assert denoiser() is not None and engine.status()["evictions"] == 0, "what is in use stays"
    del pipeline
    engine._model_cache.clear()
    gc.collect()
    assert denoiser() is None and engine.status()["resident"] == ()
    assert np.array_equal(before, pixels(engine, CAT)) and engine.status()["loads"] == 8
