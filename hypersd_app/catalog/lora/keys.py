"""Names of tensors in LoRA files, whoever wrote them, to one form: the network, its layer, and the tensor's role."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from hypersd_app.catalog.legacy_keys import current_key

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
COMPONENTS = (UNET, TEXT, TEXT_2)
ADAPTER = r"(?:\.[^.]+)?"  # PEFT's adapter name, often ".default"
ROLES = (  # the end of a tensor's name -> its role; the first that matches counts
    (re.compile(rf"\.lora_(?:B|up){ADAPTER}\.bias$"), "up_bias"),
    (re.compile(rf"\.lora_(?:A|down){ADAPTER}\.weight$"), "down"),
    (re.compile(rf"\.lora_(?:B|up){ADAPTER}\.weight$"), "up"),
    (re.compile(r"\.lora_A\.default$"), "down"),
    (re.compile(r"\.lora_B\.default$"), "up"),
    (re.compile(r"[._]lora(?:_linear_layer)?\.down\.weight$"), "down"),
    (re.compile(r"[._]lora(?:_linear_layer)?\.up\.weight$"), "up"),
    (re.compile(r"\.lora_mid\.weight$"), "mid"),
    (re.compile(rf"\.lora_embedding_A{ADAPTER}$"), "embedding_down"),
    (re.compile(rf"\.lora_embedding_B{ADAPTER}$"), "embedding_up"),
    (re.compile(rf"\.lora_magnitude_vector{ADAPTER}(?:\.weight)?$"), "magnitude"),
    (re.compile(r"\.dora_scale$"), "dora_scale"),
    (re.compile(r"(?:[._]lora(?:_linear_layer)?)?\.alpha$"), "alpha"),
    (re.compile(r"\.scalar$"), "scalar"),
    (re.compile(r"\.(?:diff|w_norm)$"), "diff"),
    (re.compile(r"\.(?:diff_b|b_norm)$"), "diff_b"),
    (re.compile(rf"\.hada_(w1_a|w1_b|w2_a|w2_b|t1|t2){ADAPTER}$"), "hada_"),
    (re.compile(rf"\.lokr_(w1_a|w1_b|w2_a|w2_b|w1|w2|t2){ADAPTER}$"), "lokr_"),
    (re.compile(rf"\.ia3_l{ADAPTER}$"), "ia3_l"),
    (re.compile(r"\.on_input$"), "on_input"),
    (re.compile(r"\.weight$"), "weight"),  # (IA)^3's, where an `on_input` stands beside it
)
FLAT_PREFIXES = (  # kohya's: dots are underscores
    ("lora_unet_", UNET), ("lora_te1_", TEXT), ("lora_te2_", TEXT_2), ("lora_te_", TEXT), ("lycoris_", UNET),
)  # fmt: skip
WRAPPERS = ("base_model.model.", "base_model.", "_orig_mod.", "module.", "model.", "transformer.")
DOTTED_PREFIXES = (
    ("lora_unet.", UNET), ("unet.", UNET), ("diffusion_model.", UNET), ("text_encoder_2.", TEXT_2), ("text_encoder.", TEXT),
    ("text_encoders.", TEXT), ("clip_l.", TEXT), ("clip_g.", TEXT_2), ("lora_te1.", TEXT), ("lora_te2.", TEXT_2),
    ("te1.", TEXT), ("te2.", TEXT_2), ("te.", TEXT),
)  # fmt: skip
TEXT_NAMES = ("text_model.", "encoder.layers.", "embeddings.", "text_projection", "final_layer_norm")
TEXT_ATTENTION = re.compile(r"_self_attn_to_(q|k|v|out)$")  # diffusers, 2023


@dataclass(frozen=True)
class Key:
    """One tensor's place. `layer` has underscores for dots, the only form that every kind of file can be brought to."""

    component: str
    layer: str
    role: str
    module: str  # as the file writes it, without prefixes


@lru_cache(maxsize=65536)  # thousands of files share the same few thousand names
def parse_key(key: str) -> Key | None:
    """The place of a tensor, None if its name is none of an adapter's."""
    found, role = next(((match, role) for pattern, role in ROLES if (match := pattern.search(key))), (None, ""))
    if found is None:
        return None
    role += found.group(1) if found.groups() else ""
    component, module = _component(key[: found.start()])
    return Key(component, _layer(component, module), role, module) if module else None


def _component(name: str) -> tuple[str, str]:
    for prefix, component in FLAT_PREFIXES:
        if name.startswith(prefix):
            return component, name.removeprefix(prefix)
    component, stripped = "", True
    while stripped:
        stripped = False
        for prefix in WRAPPERS:
            if name.startswith(prefix):
                name, stripped = name.removeprefix(prefix), True
        for prefix, meant in DOTTED_PREFIXES:
            if name.startswith(prefix):
                name, component, stripped = name.removeprefix(prefix), meant, True
    return component or (TEXT if name.startswith(TEXT_NAMES) else UNET), name


def _layer(component: str, module: str) -> str:
    flat = current_key(module.replace(".processor.", ".")).replace(".", "_")
    if component != UNET:
        flat = flat.removeprefix("text_model_")
        return TEXT_ATTENTION.sub(lambda found: f"_self_attn_{found.group(1)}_proj", flat)
    flat = diffusers_layer(flat)
    return f"{flat}_0" if flat.endswith("_to_out") else flat


RESNET = {  # Stability's names in a residual block and diffusers'
    "in_layers_0": "norm1", "in_layers_2": "conv1", "emb_layers_1": "time_emb_proj", "out_layers_0": "norm2",
    "out_layers_3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
ENDS = {
    "input_blocks_0_0": "conv_in", "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1", "label_emb_0_2": "add_embedding_linear_2", "out_0": "conv_norm_out",
    "out_2": "conv_out",
}  # fmt: skip
MIDDLE = {"0": "mid_block_resnets_0", "1": "mid_block_attentions_0", "2": "mid_block_resnets_1"}
BLOCK = re.compile(r"(input_blocks|output_blocks)_(\d+)_(\d)_(.+)$")
MIDDLE_BLOCK = re.compile(r"middle_block_([012])_(.+)$")
PER_LEVEL = 3  # SD1.5 and SDXL: two layers and a down- or upsampler, or three layers


def diffusers_layer(flat: str) -> str:
    """diffusers' name of a UNet layer that may have Stability's; underscores for dots in both."""
    if flat in ENDS:
        return ENDS[flat]
    if found := MIDDLE_BLOCK.match(flat):
        return f"{MIDDLE[found.group(1)]}_{RESNET.get(found.group(2), found.group(2))}"
    found = BLOCK.match(flat)
    if found is None:
        return flat
    side, number, part, rest = found.group(1), int(found.group(2)), found.group(3), found.group(4)
    down = side == "input_blocks"
    level, index = divmod(number - down, PER_LEVEL)
    block = f"{'down' if down else 'up'}_blocks_{level}"
    if rest in ("op", "conv"):
        return f"{block}_{'down' if down else 'up'}samplers_0_conv"
    return f"{block}_{'resnets' if part == '0' else 'attentions'}_{index}_{RESNET.get(rest, rest)}"
