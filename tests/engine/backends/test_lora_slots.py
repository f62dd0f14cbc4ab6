"""Styles as inputs of a converted graph: every kind of change gives what patched weights give."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hypersd_app.engine.loading.lora import StylePatch, read_factors
from tests.support import lora_files, tiny_models

pytest.importorskip("openvino")
from hypersd_app.engine.backends.openvino.backend import flat_name, slot_inputs
from hypersd_app.engine.backends.openvino.graphs import SlotPlan, UNetGraph, residual_shapes

ENDS = ("attn1.to_q", "attn2.to_v", "conv1", "proj_in", "conv_shortcut")


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(3)
    return tiny_models.randomized(tiny_models.small_unet(32), 4).eval().requires_grad_(False)


def mixed_file(unet, folder):
    """LoRA, LoHa, DoRA, (IA)^3, differences of weights and biases, and of norms, each on other layers."""
    kinds = ("lora", "loha", "dora", "ia3", "lokr", "tucker")
    tensors, random = {}, torch.Generator().manual_seed(1)
    for i, (name, weight) in enumerate(lora_files.layers(unet, ENDS).items()):
        made = lora_files.KOHYA[kinds[i % len(kinds)]](name, weight, random)
        tensors |= {f"lora_unet_{name.replace('.', '_')}.{end}": value for end, value in made.items()}
    for name, module in unet.named_modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            tensors[f"lora_unet_{name.replace('.', '_')}.w_norm"] = lora_files.normal(random, *module.weight.shape)
            tensors[f"lora_unet_{name.replace('.', '_')}.b_norm"] = lora_files.normal(random, *module.weight.shape)
        elif name.endswith(("conv2", "ff.net.2")):
            tensors[f"lora_unet_{name.replace('.', '_')}.diff_b"] = lora_files.normal(random, *module.bias.shape)
    return lora_files.write(folder / "style.safetensors", tensors, {"ss_base_model_version": "sd_v1"})


@torch.no_grad()
def test_slots_compute_what_patched_weights_do(unet, tmp_path):
    changes = read_factors(mixed_file(unet, tmp_path))["unet"]
    latents, hidden = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 32)
    patched = copy.deepcopy(unet)
    StylePatch(patched).set("style", [(changes, 0.7), (changes, 0.4)])
    expected = patched(latents, torch.tensor(500), encoder_hidden_states=hidden, return_dict=False)[0]

    shapes = {name.removesuffix(".weight"): tuple(value.shape) for name, value in unet.state_dict().items()}
    names = {flat_name(name): name for name in shapes}
    named = {names[flat]: change for flat, change in changes.items()}
    plan = SlotPlan().grown([named, named])
    assert plan.modules and plan.whole and plan.grown([named]) == plan
    values = {name.removesuffix(".weight"): value for name, value in unet.state_dict().items()}
    fed = [torch.from_numpy(np.array(array)) for array in slot_inputs(shapes, plan, [(named, 0.7), (named, 0.4)], values)]
    graph = UNetGraph(copy.deepcopy(unet), plan)
    none = [torch.zeros(1, *shape) for shape in residual_shapes(unet.config, [], 8, 8)]
    found = graph(latents, unet.time_proj(torch.tensor([500])), hidden, [*none, *fed])
    assert (expected - unet(latents, torch.tensor(500), encoder_hidden_states=hidden, return_dict=False)[0]).abs().max() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
