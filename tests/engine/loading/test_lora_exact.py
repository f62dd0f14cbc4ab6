"""Every kind of LoRA file gives exactly what the program it comes from computes: PEFT and LyCORIS, on the same networks."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path

import peft
import pytest
import torch
import transformers
from diffusers import UNet2DConditionModel
from lycoris.functional import general, locon, loha, lokr
from lycoris.modules.ia3 import IA3Module
from torch import Tensor, nn

from hypersd_app.engine.loading.lora import StylePatch, fuse, read_factors
from tests.support import lora_files, tiny_models

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Equal up to what single precision leaves of sums taken in another order."""
    torch.testing.assert_close(found, expected, atol=3e-4 * float(expected.abs().max()), rtol=1e-3)


@functools.cache
def small_unet(family: str) -> UNet2DConditionModel:
    torch.manual_seed(5)
    unet = tiny_models.small_unet(768 if family == "sd15" else 2048, family == "sdxl")
    return tiny_models.randomized(unet, 6).eval().requires_grad_(False)


def fresh(family: str) -> UNet2DConditionModel:
    return copy.deepcopy(small_unet(family))


@torch.no_grad()
def output(unet: nn.Module, family: str) -> Tensor:
    random = torch.Generator().manual_seed(1)
    latents = torch.randn(1, 4, 8, 8, generator=random)
    words = torch.randn(1, 5, 768 if family == "sd15" else 2048, generator=random)
    added = {"text_embeds": torch.randn(1, 32, generator=random), "time_ids": torch.ones(1, 6)} if family == "sdxl" else None
    return unet(latents, torch.tensor(500), encoder_hidden_states=words, added_cond_kwargs=added, return_dict=False)[0]


def ours(path: Path, family: str, weight: float = 1.0) -> Tensor:
    """The output with a file patched in; taken off again, every bit is back."""
    unet = fresh(family)
    patch = StylePatch(unet)
    patch.set("style", [(read_factors(path)["unet"], weight)])
    found = output(unet, family)
    patch.clear()
    assert all(torch.equal(value, small_unet(family).state_dict()[name]) for name, value in unet.state_dict().items())
    return found


def by_lycoris(tensors: dict[str, Tensor], family: str) -> Tensor:
    """The output with each layer's weight as LyCORIS' own functions make it."""
    unet = fresh(family)
    for name, module in unet.named_modules():
        prefix = f"lora_unet_{name.replace('.', '_')}."
        parts = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if parts:
            module.weight.data = merged(module, parts)
    return output(unet, family)


@torch.no_grad()
def merged(module: nn.Module, parts: dict[str, Tensor]) -> Tensor:
    if "on_input" in parts:
        ia3 = IA3Module("x", module, train_on_input=bool(parts["on_input"]))
        ia3.weight.data.copy_(parts["weight"])
        return ia3.get_merged_weight()[0].clone()
    weight = module.weight.data + difference(parts).view(module.weight.shape)
    if "dora_scale" in parts:
        lengths = parts["dora_scale"]
        return general.weight_decompose(weight, lengths, 1.0, lengths.shape[0] != 1, backend="torch")
    return weight


def difference(parts: dict[str, Tensor]) -> Tensor:
    """The change by LyCORIS' functions; strength is alpha over rank, 1 where LoKr has no rank."""
    get, torch_only = parts.get, {"backend": "torch"}
    if "diff" in parts:
        return parts["diff"]
    if "lora_up.weight" in parts:
        down, up, mid = (get(f"lora_{way}.weight") for way in ("down", "up", "mid"))
        gamma = float(parts["alpha"]) / len(down) * float(get("scalar", torch.tensor(1.0)))
        return locon.diff_weight(down, up, mid, gamma=gamma, **torch_only)
    if "hada_w1_a" in parts:
        factors = [get(f"hada_{name}") for name in ("w1_b", "w1_a", "w2_b", "w2_a", "t1", "t2")]
        return loha.diff_weight(*factors, gamma=float(parts["alpha"]) / len(parts["hada_w1_b"]), **torch_only)
    factors = [get(f"lokr_{name}") for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")]
    scale = float(parts["alpha"]) / len(parts["lokr_w2_b"]) if "lokr_w2_b" in parts else 1.0
    return lokr.kron_weight(*factors, scale=scale, **torch_only)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("kind", lora_files.KOHYA)
def test_lycoris_computes_the_same(tmp_path, kind, family):
    ends = () if family == "sd15" else (*ATTENTION, "conv1", "conv2", "downsamplers.0.conv")
    tensors = lora_files.kohya_tensors(small_unet(family), lora_files.KOHYA[kind], ends=ends)
    path = lora_files.write(tmp_path / "style.safetensors", tensors)
    expected, plain = by_lycoris(tensors, family), output(small_unet(family), family)
    assert (expected - plain).abs().max() > 0.02
    assert_same(ours(path, family), expected)


def test_norms_and_biases_of_lycoris(tmp_path):
    unet, random, tensors = fresh("sd15"), torch.Generator().manual_seed(2), {}
    for name, module in small_unet("sd15").named_modules():
        flat = f"lora_unet_{name.replace('.', '_')}"
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            tensors[f"{flat}.w_norm"] = lora_files.normal(random, *module.weight.shape)
            tensors[f"{flat}.b_norm"] = lora_files.normal(random, *module.weight.shape)
        elif name.endswith("conv1"):
            tensors[f"{flat}.diff"] = lora_files.normal(random, *module.weight.shape, scale=0.02)
            tensors[f"{flat}.diff_b"] = lora_files.normal(random, *module.bias.shape)
        else:
            continue
        layer = unet.get_submodule(name)
        layer.weight.data += tensors.get(f"{flat}.w_norm", tensors.get(f"{flat}.diff"))
        layer.bias.data += tensors.get(f"{flat}.b_norm", tensors.get(f"{flat}.diff_b"))
    path = lora_files.write(tmp_path / "norms.safetensors", tensors, {"ss_base_model_version": "sd_v1"})
    assert_same(ours(path, "sd15"), output(unet, "sd15"))


def with_adapter(family: str, config: peft.PeftConfig) -> tuple[nn.Module, dict[str, Tensor]]:
    """A UNet with PEFT's own adapter of random values, and the tensors that PEFT saves of it."""
    model = peft.get_peft_model(fresh(family), config)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name or "ia3_l" in name:
                parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=random))
            elif parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=random))
    return model.eval(), {key: value.clone() for key, value in peft.get_peft_model_state_dict(model).items()}


TARGETS = [*ATTENTION, "conv1", "ff.net.2", "proj_in"]
PEFT: dict[str, dict] = {
    "plain": {"r": 4, "lora_alpha": 4},
    "alpha": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "use_rslora": True,
        "alpha_pattern": {"attn1.to_q": 16},
        "rank_pattern": {"to_k": 2, "conv1": 3},
    },
    "dora": {"r": 4, "lora_alpha": 4, "use_dora": True},
    "dora and all": {"r": 4, "lora_alpha": 6, "use_dora": True, "use_rslora": True, "rank_pattern": {"to_v": 2}},
    "bias": {"r": 4, "lora_alpha": 8, "lora_bias": True},
}


def metadata(config: peft.LoraConfig) -> dict[str, object]:
    """As diffusers writes a configuration into a file."""
    fields = json.loads(json.dumps(config.to_dict(), default=sorted))
    return {"lora_adapter_metadata": {f"unet.{name}": value for name, value in fields.items()}}


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("kind", PEFT)
def test_peft_computes_the_same(tmp_path, kind, family):
    targets = TARGETS if kind != "bias" else ["to_out.0", "conv1", "ff.net.2"]  # PEFT gives a bias to layers without one
    config = peft.LoraConfig(target_modules=targets, **PEFT[kind])
    model, tensors = with_adapter(family, config)
    named = {key.replace("base_model.model.", "unet."): value for key, value in tensors.items()}
    path = lora_files.write(tmp_path / "style.safetensors", named, metadata(config))
    assert (output(model, family) - output(small_unet(family), family)).abs().max() > 0.02
    assert_same(ours(path, family), output(model, family))


@pytest.mark.parametrize("config", [
    peft.LoHaConfig(r=4, alpha=4, target_modules=TARGETS),
    peft.LoHaConfig(r=4, alpha=4, target_modules=TARGETS, use_effective_conv2d=True),
    peft.LoKrConfig(r=4, alpha=4, target_modules=TARGETS),
    peft.IA3Config(target_modules=[*ATTENTION, "ff.net.2"], feedforward_modules=["ff.net.2"]),
], ids=["loha", "loha of kernels", "lokr", "ia3"])  # fmt: skip
def test_pefts_other_adapters_compute_the_same(tmp_path, config):
    model, tensors = with_adapter("sd15", config)
    path = lora_files.write(tmp_path / "style.safetensors", tensors)
    assert_same(ours(path, "sd15"), output(model, "sd15"))


@pytest.mark.parametrize("form", lora_files.RENAMED)
def test_names_of_every_program_mean_the_same_layers(tmp_path, form):
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=list(ATTENTION))
    model, tensors = with_adapter("sdxl", config)
    plain = {key.removeprefix("base_model.model."): value for key, value in tensors.items()}
    if form == "stability":  # it has two layers a block, and so has to be told of a UNet that has
        plain = {key: value for key, value in plain.items() if key.startswith("mid_block")}
        model, _ = with_adapter("sdxl", peft.LoraConfig(r=4, lora_alpha=4, target_modules=r"mid_block\..*\.to_(q|k|v|out\.0)"))
        peft.set_peft_model_state_dict(model, {f"base_model.model.{key}": value for key, value in plain.items()})
    path = lora_files.write(tmp_path / "style.safetensors", lora_files.renamed(plain, form))
    assert_same(ours(path, "sdxl"), output(model, "sdxl"))


def test_names_of_two_programs_in_one_file(tmp_path):
    model, tensors = with_adapter("sdxl", peft.LoraConfig(r=4, lora_alpha=4, target_modules=list(ATTENTION)))
    plain = {key.removeprefix("base_model.model."): value for key, value in tensors.items()}
    middle = {key: value for key, value in plain.items() if key.startswith("mid_block")}
    rest = {key: value for key, value in plain.items() if key not in middle}
    mixed = lora_files.renamed(middle, "stability") | lora_files.renamed(rest, "kohya")
    path = lora_files.write(tmp_path / "mixed.safetensors", mixed)
    assert_same(ours(path, "sdxl"), output(model, "sdxl"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_every_precision_is_read(tmp_path, dtype):
    tensors = lora_files.kohya_tensors(small_unet("sd15"), lora_files.lora, ends=ATTENTION)
    stored = {name: value if name.endswith("alpha") else value.to(dtype) for name, value in tensors.items()}
    path = lora_files.write(tmp_path / "style.safetensors", stored)
    same = {name: value.float() for name, value in stored.items()}
    assert_same(ours(path, "sd15"), by_lycoris(same, "sd15"))


@pytest.mark.parametrize("projected", [False, True])
def test_text_encoders_compute_the_same(tmp_path, projected):
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    torch.manual_seed(1)
    encoder = kind(tiny_models.clip_config(32, 32)).eval().requires_grad_(False)
    model = peft.get_peft_model(copy.deepcopy(encoder), peft.LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj", "fc1"]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape))
    prefix = "text_encoder_2." if projected else "text_encoder."
    state = {key.replace("base_model.model.", prefix): value for key, value in peft.get_peft_model_state_dict(model).items()}
    factors = read_factors(lora_files.write(tmp_path / "style.safetensors", state))
    tokens = torch.tensor([[54, 3, 9, 55]])
    expected = model(input_ids=tokens)[0].detach()
    fuse(encoder, factors[prefix.removesuffix(".")])
    assert_same(encoder(input_ids=tokens)[0], expected)


def test_half_a_weight_is_half_the_change_and_none_is_none(tmp_path):
    tensors = lora_files.kohya_tensors(small_unet("sd15"), lora_files.KOHYA["dora"], ends=ATTENTION)
    changes = read_factors(lora_files.write(tmp_path / "style.safetensors", tensors))["unet"]
    name, change = next(iter(changes.items()))
    base = lora_files.layers(small_unet("sd15"))
    weight = next(value for module, value in base.items() if module.replace(".", "_") == name)
    torch.testing.assert_close(change.of(weight, 0.5), change.of(weight) / 2)
    assert not change.of(weight, 0.0).any()
