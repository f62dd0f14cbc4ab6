"""What a file is that is no style for the models here, so that it is refused by its right name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Shape = tuple[int, ...]
HERE = "styles here are LoRA files for Pocket, SD1.5 and SDXL"
FOREIGN = (  # a pattern of tensor names -> what such a file is, and what to do; the first counts
    (r"(^|[._])(control_model|input_hint_block|controlnet_cond_embedding|controlnet_down_blocks|lora_controlnet)[._]",
     "a ControlNet, no style: {here}"),
    (r"^(adapter\.body|body\.\d+\.block\d)", "a T2I-Adapter, no style: {here}"),
    (r"^(ip_adapter|image_proj)\.", "an IP-Adapter, no style: {here}"),
    (r"motion_modules?[._]", "a motion module for AnimateDiff, no style: {here}"),
    (r"(^|[._])(double_blocks|single_blocks|single_transformer_blocks)[._]\d", "made for FLUX or a model built like it: {here}"),
    (r"(^|[._])joint_blocks[._]\d|transformer_blocks[._]\d+[._]attn[._]add_[kqv]_proj", "made for SD3: {here}"),
    (r"^(diffusion_model\.|lora_unet_|transformer\.|base_model\.model\.)?(blocks|layers|transformer_blocks)[._]\d",
     "made for another model, a transformer: {here}"),
    (r"lora_(prior|decoder)_unet_|down_blocks[._]\d[._]\d+[._]",
     "made for Stable Cascade or another model with other blocks: {here}"),
)  # fmt: skip
UNUSED_ADAPTERS = (
    (r"\.boft_", "BOFT"), (r"\.oft_(blocks|diag|r|R)\b|\.oft_", "OFT"), (r"\.glora_|\.[ab][12]\.weight$", "GLoRA"),
    (r"\.vera_", "VeRA"), (r"\.lora_E\b|\.ranknum\b", "AdaLoRA"), (r"\.hra_u\b", "HRA"), (r"\.poly_lora_", "Poly"),
    (r"\.bone_|\.miss_", "Bone"), (r"\.(q_layer|p_layer|lambda_layer)\b", "T-LoRA"), (r"\.set_weight$", "whole-weight"),
    (r"\.fourierft_|\.waveft_|\.loha_spectrum", "Fourier"),
    (r"\.(weight_scale|scale_weight|scale_input)$", "scaled fp8"),
)  # fmt: skip
VAE = re.compile(r"^(first_stage_model\.)?(encoder|decoder|quant_conv|post_quant_conv)\.")
CHECKPOINT = re.compile(r"^(model\.diffusion_model|cond_stage_model|conditioner\.embedders)\.")
UNET = re.compile(r"^(unet\.|model\.)?(down_blocks|up_blocks|mid_block|input_blocks|conv_in|conv_out)\b")
TEXT_WIDTHS = (768, 1024, 1280)  # of a token's embedding


def foreign_lora(names: Iterable[str]) -> str:
    """What a file with these tensors is that no LoRA of the models here has, as the end of "... is"; "" if nothing."""
    lines = "\n".join(names)  # one search a pattern, not one a name
    return next((meaning.format(here=HERE) for pattern, meaning in FOREIGN if re.search(pattern, lines, re.MULTILINE)), "")


def unused_adapter(names: Iterable[str]) -> tuple[str, str]:
    """Kind and first tensor of an adapter that is known but not computed here; ("", "") if there is none."""
    lines = "\n".join(names)
    for pattern, kind in UNUSED_ADAPTERS:
        if found := re.search(pattern, lines, re.MULTILINE):
            return kind, lines[lines.rfind("\n", 0, found.start() + 1) + 1 :].partition("\n")[0]
    return "", ""


def without_adapters(shapes: Mapping[str, Shape]) -> str:
    """What a file without any adapter is, as the end of "... is"; "" if it can't be told."""
    if is_embedding(shapes):
        return "a textual inversion embedding, no LoRA: put it into the folder `embeddings` and its name into the prompt"
    if all(VAE.match(name) for name in shapes):
        return "a VAE, no style: it belongs into a model's own folder"
    if any(CHECKPOINT.match(name) for name in shapes):
        return "a whole model: it belongs into the models folder"
    if any(UNET.match(name) for name in shapes):
        return "a whole UNet, no LoRA: it belongs into a model's own folder"
    return ""


def is_embedding(shapes: Mapping[str, Shape]) -> bool:
    """Whether all tensors are embeddings of a few tokens."""
    if len(shapes) > len(TEXT_WIDTHS):
        return False
    named = {"emb_params", "clip_l", "clip_g", "string_to_param", "string_to_param.*"}
    widths = all(shape and shape[-1] in TEXT_WIDTHS and len(shape) <= 2 for shape in shapes.values())
    return bool(shapes) and (named.issuperset(shapes) or (widths and all("lora" not in name.lower() for name in shapes)))
