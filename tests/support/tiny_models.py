"""Models of a few thousand random weights in the true folder layouts, and a Hub that is a folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.errors import ModelUnavailable
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.layout import LayoutSize
from hypersd_app.models.pocket import new_scheduler, new_unet
from hypersd_app.models.sticker_autoencoder import StickerAutoencoder
from hypersd_app.models.text_encoder import MaskedBertModel
from hypersd_app.weights.hub import Hub, Progress

WORDS = ["a", "cat", "dog", "red", "apple", "blue", "rocket", "moon", "ink", "blurry", ","]


def randomized(module: nn.Module, seed: int = 0, scale: float = 0.5) -> nn.Module:
    """Every parameter that starts at zero gets a value, so that a part that is left out shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale / max(1, parameter[0].numel()) ** 0.5)
    return module


def bert_tokenizer(folder: Path, length: int = 32) -> None:
    """A WordPiece tokenizer of a few words."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=length,
    ).save_pretrained(folder)  # fmt: skip


def clip_tokenizer(folder: Path, length: int = 16) -> None:
    """A byte-pair tokenizer without merges, in CLIP's files."""
    letters = "abcdefghijklmnopqrstuvwxyz,"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": length, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer"}), encoding="utf-8"
    )


CLIP_TOKENS = 56


def clip_config(hidden: int, projection: int) -> transformers.CLIPTextConfig:
    """A text encoder of two layers."""
    return transformers.CLIPTextConfig(
        vocab_size=CLIP_TOKENS, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, projection_dim=projection, bos_token_id=54, eos_token_id=55, pad_token_id=55,
    )  # fmt: skip


def write_pocket(
    folder: Path, *, accelerator: bool = True, controlnet: bool = True, layout: LayoutSize | None = None, stickers: bool = False
) -> Path:
    """`assets/pocket` with random weights; `stickers`: its autoencoder is the one with alpha."""
    torch.manual_seed(0)
    unet = randomized(new_unet((64, 64, 64), 1, layout or LayoutSize()), 1)
    unet.half().save_pretrained(folder / "unet")
    vae = PocketAutoencoder(channels=(8, 8, 16), encoder_layers=(1, 1, 1), decoder_layers=(1, 1, 1))
    if stickers:
        vae = StickerAutoencoder(channels=(8, 8, 16), encoder_layers=(1, 1, 1), planes=3, attention_heads=2)
    randomized(vae, 2).half().save_pretrained(folder / "vae")
    config = transformers.BertConfig(
        vocab_size=16 + len(WORDS), hidden_size=384, num_hidden_layers=1, num_attention_heads=6, intermediate_size=64,
        use_attention_mask=True,
    )  # fmt: skip
    MaskedBertModel(config).half().save_pretrained(folder / "text_encoder")
    bert_tokenizer(folder / "tokenizer")
    new_scheduler().save_pretrained(folder / "scheduler")
    if controlnet:
        randomized(PocketControlNet.for_unet(unet.float()), 3, 2.0).half().save_pretrained(folder / "controlnet")
    if accelerator:
        write_lora(folder / "accelerator.safetensors", new_unet((64, 64, 64), 1), 4, seed=4)
    return folder


def write_style(folder: Path, name: str, seed: int = 5, trigger: str = "") -> Path:
    """A style for `write_pocket`'s model."""
    metadata = {"title": name.title(), "trigger": trigger}
    return write_lora(folder / f"{name}.safetensors", new_unet((64, 64, 64), 1), 2, seed=seed, metadata=metadata, scale=2.0)


def small_unet(cross_attention_dim: int, large: bool = False) -> UNet2DConditionModel:
    """A UNet in the shape of SD1.5's or SDXL's."""
    extra = {}
    if large:
        extra = {
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8, "transformer_layers_per_block": (1, 2),
            "projection_class_embeddings_input_dim": 8 * 6 + 32, "use_linear_projection": True,
        }  # fmt: skip
    return UNet2DConditionModel(
        sample_size=32, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross_attention_dim, attention_head_dim=2, **extra,
    )  # fmt: skip


def small_vae(scaling_factor: float) -> AutoencoderKL:
    """An eightfold autoencoder."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, scaling_factor=scaling_factor,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip


def small_tiny_decoder() -> AutoencoderTiny:
    """An eightfold TAESD."""
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8, 8),
        num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1),
    )  # fmt: skip


def write_sd15(folder: Path) -> Path:
    """A diffusers folder in the shape of SD1.5."""
    torch.manual_seed(10)
    clip_tokenizer(folder / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    StableDiffusionPipeline(
        vae=small_vae(0.18215), text_encoder=transformers.CLIPTextModel(clip_config(32, 32)).eval(),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"), unet=small_unet(32), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_sdxl(folder: Path) -> Path:
    """A diffusers folder in the shape of SDXL."""
    torch.manual_seed(11)
    for name in ("tokenizer", "tokenizer_2"):
        clip_tokenizer(folder / name)
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    StableDiffusionXLPipeline(
        vae=small_vae(0.13025), text_encoder=transformers.CLIPTextModel(clip_config(16, 16)).eval(),
        text_encoder_2=transformers.CLIPTextModelWithProjection(clip_config(32, 32)).eval(),
        tokenizer=tokenizer, tokenizer_2=tokenizer, unet=small_unet(48, large=True), scheduler=scheduler,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_controlnet(folder: Path, unet: UNet2DConditionModel, seed: int = 7) -> Path:
    """A ControlNet for `unet` whose zero convolutions are not zero."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_channels=3)
    randomized(controlnet, seed, 2.0).save_pretrained(folder)
    return folder


def write_lora(
    path: Path, unet: UNet2DConditionModel, rank: int, *, seed: int = 0, metadata: dict[str, str] | None = None, scale: float = 0.3
) -> Path:
    """A LoRA over attention and convolutions with `unet.`-prefixed names."""
    targets = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "proj_in", "proj_out", "conv_in")
    generator = torch.Generator().manual_seed(seed)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(targets)), adapter_name="new")
    tensors = {}
    for key, value in unet.state_dict().items():
        if ".new." in key:
            name = "unet." + key.replace(".new.", ".")
            tensors[name] = torch.randn(value.shape, generator=generator) * scale / max(1, value[0].numel()) ** 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half() for name, value in tensors.items()}, path, {"format": "pt", **(metadata or {})})
    return path


class FolderHub(Hub):
    """A Hub whose repositories are folders of one folder: `root/owner/name`."""

    def __init__(self, root: Path) -> None:
        super().__init__(offline=True)
        self.root = root
        self.asked: list[str] = []

    def file(self, source: WeightSource, progress: Progress | None = None) -> Path:
        self.asked.append(str(source))
        path = source.path or self.root / source.repo / source.filename
        if not path.exists():
            raise ModelUnavailable(f"{source} is not here")
        return path

    def _folder(self, source: WeightSource, components: list[str], progress: Progress | None, weights: bool) -> Path:
        return self.file(source)
