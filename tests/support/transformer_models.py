"""SD3 and FLUX of a few thousand random weights, in the true folder layouts."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from tests.support.tiny_models import CLIP_TOKENS, WORDS, clip_tokenizer

T5_WORDS = ["<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS)]


def t5_tokenizer(length: int = 16) -> transformers.T5TokenizerFast:
    """A tokenizer of a few words that ends every text as T5's does."""
    vocabulary = [(word, -float(i)) for i, word in enumerate(T5_WORDS)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=length
    )


def t5_encoder(width: int) -> transformers.T5EncoderModel:
    """A text encoder of one layer."""
    config = transformers.T5Config(vocab_size=len(T5_WORDS), d_model=width, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return transformers.T5EncoderModel(config).eval()


def clip_config(width: int) -> transformers.CLIPTextConfig:
    """A text encoder of one layer that reads 77 tokens, which SD3's pipeline counts on."""
    return transformers.CLIPTextConfig(
        vocab_size=CLIP_TOKENS, hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, projection_dim=width, bos_token_id=54, eos_token_id=55, pad_token_id=55,
    )  # fmt: skip


def vae(channels: int) -> AutoencoderKL:
    """An eightfold autoencoder with a shifted latent."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=channels, scaling_factor=1.5, shift_factor=0.06,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, use_quant_conv=False,
        use_post_quant_conv=False,
    )  # fmt: skip


def tokenizer_of(folder: Path, name: str) -> transformers.CLIPTokenizer:
    clip_tokenizer(folder / name, 77)
    return transformers.CLIPTokenizer.from_pretrained(folder / name)


def write_sd3(folder: Path) -> Path:
    """A diffusers folder in the shape of SD3 medium."""
    torch.manual_seed(30)
    transformer = SD3Transformer2DModel(
        sample_size=64, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=32, pooled_projection_dim=32, pos_embed_max_size=64,
    )  # fmt: skip
    StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(4),
        text_encoder=transformers.CLIPTextModelWithProjection(clip_config(16)).eval(), tokenizer=tokenizer_of(folder, "tokenizer"),
        text_encoder_2=transformers.CLIPTextModelWithProjection(clip_config(16)).eval(),
        tokenizer_2=tokenizer_of(folder, "tokenizer_2"), text_encoder_3=t5_encoder(32), tokenizer_3=t5_tokenizer(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_flux(folder: Path) -> Path:
    """A diffusers folder in the shape of FLUX.1-dev."""
    torch.manual_seed(31)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(4),
        text_encoder=transformers.CLIPTextModel(clip_config(32)).eval(), tokenizer=tokenizer_of(folder, "tokenizer"),
        text_encoder_2=t5_encoder(32), tokenizer_2=t5_tokenizer(),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_transformer_lora(path: Path, transformer: nn.Module, seed: int = 0) -> Path:
    """A LoRA on the attention, named as the released ones are."""
    generator = torch.Generator().manual_seed(seed)
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"]), adapter_name="new")
    tensors = {
        "transformer." + key.replace(".new.", "."): torch.randn(value.shape, generator=generator)
        for key, value in transformer.state_dict().items()
        if ".new." in key
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path
