"""LoRA files under every name in use act on the same layers with the same strength."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from hypersd_app.engine.loading.checkpoints import BASE_MODELS
from hypersd_app.engine.loading.lora import parameters, read_factors
from hypersd_app.errors import ModelUnavailable
from hypersd_app.requests import GenerationRequest, StyleWeight
from tests.support import tiny_models
from tests.support.drawings import SIZES

RANK, ALPHA = 2, 1.0


def kohya(path, source, extra=()):
    """The file `source` under kohya's names, its strength in alpha keys: half of it is in the factors."""
    tensors = {}
    for name, value in load_file(source).items():
        module, which = name.removeprefix("unet.").rsplit(".lora_", 1)
        base, down = "lora_unet_" + module.replace(".", "_"), which.startswith("A")
        tensors[f"{base}.lora_{'down' if down else 'up'}.weight"] = value.clone() if down else 2 * value
        tensors[f"{base}.alpha"] = torch.tensor(ALPHA)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({**tensors, **dict(extra)}, path)
    return path


@pytest.mark.parametrize(("family", "dimension"), [("sd15", 32), ("sdxl", 48)])
def test_kohyas_names_give_the_same_image(engine, settings, tmp_path, family, dimension):
    folder = settings.styles / family
    tiny_models.write_lora(folder / "ink.safetensors", tiny_models.small_unet(dimension, family == "sdxl"), RANK, seed=3, scale=2.0)
    kohya(folder / "ink-kohya.safetensors", folder / "ink.safetensors")
    engine.rescan()
    size = SIZES[family]
    request = {"model": family, "recipe": "unified", "width": size, "height": size}
    images = [
        np.asarray(engine.generate(GenerationRequest("a cat", styles=styles, **request)).images[0]).astype(int)
        for styles in ((), (StyleWeight("ink"),), (StyleWeight("ink-kohya"),))
    ]
    assert np.abs(images[1] - images[0]).max() > 2
    assert np.abs(images[2] - images[1]).max() <= 1


def factors(shape_in: int, shape_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(RANK, shape_in), torch.randn(shape_out, RANK)


TEXT = {"te": "lora_te_", "te1": "lora_te1_", "te2": "lora_te2_"}


@pytest.mark.parametrize(("family", "prefixes"), [("sd15", ["te"]), ("sdxl", ["te1", "te2"])])
def test_text_encoder_layers_are_found(tmp_path, family, prefixes):
    tensors = {}
    for prefix in prefixes:
        base = f"{TEXT[prefix]}text_model_encoder_layers_0_self_attn_q_proj"
        tensors[f"{base}.lora_down.weight"], tensors[f"{base}.lora_up.weight"] = factors(32, 32)
        tensors[f"{base}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, tmp_path / "style.safetensors")
    found = read_factors(tmp_path / "style.safetensors")
    encoder = transformers.CLIPTextModel(tiny_models.clip_config(32, 32))
    names = ["text_encoder", "text_encoder_2"][: len(prefixes)]
    for name, prefix in zip(names, prefixes, strict=True):
        ((module, change),) = found[name].items()
        assert parameters(encoder)[module] is encoder.get_submodule("encoder.layers.0.self_attn.q_proj").weight
        base = f"{TEXT[prefix]}text_model_encoder_layers_0_self_attn_q_proj"
        expected = tensors[f"{base}.lora_up.weight"] @ tensors[f"{base}.lora_down.weight"] * (ALPHA / RANK)
        assert torch.allclose(change.delta(), expected, atol=1e-5)


# Layers of kohya's SDXL files and where they are in diffusers' UNet.
SDXL_LAYERS = {
    "input_blocks_4_1_transformer_blocks_0_attn1_to_q": "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "input_blocks_8_1_transformer_blocks_9_attn2_to_k": "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k",
    "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
    "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
    "middle_block_1_proj_in": "mid_block.attentions.0.proj_in",
    "middle_block_1_transformer_blocks_3_ff_net_0_proj": "mid_block.attentions.0.transformer_blocks.3.ff.net.0.proj",
    "output_blocks_0_1_transformer_blocks_2_attn1_to_out_0": "up_blocks.0.attentions.0.transformer_blocks.2.attn1.to_out.0",
    "output_blocks_5_1_transformer_blocks_1_ff_net_2": "up_blocks.1.attentions.2.transformer_blocks.1.ff.net.2",
}


def test_kohyas_sdxl_blocks_are_the_true_layers(tmp_path):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(BASE_MODELS / "sdxl" / "unet"))
    tensors = {}
    weights = parameters(unet)
    for name, module in SDXL_LAYERS.items():
        out_size, in_size, *kernel = weights[module.replace(".", "_")].shape
        tensors[f"lora_unet_{name}.lora_down.weight"] = torch.randn(RANK, in_size, *kernel)
        tensors[f"lora_unet_{name}.lora_up.weight"] = torch.randn(out_size, RANK, *(1 for _ in kernel))
        tensors[f"lora_unet_{name}.alpha"] = torch.tensor(ALPHA)
    save_file(tensors, tmp_path / "xl.safetensors")
    found = read_factors(tmp_path / "xl.safetensors")["unet"]
    assert set(found) == {module.replace(".", "_") for module in SDXL_LAYERS.values()}
    assert all(change.fits(tuple(weights[name].shape)) for name, change in found.items())
    for name, module in SDXL_LAYERS.items():
        up, down = (tensors[f"lora_unet_{name}.lora_{way}.weight"].flatten(1) for way in ("up", "down"))
        assert torch.allclose(found[module.replace(".", "_")].delta().flatten(1), up @ down * (ALPHA / RANK), atol=1e-4), name


def test_names_that_mean_nothing_are_refused(tmp_path):
    save_file({f"lora_unet_x.lora_{way}.weight": torch.zeros(2, 2) for way in ("down", "sideways")}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelUnavailable, match="cannot be read as a LoRA"):
        read_factors(tmp_path / "odd.safetensors")
