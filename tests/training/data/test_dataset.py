"""Building a data set: what is stored, and going on where a build was stopped."""

import json

import numpy as np
import pytest

from hypersd_app.training.data import dataset
from hypersd_app.training.data.dataset import DataConfig, ImageDataset, build
from tests.support.icon_packages import write_all

CONFIG = DataConfig(set_keys=("noto", "twemoji"), singles_per_drawing=2, composed={"colour": 4, "pair": 4}, workers=1)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    packages = tmp_path_factory.mktemp("packages")
    write_all(packages)
    folder = tmp_path_factory.mktemp("data")
    build(CONFIG, folder, packages)
    return folder, packages


def test_images_are_seen_on_white_beside_their_alpha(built):
    data = ImageDataset(built[0])
    stored = np.asarray(data.rgba)
    assert stored.shape == (len(data.scenes), 256, 256, 4) and (data.images == stored[..., :3]).all()
    empty = stored[stored[..., 3] == 0]
    assert len(empty) and (empty[:, :3] == 255).all()
    assert (stored[..., 3] == 255).any(axis=(1, 2)).all(), "something is drawn in every image"


def test_concepts_come_back_with_their_kinds(built):
    cat = next(concept for concept in ImageDataset(built[0]).concepts if concept.label == "cat face")
    assert "animal" in cat.kinds and "cat head" in cat.names


def test_a_finished_build_is_left_alone(built, monkeypatch):
    monkeypatch.setattr(dataset, "_plan", pytest.fail)
    build(CONFIG, *built)


def test_a_stopped_build_renders_only_what_is_missing(built, monkeypatch):
    folder, packages = built
    before = np.array(ImageDataset(folder).rgba)
    images = np.load(folder / "pictures.npy", mmap_mode="r+")
    images[:] = 7
    images.flush()
    begun = json.loads((folder / "rendered.json").read_text(encoding="utf-8"))
    (folder / "config.json").unlink()
    monkeypatch.setattr(dataset, "_plan", pytest.fail)
    build(CONFIG, folder, packages)
    assert (np.load(folder / "pictures.npy") == 7).all(), "all were rendered"
    (folder / "config.json").unlink()
    (folder / "rendered.json").write_text(json.dumps({**begun, "spans": []}), encoding="utf-8")
    build(CONFIG, folder, packages)
    assert (np.load(folder / "pictures.npy") == before).all()
