"""Layers of the models: as their files say, and, where these are not on this machine, as their kind always has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from hypersd_app.catalog.legacy_keys import current_key
from hypersd_app.catalog.lora.keys import TEXT, TEXT_2, UNET, Key, diffusers_layer
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import ModelSpec
from hypersd_app.errors import ModelUnavailable

Shape = tuple[int, ...]
BIAS = ".bias"
Network = Mapping[str, Shape]  # parameter, as `Adapter.parameter` names it -> shape
Networks = Mapping[str, Network]  # component -> network; components that are not known are missing

BLOCK = (
    r"(resnets_\d_(norm1|norm2|conv1|conv2|time_emb_proj|conv_shortcut)"
    r"|attentions_\d_(norm|proj_in|proj_out|transformer_blocks_\d_"
    r"(norm[123]|attn[12]_(to_q|to_k|to_v|to_out_0|norm_[qk])|ff_net_(0_proj|2)))"
    r"|(down|up)samplers_0_conv)"
)
UNET_LAYER = re.compile(
    rf"((down|up)_blocks_[0-3]_{BLOCK}|mid_block_{BLOCK}|conv_in|conv_out|conv_norm_out"
    r"|(time|add)_embedding_(linear_[12]|cond_proj)|layout_.+)$"
)
TEXT_LAYER = re.compile(
    r"(encoder_layers_\d\d?_(self_attn_(q|k|v|out)_proj|mlp_fc[12]|layer_norm[12])|encoder_layer_\d\d?_.+"
    r"|embeddings_\w+|final_layer_norm|text_projection)$"
)
CHECKPOINT_PARTS = (  # where a single-file checkpoint keeps a network
    ("model.diffusion_model.", UNET), ("cond_stage_model.transformer.", TEXT), ("conditioner.embedders.0.transformer.", TEXT),
)  # fmt: skip


def is_known_layer(place: Key) -> bool:
    """Whether a UNet or a text encoder of any model here may have such a layer, by its name."""
    return bool((UNET_LAYER if place.component == UNET else TEXT_LAYER).match(place.layer))


def model_networks(model: ModelSpec) -> Networks:
    """The networks of a model that lies on this machine, {} where it does not."""
    path = model.source.path
    if path is None:
        return {}
    if path.is_dir():
        folders = {component: path / component for component in (UNET, TEXT, TEXT_2)}
        found = {component: _folder_network(folder) for component, folder in folders.items()}
        return {component: network for component, network in found.items() if network}
    return _checkpoint_networks(path) if path.is_file() else {}


def _folder_network(folder: Path) -> Network:
    network: dict[str, Shape] = {}
    for path in sorted(folder.glob("*.safetensors")):
        network |= _file_network(path, path.stat().st_mtime_ns)
    return network


@lru_cache(maxsize=64)
def _file_network(path: Path, _changed: int) -> Network:
    return network_of(read_header(path).shapes)


def _checkpoint_networks(path: Path) -> Networks:
    shapes = read_header(path).shapes
    found = {}
    for prefix, component in CHECKPOINT_PARTS:
        part = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        if part:
            found[component] = {diffusers_parameter(name): shape for name, shape in network_of(part).items()}
    return found


def diffusers_parameter(name: str) -> str:
    """diffusers' name of a parameter that may have Stability's."""
    return diffusers_layer(name.removesuffix(BIAS)) + (BIAS if name.endswith(BIAS) else "")


def network_of(shapes: Mapping[str, Shape]) -> Network:
    """Weights and biases of a network by flat names."""
    network = {}
    for name, shape in shapes.items():
        if name.endswith((".weight", BIAS)):
            module, _, which = current_key(name).rpartition(".")
            network[parameter_name(module, which)] = tuple(shape)
    return network


def parameter_name(module: str, which: str = "weight") -> str:
    """How a module's weight or bias is called in a `Network`."""
    flat = module.replace(".", "_").removeprefix("text_model_")
    return flat if which == "weight" else f"{flat}.{which}"


def known_networks(models: Iterable[ModelSpec]) -> list[Networks]:
    """The networks of those models that lie on this machine; damaged ones are left to whoever draws with them."""
    found = []
    for model in models:
        try:
            if networks := model_networks(model):
                found.append(networks)
        except (ModelUnavailable, OSError):
            continue
    return found
