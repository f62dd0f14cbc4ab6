"""The sticker autoencoder's stage: its images, its noise, its loss, and a kill in between."""

import numpy as np
import pytest
import torch

from hypersd_app.training.data.dataset import DataConfig, ImageDataset, build
from hypersd_app.training.pocket import sticker_autoencoder as stage
from hypersd_app.training.pocket.sticker_images import StickerImages, paste, premultiplied, seen, tinted
from hypersd_app.training.workspace import Workspace
from tests.support.icon_packages import write_all

SMALL = stage.StickerAutoencoderConfig(
    data="few", crops=2, pictures=1, loop=stage.LoopConfig(steps=4, warmup=1, log_every=1, preview_minutes=60)
)


@pytest.fixture(scope="module")
def workspace(module_folder):
    runs = module_folder / "runs"
    write_all(runs / "npm")
    config = DataConfig(set_keys=("noto", "twemoji"), singles_per_drawing=1, composed={}, size=512, workers=1)
    build(config, runs / "data" / "few", runs / "npm")
    return Workspace(runs, module_folder / "assets")


@pytest.fixture(scope="module")
def images(workspace):
    icons = ImageDataset(workspace.run("data", "few"))
    return StickerImages(icons, icons.indices(False))


def test_images_are_large_differ_and_repeat_with_the_generator(images):
    one, two, again = (images.image(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert one.shape == (512, 512, 4) and (one == again).all() and (one != two).any()
    assert (one[..., :3] <= one[..., 3:]).all(), "premultiplied"
    assert images.batch(np.random.default_rng(0), 2).shape == (2, 512, 512, 4)
    assert images.crops(np.random.default_rng(0), 3).shape == (3, 256, 256, 4)


def test_white_ground_and_premultiplied_are_inverse():
    alpha = np.random.default_rng(0).integers(0, 256, (4, 4, 1), dtype=np.uint8)
    image = np.concatenate([np.minimum(np.full((4, 4, 3), 90, np.uint8), alpha), alpha], -1)
    assert (premultiplied(seen(image)) == image).all()


def test_an_icon_is_laid_over_another_and_cut_at_the_border():
    canvas = np.zeros((8, 8, 4), np.uint8)
    paste(canvas, np.full((4, 4, 4), 255, np.uint8), -2, 6)
    assert (canvas[6:, :2] == 255).all() and not canvas[:6].any() and not canvas[:, 2:].any()
    paste(canvas, np.full((4, 4, 4), 255, np.uint8), 20, 0)


def test_tinting_keeps_grey_and_turns_hues():
    image = np.array([[[200, 0, 0, 255], [90, 90, 90, 255]]], np.uint8)
    turned = tinted(image, 1 / 3)
    assert turned[0, 0, 1] > 190 and turned[0, 0, 0] < 10 and np.abs(turned[0, 1, :3].astype(int) - 90).max() <= 1


def test_block_noise_has_unit_variance_and_low_frequencies():
    noise = stage.block_noise(torch.Size((64, 4, 16, 16)), torch.Generator().manual_seed(0))
    assert abs(float(noise.std()) - 1) < 0.05
    white = torch.randn(noise.shape, generator=torch.Generator().manual_seed(1))
    pool = torch.nn.functional.avg_pool2d
    assert pool(noise, 2).std() > 1.3 * pool(white, 2).std()
    assert stage.block_noise(torch.Size((1, 2, 5, 7)), torch.Generator()).shape == (1, 2, 5, 7)


def test_flat_areas_weigh_more():
    target = torch.zeros(1, 4, 64, 64)
    target[..., 32:] = torch.rand(1, 4, 64, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    weights = stage.flat_area_weights(target)
    assert abs(float(weights.mean()) - 1) < 1e-4 and weights[..., :16].min() > 2 * weights[..., -16:].max()


@pytest.mark.training
def test_a_stopped_run_ends_in_the_same_weights(workspace, tmp_path):
    def stopped(done, total, metrics):
        if done == 2:
            raise KeyboardInterrupt

    stage.train(SMALL, workspace, tmp_path / "whole", lambda *told: None)
    with pytest.raises(KeyboardInterrupt):
        stage.train(SMALL, workspace, tmp_path / "parts", stopped)
    stage.train(SMALL, workspace, tmp_path / "parts", lambda *told: None)
    weights = "model/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "whole" / weights).read_bytes() == (tmp_path / "parts" / weights).read_bytes()
    assert "psnr_0.3" in (tmp_path / "whole" / "metrics.jsonl").read_text(encoding="utf-8")
