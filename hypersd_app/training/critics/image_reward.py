"""ImageReward (Xu et al., 2023): BLIP reads image and prompt together, a small network scores what it understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoTokenizer, BlipConfig, BlipTextModel, BlipVisionModel

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.critics.aesthetic import score_head
from hypersd_app.training.critics.clip_pixels import clip_pixels

WEIGHTS = "image_reward.safetensors"
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072  # of its raw scores, as published
TOKENS = 35
# BLIP's own names, in the order they are replaced, as transformers' converter does.
_RENAMES = (
    (r"^blip\.", ""), (r"^visual_encoder\.blocks", "vision.encoder.layers"), (r"^visual_encoder\.norm", "vision.post_layernorm"),
    (r"^visual_encoder\.patch_embed\.proj", "vision.embeddings.patch_embedding"),
    (r"^visual_encoder\.pos_embed", "vision.embeddings.position_embedding"),
    (r"^visual_encoder\.cls_token", "vision.embeddings.class_embedding"),
    (r"^(vision\..*)\.attn\.proj", r"\1.self_attn.projection"), (r"^(vision\..*)\.attn", r"\1.self_attn"),
    (r"^(vision\..*)\.norm([12])", r"\1.layer_norm\2"), (r"^text_encoder\.", "text."), (r"^mlp\.layers\.", "head."),
)  # fmt: skip


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ImageReward's published names as this module's; what only its training needed is left out."""
    found = {}
    for name, value in tensors.items():
        for pattern, replacement in _RENAMES:
            name = re.sub(pattern, replacement, name)
        if name.startswith(("vision.", "text.", "head.")) and not name.endswith("position_ids"):
            found[name] = value
    return found


class ImageReward(nn.Module):
    """A human's preference, about normal over its training images, from a folder.

    It holds `image_reward.safetensors` (the published weights, converted: pickles are not read), `config.json` (of
    BLIP large, as transformers writes it) and the tokenizer's files, with its two added words. Raises ModelUnavailable
    where a file is missing or does not fit.
    """

    title = "ImageReward"

    def __init__(self, folder: Path, enough: float = 2.0) -> None:
        super().__init__()
        if not (folder / WEIGHTS).exists() or not (folder / "config.json").exists():
            raise ModelUnavailable(f"ImageReward needs {folder}/{WEIGHTS}, {folder}/config.json and a tokenizer.")
        config = BlipConfig.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.vision = BlipVisionModel(config.vision_config)
        self.text = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.head = score_head(config.text_config.hidden_size)
        try:
            self.load_state_dict(renamed(load_file(folder / WEIGHTS)))
        except RuntimeError as error:
            raise ModelUnavailable(f"{folder / WEIGHTS} does not fit {folder}/config.json: {error}") from error
        self.eval().requires_grad_(False)
        self.enough = enough

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        seen = self.vision(clip_pixels(images.float(), self.vision.config.image_size)).last_hidden_state
        tokens = self.tokenizer(list(captions), padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
        understood = self.text(
            input_ids=tokens["input_ids"].to(seen.device),
            attention_mask=tokens["attention_mask"].to(seen.device),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device),
        ).last_hidden_state[:, 0]
        return (self.head(understood.float()).squeeze(1) - MEAN) / DEVIATION
