"""Checkpoints are known for what they are, and folders of other programs are used where they lie."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.catalog.catalog import Catalog
from hypersd_app.catalog.scanning.checkpoint_kinds import checkpoint_kind
from hypersd_app.errors import ModelUnavailable
from hypersd_app.settings import Settings
from tests.support.checkpoints import checkpoint_tensors
from tests.support.file_names import writable

DREAM = writable("梦", "dream")


def write(path, tensors, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (checkpoint_tensors(inputs=9), "inpainting"),
        (checkpoint_tensors("sdxl", inputs=9), "inpainting"),
        (checkpoint_tensors(inputs=8), "pix2pix"),
        (checkpoint_tensors("sd2"), "SD2"),
        (checkpoint_tensors("refiner"), "refiner"),
        (checkpoint_tensors(**{"control_model.x": (1,)}), "ControlNet"),
        ({"model.diffusion_model.double_blocks.0.x": torch.zeros(1)}, "FLUX"),
        ({"model.diffusion_model.joint_blocks.0.x": torch.zeros(1)}, "SD3"),
        ({"model.diffusion_model.x": torch.zeros(1)}, "no text encoder"),
        ({"first_stage_model.decoder.x": torch.zeros(1)}, "a VAE alone"),
        ({"decoder.conv_in.weight": torch.zeros(1), "encoder.x": torch.zeros(1)}, "a VAE alone"),
        ({"emb_params": torch.zeros(2, 768)}, "embedding"),
        ({"lora_unet_x.lora_down.weight": torch.zeros(1, 1)}, "LoRA"),
        ({"cond_stage_model.transformer.x": torch.zeros(1)}, "no UNet"),
        ({"what": torch.zeros(1)}, "no SD1.5 or SDXL"),
    ],
)
def test_what_does_not_run_is_refused_by_its_right_name(tmp_path, tensors, said):
    with pytest.raises(ModelUnavailable, match=said):
        checkpoint_kind(write(tmp_path / "x.safetensors", tensors))


def test_prediction_is_read_from_keys_metadata_and_settings(tmp_path):
    plain = write(tmp_path / "plain.safetensors", checkpoint_tensors())
    assert checkpoint_kind(plain).schedule == ()
    keyed = write(tmp_path / "keyed.safetensors", checkpoint_tensors("sdxl", v_pred=(0,), ztsnr=(0,)))
    assert dict(checkpoint_kind(keyed).schedule) == {
        "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
    }  # fmt: skip
    told = write(tmp_path / "told.safetensors", checkpoint_tensors(), {"modelspec.prediction_type": "v"})
    assert checkpoint_kind(told).note == "Predicts v (by its metadata)."
    (tmp_path / "plain.yaml").write_text('\ufeffmodel:\n  params:\n    parameterization: "v"\n', encoding="utf-8")
    assert checkpoint_kind(plain).told_by == "by the settings beside it"


def test_folders_of_other_programs_are_used_where_they_lie(tmp_path, caplog):
    webui, models = tmp_path / "webui", tmp_path / "comfy" / "models"
    write(webui / "models" / "Stable-diffusion" / "deep" / f"{DREAM}.safetensors", checkpoint_tensors())
    write(models / "checkpoints" / "dream_lightning_4step.safetensors", checkpoint_tensors("sdxl"))
    (models / "checkpoints" / "old.ckpt").write_bytes(b"\x80\x02")
    write(webui / "embeddings" / "ink.safetensors", {"emb_params": torch.zeros(1, 768)})
    os.symlink(models, models / "checkpoints" / "loop")
    listed = "  checkpoints: models/Stable-diffusion\n  embeddings: embeddings\n  loras: |\n    models/Lora\n"
    text = f"\ufeffa111:\n  base_path: {webui}\n{listed}"
    (models.parent / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    catalog = Catalog(replace(Settings(), models=models, styles=tmp_path / "styles", runs=tmp_path / "runs"))
    rows = {row.name: row for row in catalog.models()}
    assert rows[DREAM].family == "sd15"
    assert rows["dream_lightning_4step"].recipes[0].title.startswith("Lightning, 4 steps (guessed")
    assert [row.name for row in catalog.embeddings(rows[DREAM])] == ["ink"]
    assert "old.ckpt is a pickled file" in caplog.text


@pytest.mark.parametrize("text", ["{", "- a\n- b", "a: 3", "a111:\n  loras: 3\n", "\ud83d".encode("utf-8", "replace").decode()])
def test_a_list_of_folders_that_is_none_is_passed_over(tmp_path, text):
    models = tmp_path / "models"
    models.mkdir()
    (models / "extra_model_paths.yaml").write_text(text, encoding="utf-8")
    assert Catalog(replace(Settings(), models=models, styles=tmp_path / "styles", runs=tmp_path / "runs")).models()
