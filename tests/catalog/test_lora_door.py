"""A LoRA file at the door: by its header alone, named for what it is, with the share of it that acts."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.catalog.builtin import stable_diffusion
from hypersd_app.catalog.catalog import distinct
from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.lora.keys import diffusers_layer, parse_key
from hypersd_app.catalog.scanning.scan import read_style, scan_styles
from hypersd_app.catalog.scanning.sidecars import read_sidecar
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.errors import ModelUnavailable
from tests.support import lora_files

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
FLAT = f"lora_unet_{LAYER.replace('.', '_')}"
PAIR = {f"{FLAT}.lora_down.weight": (4, 768), f"{FLAT}.lora_up.weight": (64, 4)}


def file(tmp_path, shapes, metadata=None):
    return lora_files.write(tmp_path / "style.safetensors", {key: torch.zeros(shape) for key, shape in shapes.items()}, metadata)


def pair(layer, inputs=64, outputs=64, a=".lora_A.weight", b=".lora_B.weight"):
    return {f"{layer}{a}": (4, inputs), f"{layer}{b}": (outputs, 4)}


OTHERS = {
    "FLUX": pair("lora_unet_double_blocks_0_img_attn_proj", a=".lora_down.weight", b=".lora_up.weight"),
    "FLUX ": pair("transformer.single_transformer_blocks.3.attn.to_q"),
    "FLUX  ": pair("diffusion_model.double_blocks.3.img_mlp.0"),
    "SD3": pair("transformer.transformer_blocks.0.attn.add_k_proj"),
    "SD3 ": pair("lora_unet_joint_blocks_0_x_block_attn_qkv", a=".lora_down.weight", b=".lora_up.weight"),
    "SD2.x": {f"{FLAT}.lora_down.weight": (4, 1024), f"{FLAT}.lora_up.weight": (64, 4)},
    "a transformer": pair("diffusion_model.blocks.3.self_attn.q"),
    "OFT": {f"{FLAT}.oft_blocks": (4, 16, 16), f"{FLAT}.alpha": ()},
    "BOFT": {f"base_model.model.{LAYER}.boft_R": (2, 4, 16, 16)},
    "GLoRA": {f"{FLAT}.{name}.weight": (4, 4) for name in ("a1", "a2", "b1", "b2")},
    "textual inversion": {"emb_params": (2, 768)},
    "textual inversion ": {"clip_l": (2, 768), "clip_g": (2, 1280)},
    "textual inversion  ": {"<ohwx>": (768,)},
    "VAE": {"first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3), "first_stage_model.quant_conv.bias": (4,)},
    "VAE ": {"encoder.conv_in.weight": (4, 4, 3, 3), "decoder.conv_out.weight": (4, 4, 3, 3)},
    "ControlNet": {"control_model.input_hint_block.0.weight": (4, 4, 3, 3)},
    "ControlNet ": {"controlnet_cond_embedding.conv_in.weight": (4, 4, 3, 3)},
    "IP-Adapter": {"ip_adapter.1.to_k_ip.weight": (4, 4)},
    "whole model": {"model.diffusion_model.input_blocks.0.0.weight": (4, 4, 3, 3), "cond_stage_model.transformer.x": (4,)},
    "whole UNet": {f"{LAYER}.weight": (64, 768), "conv_in.weight": (4, 4, 3, 3)},
    "no LoRA weights": {"what": (3,)},
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_style_is_refused_by_its_right_name(tmp_path, name):
    with pytest.raises(ModelUnavailable, match=name.strip()) as caught:
        read_style(file(tmp_path, OTHERS[name]))
    assert "style.safetensors" in str(caught.value)


@pytest.mark.parametrize("shapes", [
    {f"{FLAT}.lora_down.weight": (4, 768)},
    {**PAIR, "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": (64, 4)},
    {**PAIR, f"{FLAT}.lora_up.weight": (64, 3)},
    {**PAIR, f"{FLAT}.alpha": (2,)},
    {**PAIR, f"{FLAT}.diff": (64, 768)},
    {**PAIR, f"unet.{LAYER}.lora_A.weight": (4, 768)},
    {f"{FLAT}.hada_w1_a": (64, 4), f"{FLAT}.hada_w1_b": (4, 768), f"{FLAT}.hada_w2_a": (64, 4)},
    {f"{FLAT}.lokr_w1": (4, 4)},
    {f"{FLAT}.lora_mid.weight": (4, 4, 3, 3)},
], ids=["half", "half of one", "ranks", "two alphas", "twice", "two names", "loha", "lokr", "core alone"])  # fmt: skip
def test_what_is_incomplete_or_contradicts_itself_is_refused(tmp_path, shapes):
    with pytest.raises(ModelUnavailable, match="cannot be read as a LoRA"):
        check_lora(file(tmp_path, shapes))


@pytest.mark.parametrize("pattern", ["(a+)+b", "x|y", 3])
def test_patterns_that_name_no_layer_are_refused(tmp_path, pattern):
    metadata = {"lora_adapter_metadata": {"unet.lora_alpha": 8, "unet.alpha_pattern": {str(pattern): 4} if pattern != 3 else 3}}
    with pytest.raises(ModelUnavailable, match="cannot be read as a LoRA"):
        check_lora(file(tmp_path, pair(f"unet.{LAYER}", 768), metadata))


def test_one_layer_that_is_nowhere_is_told(tmp_path):
    shapes = {**PAIR, **pair("lora_unet_mid_block_attentions_0_proj_in", a=".lora_down.weight", b=".lora_up.weight")}
    shapes |= pair("lora_unet_down_blocks_9_attentions_9_proj_in", a=".lora_down.weight", b=".lora_up.weight")
    path = file(tmp_path, shapes)
    found = check_lora(path)
    assert (len(found.placed), len(found.unknown)) == (2, 1) and found.share == pytest.approx(2 / 3)
    assert read_style(path).notes == ("1 of 3 layers cannot be placed: down_blocks_9_attentions_9_proj_in.",)


def test_a_file_most_of_which_is_nowhere_is_refused(tmp_path):
    shapes = {**PAIR, **pair("unet.a.b"), **pair("unet.c.d")}
    with pytest.raises(ModelUnavailable, match="only 1 of its 3 layers"):
        check_lora(file(tmp_path, shapes))
    with pytest.raises(ModelUnavailable, match=r"4 of its 6 tensors have no meaning"):
        check_lora(file(tmp_path, {**PAIR, **{f"stray.{i}": (2,) for i in range(4)}}))


def test_embeddings_beside_a_lora_and_stray_tensors_are_told(tmp_path):
    style = read_style(file(tmp_path, {**PAIR, "bundle_emb.ohwx.string_to_param.*": (2, 768), "extra.thing": (3,)}))
    assert style.notes == ("1 tensors have no meaning here: extra.thing.", "Its embeddings are not used: ohwx.")


def model(folder, shapes):
    (folder / "unet").mkdir(parents=True)
    save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, folder / "unet" / "model.safetensors")
    return stable_diffusion("mine", "Mine", "sd15", WeightSource(path=folder))


def test_shapes_are_compared_with_the_model(tmp_path):
    path = file(tmp_path, PAIR)
    fitting = model(tmp_path / "a", {f"{LAYER}.weight": (64, 768), "conv_in.weight": (4, 4, 3, 3)})
    narrow = model(tmp_path / "b", {f"{LAYER}.weight": (32, 768)})
    other = model(tmp_path / "c", {"conv_in.weight": (4, 4, 3, 3)})
    assert check_lora(path, [fitting]).share == check_lora(path, [narrow, fitting]).share == 1
    with pytest.raises(ModelUnavailable, match="other shapes there"):
        check_lora(path, [narrow])
    with pytest.raises(ModelUnavailable, match="only 0 of its 1 layers are there"):
        check_lora(path, [other])


def test_a_folder_outweighs_nothing_that_layers_say(tmp_path):
    path = file(tmp_path / "sdxl", PAIR)
    assert [style.family for style in scan_styles(tmp_path)] == ["sd15"]
    assert read_style(path, "sdxl").family == "sd15"


@pytest.mark.parametrize(("name", "layer"), [
    ("input_blocks.0.0", "conv_in"), ("input_blocks.3.0.op", "down_blocks_0_downsamplers_0_conv"),
    ("input_blocks.1.0.in_layers.2", "down_blocks_0_resnets_0_conv1"), ("output_blocks.2.1.conv", "up_blocks_0_upsamplers_0_conv"),
    ("output_blocks.5.2.conv", "up_blocks_1_upsamplers_0_conv"), ("middle_block.2.out_layers.3", "mid_block_resnets_1_conv2"),
    ("output_blocks.11.1.transformer_blocks.0.attn2.to_v", "up_blocks_3_attentions_2_transformer_blocks_0_attn2_to_v"),
    ("time_embed.2", "time_embedding_linear_2"), ("label_emb.0.0", "add_embedding_linear_1"), ("out.2", "conv_out"),
])  # fmt: skip
def test_stabilitys_names_are_diffusers_layers(name, layer):
    assert diffusers_layer(name.replace(".", "_")) == layer


@pytest.mark.parametrize("key", [
    "lora_te_text_model_encoder_layers_3_self_attn_q_proj.lora_down.weight",
    "lora_te1_text_model_encoder_layers_3_self_attn_q_proj.lora_down.weight",
    "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
    "text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.down.weight",
    "text_encoder.text_model.encoder.layers.3.self_attn.to_q_lora.down.weight",
    "base_model.model.text_model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
    "text_encoders.clip_l.transformer.text_model.encoder.layers.3.self_attn.q_proj.lora_A.weight",
])  # fmt: skip
def test_text_encoders_under_every_name(key):
    place = parse_key(key)
    assert (place.component, place.layer, place.role) == ("text_encoder", "encoder_layers_3_self_attn_q_proj", "down")


def test_links_are_followed_once_and_capital_endings_read(tmp_path):
    inside = tmp_path / "styles" / "more"
    file(inside, PAIR)
    (inside / "style.safetensors").rename(inside / "INK.SAFETENSORS")
    file(tmp_path / "elsewhere", PAIR)
    try:
        (inside / "back").symlink_to(tmp_path / "styles", target_is_directory=True)
        (tmp_path / "styles" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert sorted(style.name for style in scan_styles(tmp_path / "styles")) == ["INK", "style"]


def test_the_same_name_in_two_folders_is_kept_twice(tmp_path):
    for folder in ("a", "b"):
        file(tmp_path / folder, PAIR)
    assert [style.name for style in distinct(scan_styles(tmp_path))] == ["style", "style-2"]


def test_notes_with_a_byte_order_mark_are_read(tmp_path):
    path = file(tmp_path, PAIR)
    path.with_suffix(".json").write_text(json.dumps({"activation text": "clay figure"}), encoding="utf-8-sig")
    assert read_sidecar(path).trigger == "clay figure"
