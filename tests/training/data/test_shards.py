"""Shards that webdataset could read, found by index; sizes of one area."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.data.aspect_buckets import bucket_sizes, fitted, nearest_bucket
from hypersd_app.training.data.shards import Shards, ShardWriter


def test_arrays_are_found_by_index_and_lie_in_plain_tar_files(tmp_path):
    rng = np.random.default_rng(0)
    samples = [{"moments": rng.normal(size=(8, 4, 4)).astype(np.float16), "text": rng.normal(size=(3, 5))} for _ in range(7)]
    with ShardWriter(tmp_path, {"family": "sd15"}, shard_bytes=600) as writer:
        for number, sample in enumerate(samples):
            writer.add(sample, {"caption": f"thing {number}"})
    shards = Shards(tmp_path)
    assert len(shards) == 7 and shards.told == {"family": "sd15"} and len(list(tmp_path.glob("*.tar"))) > 2
    for index in (6, 0, 3):
        for name, value in samples[index].items():
            found = shards.array(index, name)
            assert found.dtype == value.dtype and np.array_equal(found, value)
    with tarfile.open(tmp_path / "00000.tar") as tar:  # webdataset groups members by what comes before the first dot
        assert tar.getnames()[:3] == ["00000000.moments.npy", "00000000.text.npy", "00000000.json"]
        assert np.array_equal(np.load(io.BytesIO(tar.extractfile("00000000.text.npy").read())), samples[0]["text"])
        assert json.load(tar.extractfile("00000000.json")) == {"caption": "thing 0"}


def test_shards_that_were_not_finished_do_not_count(tmp_path):
    with pytest.raises(KeyError), ShardWriter(tmp_path, {}) as writer:
        writer.add({"x": np.zeros(3)}, {})
        raise KeyError
    with pytest.raises(ModelUnavailable, match="no finished shards"):
        Shards(tmp_path)


def test_buckets_have_about_one_area_and_images_go_to_the_nearest():
    sizes = bucket_sizes(512, 64)
    assert (512, 512) in sizes and (640, 384) in sizes and all(height * width <= 512**2 for width, height in sizes)
    assert all(width % 64 == height % 64 == 0 and 0.5 <= width / height <= 2 for width, height in sizes)
    assert {(height, width) for width, height in sizes} == set(sizes)
    assert nearest_bucket((1000, 1000), sizes) == (512, 512)
    assert nearest_bucket((1600, 1000), sizes) == (640, 384) and nearest_bucket((100, 900), sizes)[0] < 400
    image, cut = fitted(Image.new("RGB", (300, 100)), (64, 64))
    assert image.size == (64, 64) and cut == (64, 0)
