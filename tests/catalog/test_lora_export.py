"""LoRAs made here as other programs name them, checked against the names that ComfyUI's own mapping gives every layer."""

from __future__ import annotations

import hashlib

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from torch import nn

from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.lora.export import kohya_name
from hypersd_app.catalog.lora.keys import parse_key
from hypersd_app.catalog.scanning.scan import read_style
from hypersd_app.engine.loading.checkpoints import BASE_MODELS
from hypersd_app.engine.loading.lora import read_factors
from hypersd_app.training.core.lora import write_for_other_programs
from tests.support import lora_files, tiny_models

# Of the lines "diffusers' module, its name" of all linear layers and convolutions, sorted: computed once by ComfyUI's
# `unet_to_diffusers` at commit 00728eb20fce05955f89ef1ccf5f6167416e94cf; A1111 knows the same names.
REFERENCE = {
    "sd15": (282, "85047cb355eb1beb2e5c802c072b4334f25e046b8285db251cdf27e6e64c0b1e"),
    "sdxl": (794, "bd8cbc701a923b88e4ff27a2dad17c8b2a1241915638547f2fbcd7ce6fcd9325"),
}


@pytest.mark.parametrize("family", REFERENCE)
def test_every_layer_has_the_name_that_other_programs_give_it(family):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(BASE_MODELS / family / "unet"))
    names = {name: kohya_name(name, family) for name, layer in unet.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    text = "\n".join(f"{name} {names[name]}" for name in sorted(names))
    assert (len(set(names.values())), hashlib.sha256(text.encode()).hexdigest()) == REFERENCE[family]
    for name, other in names.items():  # and this program's own reader takes them for the same layers
        assert parse_key(f"{other}.lora_up.weight").layer == name.replace(".", "_")


@pytest.mark.parametrize("family", REFERENCE)
def test_both_files_of_a_lora_are_the_same_changes(tmp_path, family):
    unet = tiny_models.small_unet(2048 if family == "sdxl" else 768, family == "sdxl")
    random, tensors = torch.Generator().manual_seed(3), {}
    for name, weight in lora_files.layers(unet).items():
        made = lora_files.lora(name, weight, random)
        tensors[f"unet.{name}.lora_A.weight"], tensors[f"unet.{name}.lora_B.weight"] = (
            made["lora_down.weight"],
            made["lora_up.weight"],
        )
    metadata = {"title": "Ink", "trigger": "ink drawing", "family": family, "recipe": "1 to 8 steps of TCD"}
    path = lora_files.write(tmp_path / "ink.safetensors", tensors, metadata)
    other = write_for_other_programs(path, family)
    assert other is not None and check_lora(other).share == 1
    ours, theirs = read_factors(path)["unet"], read_factors(other)["unet"]
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(change.delta(), theirs[name].delta()) for name, change in ours.items())
    with safe_open(other, "pt") as file:
        said = file.metadata()
    assert said["modelspec.title"] == "Ink" and said["modelspec.trigger_phrase"] == said["trigger"] == "ink drawing"
    assert said["ss_base_model_version"] == {"sd15": "sd_v1", "sdxl": "sdxl_base_v1-0"}[family] and said["ss_network_dim"] == "4"
    assert said["modelspec.usage_hint"] == "1 to 8 steps of TCD" and said["modelspec.architecture"].endswith("/lora")
    row = read_style(other)
    assert (row.family, row.title, row.trigger) == (family, "Ink", "ink drawing")


def test_a_family_that_they_do_not_have_is_left_alone(tmp_path):
    path = tiny_models.write_style(tmp_path, "ink")
    assert write_for_other_programs(path, "pocket") is None and not (tmp_path / "kohya").exists()
    with pytest.raises(ValueError, match="no layer"):
        kohya_name("layout.head.0", "sd15")
