"""UNets of any Stable Diffusion shape behind one call, and their encoder half as a reader of noisy latents."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from hypersd_app.models.layout import without_code
from hypersd_app.models.pocket import PocketUNet
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.device import in_float32, memory_format

_LAYOUT = re.compile(r"(^|\.)layout\.")


class UNetDenoiser(nn.Module):
    """(x_t, t, conditioning) -> prediction, for the UNets of Pocket, SD1.5 and SDXL."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet
        in_float32(unet.conv_out)

    def forward(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        x = x.contiguous(memory_format=memory_format())
        return self.unet(x, t, conditioning.embeddings, added_cond_kwargs=conditioning.added, return_dict=False)[0]

    def features(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> list[Tensor]:
        """What leaves each downward block and the middle, (B, C_i, H_i, W_i): half a forward pass."""
        unet, text = self.unet, conditioning.embeddings
        if isinstance(unet, PocketUNet):
            x, text = unet.with_layout(x, text), without_code(text, unet.layout.size)
        time = unet.time_embedding(unet.get_time_embed(sample=x, timestep=t))
        added = unet.get_aug_embed(emb=time, encoder_hidden_states=text, added_cond_kwargs=conditioning.added)
        time = time if added is None else time + added
        text = unet.process_encoder_hidden_states(encoder_hidden_states=text, added_cond_kwargs=conditioning.added)
        x = unet.conv_in(x.contiguous(memory_format=memory_format()))
        found = []
        for block in unet.down_blocks:
            x, _ = block(x, time, encoder_hidden_states=text) if _reads_text(block) else block(x, time)
            found.append(x)
        middle = unet.mid_block
        return [*found, middle(x, time, encoder_hidden_states=text) if _reads_text(middle) else middle(x, time)]

    @property
    def feature_channels(self) -> list[int]:
        """C_i of `features`."""
        widths = list(self.unet.config.block_out_channels)
        return [*widths, widths[-1]]


def _reads_text(block: nn.Module) -> bool:
    return bool(getattr(block, "has_cross_attention", False))


def weight_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Linear and convolution layers by name: all whose change a LoRA can carry. A layout prior stays as it is."""
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    return {name: layer for name, layer in layers.items() if not _LAYOUT.search(name)}


def train_weights_only(module: nn.Module) -> None:
    """Let linear and convolution weights learn and nothing else, so that a LoRA can say what was learnt."""
    module.requires_grad_(False)
    for layer in weight_layers(module).values():
        layer.weight.requires_grad_(True)
