"""Weights saved under old sub-module names load on every path and give the same numbers."""

import copy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from hypersd_app.catalog.legacy_keys import current_key, current_keys
from hypersd_app.engine.loading.lora import fuse, read_factors
from hypersd_app.models.controlnet import DrawnLayout, PocketControlNet
from hypersd_app.models.layout import LayoutPrior
from hypersd_app.models.pocket import PocketUNet, new_unet
from hypersd_app.settings import ROOT
from hypersd_app.training.core.loop import RunFolder, TrainingState
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.core.optim import ExponentialAverage, build_optimizers

ASSETS = ROOT / "assets" / "pocket"
STYLE = ASSETS / "styles" / "blob.safetensors"
# From the commit before the renaming: mean, standard deviation and the first value of each output.
RECORDED = {
    "layout": (-0.0224, 0.56516, 0.37384),
    "unet": (-0.00364, 0.65046, -0.42637),
    "drawn": (-0.02873, 1.14802, 0.19223),
    "style": (0.00237, 0.47324, 0.3707),
}
OLD_NAMES = {
    "token_encoder": "words", "whole_pooling": "read_whole", "whole_head": "draw_whole", "part_pooling": "read_things",
    "part_head": "draw_thing", "patch_embed": "look", "layout_embed": "expect", "text_proj": "listen", "dwconv": "around",
    "film": "told", "positions": "places", "qkv": "attend", "bottleneck": "narrow",
}  # fmt: skip
CHANGED_BY_MODULE = {"words": {"in_proj": "enter", "out_proj": "leave"}, "draw_": {"in_proj": "read", "out_proj": "draw"}}


def old_key(key):
    """The name a weight had, worked out independently of the map under test."""
    parts = [OLD_NAMES.get(part, part) for part in key.split(".")]
    for module, children in CHANGED_BY_MODULE.items():
        if any(part.startswith(module) for part in parts):
            parts = [children.get(part, part) for part in parts]
    if "words" in parts or "blocks" in parts:
        parts = ["think" if part == "mlp" else part for part in parts]
    return ".".join(parts)


def old(state):
    return {old_key(name): value.detach().clone() for name, value in state.items()}


def randomized(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.05)
    return module


def inputs():
    generator = torch.Generator().manual_seed(0)
    x, text = torch.randn(2, 16, 16, 16, generator=generator), torch.randn(2, 12, 384, generator=generator)
    text[1, 7:] = 0
    return x, torch.tensor([999, 400]), text, torch.rand(2, 3, 256, 256, generator=generator).gt(0.9).float()


@torch.no_grad()
def shipped_outputs():
    x, t, text, control = inputs()
    unet = PocketUNet.from_pretrained(ASSETS / "unet").float()
    controlnet = PocketControlNet.from_pretrained(ASSETS / "controlnet").float()
    layout = unet.layout(text)
    found = {"layout": layout, "unet": unet(x, t, text, return_dict=False)[0], "drawn": controlnet.drawn(control, text, layout)}
    fuse(unet, read_factors(STYLE)["unet"])
    return {**found, "style": unet.layout(text)}


def test_shipped_weights_give_what_they_gave_before_the_renaming():
    found = shipped_outputs()
    assert found.keys() == RECORDED.keys()
    for name, value in found.items():
        figures = (float(value.mean()), float(value.std()), float(value.flatten()[0]))
        assert figures == pytest.approx(RECORDED[name], rel=1e-3, abs=1e-4), name


@pytest.mark.parametrize("make", [LayoutPrior, DrawnLayout])
def test_state_dicts_with_old_names_load(make):
    module, other = randomized(make()), make()
    state = old(module.state_dict())
    assert not state.keys() & {key for key in module.state_dict() if old_key(key) != key}
    other.load_state_dict(state)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items())
    state.pop(next(iter(state)))
    with pytest.raises(RuntimeError, match="Missing key"):
        make().load_state_dict(state)


def test_a_model_folder_with_old_names_loads(tmp_path):
    unet = randomized(new_unet((64, 64, 64)))
    unet.save_pretrained(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    save_file(old(load_file(file)), file, {"format": "pt"})
    assert any("draw_whole" in key for key in load_file(file))
    again = PocketUNet.from_pretrained(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in unet.state_dict().items())
    again.load_state_dict(old(randomized(unet).state_dict()))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in unet.state_dict().items())


def test_a_checkpoint_with_old_names_resumes(tmp_path):
    prior = randomized(LayoutPrior())
    state = TrainingState(
        module=prior, optimizers=build_optimizers(prior, "adamw", 1e-3), ema=ExponentialAverage(prior, 0.9), step=7
    )
    run = RunFolder(tmp_path)
    run.save(state)
    file = tmp_path / "checkpoint.safetensors"
    tensors = load_file(file)
    renamed = {
        f"{part}/{old_key(name)}": value
        for part, name in (key.split("/") for key in tensors)
        for value in [tensors[f"{part}/{name}"]]
    }
    save_file(renamed, file, {"step": "7", "pictures": "0"})
    fresh = LayoutPrior()
    other = TrainingState(module=fresh, optimizers=build_optimizers(fresh, "adamw", 1e-3), ema=ExponentialAverage(fresh, 0.9))
    assert run.resume(other) and other.step == 7
    assert all(torch.equal(a, b) for a, b in zip(prior.parameters(), fresh.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(state.ema.average, other.ema.average, strict=True))


def test_lora_files_with_old_names_act_alike_through_every_loader():
    text = inputs()[2]
    unet = PocketUNet.from_pretrained(ASSETS / "unet").float()
    before = unet.layout(text)
    engine, peft, pipeline = (copy.deepcopy(unet) for _ in range(3))
    fuse(engine, read_factors(STYLE)["unet"])
    fuse_lora(peft, STYLE)
    StableDiffusionPipeline.load_lora_into_unet(load_file(STYLE), network_alphas=None, unet=pipeline)
    styled = engine.layout(text)
    assert (styled - before).abs().max() > 0.05
    torch.testing.assert_close(peft.layout(text), styled, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pipeline.layout(text), styled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "key",
    [
        "down_blocks.0.resnets.1.conv1.weight", "unet.up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
        "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "layout.place.bias",
        "text_model.encoder.layers.0.mlp.fc1.weight",
    ],
)  # fmt: skip
def test_other_names_stay_as_they_are(key):
    assert current_key(key) == key


def test_new_names_are_mapped_to_themselves():
    for module in (LayoutPrior(), DrawnLayout()):
        assert list(current_keys(module.state_dict())) == list(module.state_dict())
