"""An engine on tiny random models under their true names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.bench import engine as bench
from hypersd_app.bench import models as bench_models
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.settings import Settings
from tests.support import tiny_models
from tests.support.made_once import made_once

SD15, SDXL, HYPER = "stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/stable-diffusion-xl-base-1.0", "ByteDance/Hyper-SD"
REFERENCE = Hardware("torch", "cpu", dtype=torch.float32)


@pytest.fixture(scope="session")
def repositories(tmp_path_factory) -> Path:
    """Small models under the true repository and file names; read only."""
    return made_once(tmp_path_factory.getbasetemp(), "hub", write_repositories)


def write_repositories(root: Path) -> None:
    tiny_models.write_sd15(root / SD15)
    tiny_models.write_sdxl(root / SDXL)
    for prefix, dimension, large in (("SD15", 32, False), ("SDXL", 48, True)):
        names = ["1step", *(f"{n}steps" for n in (2, 4, 8)), *(f"{n}steps-CFG" for n in (8, 12))]
        for seed, name in enumerate(names):
            path = root / HYPER / f"Hyper-{prefix}-{name}-lora.safetensors"
            tiny_models.write_lora(path, tiny_models.small_unet(dimension, large), 2, seed=seed)
    torch.manual_seed(20)
    save_file(tiny_models.small_unet(48, True).state_dict(), root / HYPER / "Hyper-SDXL-1step-Unet.safetensors")
    torch.manual_seed(21)
    tiny_models.write_controlnet(root / "lllyasviel/control_v11p_sd15_scribble", tiny_models.small_unet(32))
    tiny_models.write_controlnet(root / "xinsir/controlnet-scribble-sdxl-1.0", tiny_models.small_unet(48, True))
    for name in ("taesd", "taesdxl"):
        tiny_models.small_tiny_decoder().save_pretrained(root / "madebyollin" / name)


@pytest.fixture(scope="session")
def pocket(tmp_path_factory) -> Path:
    """`assets` with a random Pocket and two styles; read only."""
    return made_once(tmp_path_factory.getbasetemp(), "assets", write_assets)


def write_assets(assets: Path) -> None:
    tiny_models.write_pocket(assets / "pocket")
    tiny_models.write_style(assets / "pocket" / "styles", "ink", 5, "ink")
    tiny_models.write_style(assets / "pocket" / "styles", "clay", 6)


@pytest.fixture
def settings(pocket, tmp_path) -> Settings:
    """Folders of this test's own around the shared assets."""
    return Settings(
        assets=pocket, runs=tmp_path / "runs", cache=tmp_path / "cache", models=tmp_path / "models", styles=tmp_path / "styles",
        offline=True, memory_gb=4.0,
    )  # fmt: skip


@pytest.fixture
def own_assets(pocket, tmp_path) -> Path:
    """A copy of the assets that a test may change."""
    return Path(shutil.copytree(pocket, tmp_path / "assets"))


@pytest.fixture
def engine(settings, repositories):
    """The reference backend: torch, float32, CPU."""
    made = Engine(settings, hardware=REFERENCE, hub=tiny_models.FolderHub(repositories))
    yield made
    made.close()


@pytest.fixture
def measure_small_models(settings, repositories, tmp_path, monkeypatch):
    """Called with the pixels of each model's side: `bench` then measures the small ones."""

    def measure(**sides: int) -> None:
        for family, repository in (("sd15", SD15), ("sdxl", SDXL)):
            if family in sides:
                shutil.copytree(repositories / repository, tmp_path / "bases" / family, copy_function=shutil.copyfile)
        monkeypatch.setattr(bench_models, "BASE_MODELS", tmp_path / "bases")
        monkeypatch.setattr(bench, "SIDES", sides)
        for name in ("assets", "cache", "runs"):
            monkeypatch.setenv(f"HYPERSD_{name.upper()}", str(getattr(settings, name)))

    return measure
