"""Textual-inversion embeddings: found, and refused by their right names."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.embeddings import read_embedding_row
from hypersd_app.errors import ModelUnavailable
from hypersd_app.settings import Settings


def write(path, **shapes):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, path)
    return path


def test_embeddings_are_found_where_a1111_and_comfyui_keep_them(tmp_path, caplog):
    models = tmp_path / "models"
    write(models / "embeddings" / "deep" / "ink.safetensors", emb_params=(3, 768))
    write(tmp_path / "embeddings" / "Clay.SAFETENSORS", clip_l=(2, 768), clip_g=(2, 1280))
    (models / "embeddings" / "old.pt").write_bytes(b"\x80\x02")
    catalog = Catalog(replace(Settings(), models=models, styles=tmp_path / "styles", runs=tmp_path / "runs"))
    found = {family: [(row.name, row.vectors) for row in catalog.embeddings(catalog.model(family))] for family in ("sd15", "sdxl")}
    assert found == {"sd15": [("ink", 3)], "sdxl": [("Clay", 2)]}
    assert "old.pt is a pickled file" in caplog.text
    assert "save it as .safetensors" in caplog.text


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"emb_params": (2, 1024)}, "another model"),
        ({"lora_unet_x.lora_down.weight": (4, 4)}, "no textual-inversion embedding"),
        ({"emb_params": (100, 768)}, "100 vectors"),
    ],
)
def test_others_are_refused_by_their_right_name(tmp_path, shapes, said):
    with pytest.raises(ModelUnavailable, match=said):
        read_embedding_row(write(tmp_path / "x.safetensors", **shapes))
