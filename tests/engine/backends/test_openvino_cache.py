"""Converted networks on disk: what is damaged is made again, and a full disk only costs the next start."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diffusers import AutoencoderTiny

pytest.importorskip("openvino")

from hypersd_app.engine.backends.openvino import network as openvino_network
from hypersd_app.engine.backends.openvino.network import BATCH, weights_hash
from hypersd_app.engine.engine import Engine
from hypersd_app.server.service import BATCH_SIZES
from tests.engine.backends.test_openvino import SINGLE, request


def drawn(settings, cache: Path) -> np.ndarray:
    engine = Engine(replace(settings, cache=cache), hardware=SINGLE)
    image = np.asarray(engine.generate(request()).images[0])
    engine.close()
    return image


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"no graph", None])
def test_a_damaged_file_is_made_again(settings, tmp_path, damage):
    first = drawn(settings, tmp_path)
    files = [path for path in (tmp_path / "openvino").rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    assert np.array_equal(drawn(settings, tmp_path), first)
    assert np.array_equal(drawn(settings, tmp_path), first), "and kept"


@pytest.mark.slow
def test_on_a_full_disk_it_still_draws(settings, tmp_path):
    first, disk = drawn(settings, tmp_path / "ample"), tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        assert np.abs(drawn(settings, disk).astype(int) - first).max() <= 2
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def test_the_configuration_is_part_of_what_names_a_network(settings):
    network = AutoencoderTiny(
        encoder_block_out_channels=(8,), decoder_block_out_channels=(8,), num_encoder_blocks=(1,), num_decoder_blocks=(1,)
    )  # fmt: skip
    names = [weights_hash(network)]
    network.register_to_config(_name_or_path="elsewhere")
    assert weights_hash(network) == names[0], "where it was read from changes nothing"
    network.register_to_config(scaling_factor=0.5)
    assert weights_hash(network) != names[0]


@pytest.mark.slow
def test_old_networks_make_room_on_disk(settings, tmp_path, monkeypatch):
    first = drawn(settings, tmp_path)
    before = set((tmp_path / "openvino").glob("*.xml"))
    monkeypatch.setattr(openvino_network, "MOST_ON_DISK", 1)
    for path in (tmp_path / "openvino").glob("*unet*.xml"):
        path.unlink()  # made again, upon which nothing else may stay
    assert np.array_equal(drawn(settings, tmp_path), first)
    assert not before & set((tmp_path / "openvino").glob("*decoder*.xml"))


def test_the_scheduler_knows_the_compiled_batches():
    assert BATCH_SIZES["openvino"] == (1, BATCH)
