"""Thousands of style files: what is known is there at once, the rest is read behind it; hashes and tags of files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace

import pytest
import torch

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.scanning import library
from hypersd_app.catalog.scanning.hashes import HashBook, file_hashes
from hypersd_app.catalog.scanning.scan import read_style
from hypersd_app.catalog.scanning.style_index import NAME
from hypersd_app.catalog.scanning.tags import commonest_tags
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings
from tests.support import lora_files

FLAT = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
FILES = 130
COUNTS = {"10_ink": {"ink drawing": 9, "cat": 3, "x" * 99: 50, "": 4, "dog": True}, "5_more": {"cat": 8, "wrong": "3"}, "bad": 3}


def write(path, metadata=None):
    shapes = {f"{FLAT}.lora_down.weight": (4, 768), f"{FLAT}.lora_up.weight": (64, 4)}
    return lora_files.write(path, {key: torch.zeros(shape) for key, shape in shapes.items()}, metadata)


@pytest.fixture
def settings(tmp_path):
    folders = {name: tmp_path / name for name in ("assets", "runs", "cache", "models", "styles")}
    base = write(tmp_path / "base.safetensors")
    folders["styles"].mkdir()
    for number in range(FILES):
        os.link(base, folders["styles"] / f"style-{number:03}.safetensors")
    (folders["styles"] / "broken.safetensors").write_bytes(b"nothing")
    return replace(Settings(), **folders)


def test_files_are_read_behind_and_known_at_the_next_start(settings, monkeypatch):
    catalog = Catalog(settings, behind=True)
    model = catalog.model("sd15")
    assert catalog.style(model, f"style-{FILES - 1:03}").family == "sd15"  # asked for by name, it is waited for
    assert catalog.progress == (FILES + 1, FILES + 1) and len(catalog.styles("sd15")) == FILES
    with pytest.raises(InvalidRequest):
        catalog.style(model, "nowhere")
    monkeypatch.setattr(library, "try_style", lambda path, *_: pytest.fail(f"{path} is read again"))
    again = Catalog(settings, behind=True)
    assert again.styles("sd15") == catalog.styles("sd15")
    assert [row.modules for row in again.styles("sd15")] == [row.modules for row in catalog.styles("sd15")]


def test_what_changed_or_is_damaged_is_read_again(settings):
    Catalog(settings)
    changed = settings.styles / "style-003.safetensors"
    changed.unlink()
    write(changed, {"title": "Another"})
    assert Catalog(settings).style(Catalog(settings).model("sd15"), "style-003").title == "Another"
    for text in ("{", "[]", '{"reader": "old"}', '{"files": {"a": 3}}'):
        (settings.cache / NAME).write_text(text, encoding="utf-8")
        assert len(Catalog(settings).styles("sd15")) == FILES


def test_hashes_are_those_of_other_programs_and_kept(tmp_path):
    path = write(tmp_path / "ink.safetensors")
    data = path.read_bytes()
    whole, tensors = file_hashes(path)
    start = 8 + int.from_bytes(data[:8], "little")
    assert whole == hashlib.sha256(data).hexdigest() and tensors == hashlib.sha256(data[start:]).hexdigest()
    book = HashBook(tmp_path / "cache")
    assert book.compute([path, tmp_path / "gone"], lambda: False, resting=0) == 1 and book.known(path) == (whole, tensors)
    again = HashBook(tmp_path / "cache")
    assert again.known(path) == (whole, tensors) and again.compute([path], lambda: False) == 0
    os.utime(path, (1, 1))
    assert again.known(path) == (), "it was replaced"
    assert book.compute([path], lambda: True, resting=0) == 0
    assert read_style(write(tmp_path / "told.safetensors", {"sshs_model_hash": "0123ABCD4567"})).hashes == ("0123abcd4567",)


def test_a_catalogue_finds_the_hashes_of_its_styles(settings):
    catalog = Catalog(settings, hashing=True)
    catalog._hashing.wait(60)
    codes = file_hashes(settings.styles / "style-000.safetensors")
    assert all(row.hashes == codes for row in catalog.styles("sd15"))


def test_the_commonest_tags_are_offered(tmp_path):
    metadata = {"ss_tag_frequency": json.dumps(COUNTS)}
    assert commonest_tags(metadata) == ("cat", "ink drawing")
    assert read_style(write(tmp_path / "ink.safetensors", metadata)).tags == ("cat", "ink drawing")
    assert [commonest_tags({"ss_tag_frequency": text}) for text in ("", "[", "3", "[" * 90_000)] == [()] * 4
