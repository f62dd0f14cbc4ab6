"""Random LoRA files of every kind, whole and damaged: what is accepted changes all it says, and is taken off to the bit."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from hypersd_app.catalog.builtin import stable_diffusion
from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.scanning.scan import read_style
from hypersd_app.catalog.specs import WeightSource
from hypersd_app.engine.loading.lora import StylePatch, read_factors
from hypersd_app.errors import ModelUnavailable
from tests.support import lora_files, tiny_models

FORMS = sorted({*lora_files.RENAMED} - {"stability", "attention processors", "kohya"})
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn)
DAMAGE = ("half", "stray", "shape", "unknown layer", "alphas", "dimension", "empty")
TEXT_PREFIX = {"lora_unet_": "lora_te_"}


@functools.cache
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(2)
    unet = tiny_models.small_unet(768).requires_grad_(False)
    encoder = transformers.CLIPTextModel(tiny_models.clip_config(16, 16)).requires_grad_(False)
    return {"unet": unet, "text_encoder": encoder}


@functools.cache
def model():
    folder = Path(tempfile.mkdtemp())
    for name, network in networks().items():
        (folder / name).mkdir()
        state = {key: value.contiguous().clone() for key, value in network.state_dict().items()}
        save_file(state, folder / name / "model.safetensors")
    return stable_diffusion("mine", "Mine", "sd15", WeightSource(path=folder))


@st.composite
def files(draw) -> tuple[dict[str, Tensor], str]:
    """The tensors of a file, and what is wrong with it, "" for nothing."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    kind = draw(st.sampled_from(sorted(lora_files.KOHYA)))
    unet = lora_files.layers(networks()["unet"])
    chosen = draw(st.lists(st.sampled_from(sorted(unet)), min_size=1, max_size=6, unique=True))
    if draw(st.booleans()):
        form = draw(st.sampled_from(FORMS))
        plain = {}
        for name in chosen:
            made = lora_files.lora(name, unet[name], random)
            plain |= {f"{name}.lora_A.weight": made["lora_down.weight"], f"{name}.lora_B.weight": made["lora_up.weight"]}
        tensors = lora_files.renamed(plain, form)
    else:
        make = lora_files.KOHYA[kind]
        named = [(f"lora_unet_{name.replace('.', '_')}", name, unet[name]) for name in chosen]
        if draw(st.booleans()):
            text = lora_files.layers(networks()["text_encoder"])
            named += [(f"lora_te_text_model_{name.replace('.', '_')}", name, text[name]) for name in sorted(text)[:2]]
        tensors = {f"{flat}.{end}": value for flat, name, weight in named for end, value in make(name, weight, random).items()}
    dtype = draw(st.sampled_from(PRECISIONS))
    tensors = {key: value.to(dtype) if value.is_floating_point() and value.ndim else value for key, value in tensors.items()}
    damage = draw(st.sampled_from(("", "", *DAMAGE)))
    return damaged(tensors, damage, draw(st.integers(0, 1000))), damage


def damaged(tensors: dict[str, Tensor], damage: str, at: int) -> dict[str, Tensor]:
    names = sorted(tensors)
    name = names[at % len(names)]
    found = dict(tensors)
    if damage == "half":
        del found[name]
    elif damage == "stray":
        found["unet.notes"], found["bundle_emb.x.string_to_param.*"] = torch.ones(3), torch.ones(2, 768)
    elif damage == "shape" and found[name].ndim:
        found[name] = torch.cat([found[name].float(), found[name].float()], dim=at % found[name].ndim)
    elif damage == "dimension":
        found[name] = found[name].float().unsqueeze(0)
    elif damage == "unknown layer":
        first = name.rsplit(".", 2)[0]
        found = {key.replace(first, first.replace("blocks", "blobs") + "_9"): value for key, value in found.items()}
    elif damage == "alphas":
        found[name.rsplit(".", 2)[0] + ".alpha"] = torch.ones(2)
    elif damage == "empty" and found[name].ndim:
        found[name] = found[name][:0]
    return found or {"x": torch.ones(1)}


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(files())
def test_what_is_accepted_acts_in_full_and_comes_off(made):
    tensors, damage = made
    with tempfile.TemporaryDirectory() as folder:
        path = lora_files.write(Path(folder) / "style.safetensors", tensors)
        try:
            fitting = check_lora(path, [model()])
            read_style(path, "sd15", bases=[model()])
        except ModelUnavailable as error:
            assert damage, f"a sound file is refused: {error}"
            return
        factors = read_factors(path)
    for name, network in networks().items():
        before = {key: value.clone() for key, value in network.state_dict().items()}
        patch = StylePatch(network)
        patch.set("style", [(factors[name], 1.0)])
        after = network.state_dict()
        changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
        expected = {adapter.parameter for adapter in fitting.placed if adapter.place.component == name}
        assert len(changed) == len(expected) and all(value.isfinite().all() for value in after.values())
        patch.clear()
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert fitting.placed
