"""How much memory a distillation takes on a card, counted on fake tensors: nothing is computed, nothing allocated.

Weights, gradients and optimizer, then the activations of each loss, whose backward pass runs before the next loss begins.
Not counted: the CUDA context, scratch memory of convolutions and fragmentation, for which `RESERVE` is left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.flops import PlainFlops
from hypersd_app.training.core.peak_memory import PeakMemory, become_fake, tensor_bytes
from hypersd_app.training.distillation.config import StudentConfig
from hypersd_app.training.distillation.losses.adversarial import Heads, discriminator_loss, student_loss
from hypersd_app.training.distillation.networks import AdapterNetworks

GIB = 1024**3
RESERVE = 3 * GIB

_UNETS: Mapping[str, Mapping[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sdxl": {
        "sample_size": 128, "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20), "transformer_layers_per_block": (1, 2, 10), "use_linear_projection": True,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
    },
}  # fmt: skip
_VAE: Mapping[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
}  # fmt: skip
_VIT_L: Mapping[str, Any] = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14,
}  # fmt: skip
_CLIP_L_TEXT, _BIG_G_TEXT, _BLIP_TEXT = 123_060_480, 694_659_840, 137_000_000  # parameters


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Networks as diffusers' and transformers' config values. `frozen`: parameters of what is on the card without gradients."""

    unet: Mapping[str, Any]
    vae: Mapping[str, Any] = field(default_factory=lambda: _VAE)
    judge: Mapping[str, Any] = field(default_factory=lambda: _VIT_L)  # of the aesthetic predictor and of ImageReward alike
    frozen: int = 0


FAMILIES: Mapping[str, Shapes] = {
    "sd15": Shapes(unet=_UNETS["sd15"], frozen=_CLIP_L_TEXT + _BLIP_TEXT),
    "sdxl": Shapes(unet=_UNETS["sdxl"], frozen=_CLIP_L_TEXT + _BIG_G_TEXT + _BLIP_TEXT),
}


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Peak bytes of one loss; `held` of them are weights, gradients and optimizer, the rest activations. `flops` of a pass."""

    name: str
    peak: int
    held: int
    flops: int

    @property
    def activations(self) -> int:
        """What comes and goes."""
        return self.peak - self.held


@dataclass(frozen=True, kw_only=True)
class Setting:
    """All networks of a run, and one pass's inputs."""

    config: StudentConfig
    networks: AdapterNetworks
    heads: Heads
    decoder: Any
    judges: nn.ModuleList
    x: Tensor
    t: Tensor
    conditioning: Conditioning
    frozen: int
    judge_side: int

    @staticmethod
    def on_meta(config: StudentConfig, shapes: Shapes) -> Setting:
        """Adapters over one base, without memory; `PeakMemory` counts nothing before `become_fake`."""
        with torch.device("meta"):
            return Setting.build(config, shapes)

    @staticmethod
    def build(config: StudentConfig, shapes: Shapes) -> Setting:
        """As `stable_diffusion.open_teacher` and the methods' losses build them."""
        unet = UNet2DConditionModel(**shapes.unet)
        networks = AdapterNetworks(unet, config.rank, 0.0, _autocast, gradient_checkpointing=config.gradient_checkpointing)
        networks.begin_fake(config.score.fake_rank)
        decoder = AutoencoderKL(**shapes.vae).eval().requires_grad_(False)
        decoder.enable_gradient_checkpointing()
        judges = nn.ModuleList(CLIPVisionModel(CLIPVisionConfig(**shapes.judge)).eval() for _ in config.feedback.rewards)
        for part in (unet, decoder, judges):
            _normalize_in_float32(part)
        side, batch = unet.config.sample_size, config.batch
        return Setting(
            config=config,
            networks=networks,
            heads=Heads(networks.feature_channels),
            decoder=decoder,
            judges=judges.requires_grad_(False),
            x=torch.randn(batch, unet.config.in_channels, side, side),
            t=torch.full((batch,), 999),
            conditioning=_conditioning(unet, batch),
            frozen=shapes.frozen * 4,
            judge_side=CLIPVisionConfig(**shapes.judge).image_size,
        )

    @property
    def modules(self) -> list[nn.Module]:
        """Everything with weights."""
        return [self.networks.module, self.heads, self.decoder, self.judges]

    def trained(self) -> list[nn.Parameter]:
        """What the student trains."""
        return [parameter for parameter in self.networks.module.parameters() if parameter.requires_grad]

    def held(self) -> int:
        """Weights, the student's gradients, AdamW's two moments, the averages of the student; all float32."""
        weights = sum(tensor_bytes(module.parameters()) for module in self.modules) + self.frozen
        averages = 1 + (self.config.target_decay > 0)
        moments = 2 * (tensor_bytes(self.networks.fake_parameters().values()) + tensor_bytes(self.heads.parameters()))
        return weights + (1 + 2 + averages) * tensor_bytes(self.trained()) + moments


def count_phases(config: StudentConfig, shapes: Shapes, names: Sequence[str] = ()) -> list[Phase]:
    """Each of LOSSES, or those named, in one process's pass on networks of these shapes."""
    setting = Setting.on_meta(config, shapes)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for module in setting.modules:
            become_fake(module)
        inputs = {name: _fake(getattr(setting, name)) for name in ("x", "t")}
        setting = Setting(**{**vars(setting), **inputs, "conditioning": setting.conditioning.each(_fake)})
        return [_measured(name, setting, run) for name, run in LOSSES.items() if not names or name in names]


def _fake(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")


def _measured(name: str, setting: Setting, run: Callable[[Setting], int]) -> Phase:
    for parameter in setting.trained():  # there already, and counted in what is held
        parameter.grad = torch.zeros_like(parameter)
    with PlainFlops() as counter, PeakMemory() as tracker:
        repeated = run(setting)
    held = setting.held()
    return Phase(name=name, peak=held + tracker.peak, held=held, flops=counter.total + repeated)


def _autocast() -> contextlib.AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


def consistency(setting: Setting) -> int:
    """TSCD's distance and its adversarial part."""
    networks, x, t, conditioning = setting.networks, setting.x, setting.t, setting.conditioning
    _guided(networks, x, t, conditioning)
    goal = networks.target(x, t, conditioning).float()
    reached = networks.student(x, t, conditioning).float()
    ((reached - goal).square().mean() + _adversarial(setting, reached)).backward()
    return 0


def matching(setting: Setting) -> int:
    """Distribution matching: the student's graph waits while the fake score learns; then the real data's discriminator.

    The fake score's step is run once: the others take no more memory.
    """
    networks, t, conditioning = setting.networks, setting.t, setting.conditioning
    x0 = networks.student(setting.x, t, conditioning).float()
    with PlainFlops() as counter:
        made = x0.detach()
        if setting.config.score.fresh:
            with torch.no_grad():
                made = networks.student(setting.x, t, conditioning).float()
        with networks.training_fake():
            (networks.live_fake(made, t, conditioning).float() - made).square().mean().backward()
    for parameter in networks.fake_parameters().values():
        parameter.grad = None
    gradient = networks.fake(x0.detach(), t, conditioning) - _guided(networks, x0.detach(), t, conditioning)
    ((x0 * gradient).mean() + _adversarial(setting, x0)).backward()
    return (setting.config.score.fake_steps - 1) * counter.total


def reward(setting: Setting) -> int:
    """Rewards of decoded crops."""
    x0, crop = setting.networks.student(setting.x, setting.t, setting.conditioning).float(), setting.config.feedback.crop
    with _autocast():
        images = setting.decoder.decode(x0[:, :, :crop, :crop] if crop else x0, return_dict=False)[0].float()
    total = torch.zeros(())
    for judge in setting.judges:
        side = setting.judge_side
        total = total + judge(functional.interpolate(images, (side, side), mode="bicubic", antialias=True)).pooler_output.mean()
    total.backward()
    return 0


# Each returns the work that it does in training and did not do here.
LOSSES: Mapping[str, Callable[[Setting], int]] = {"consistency": consistency, "distribution matching": matching, "reward": reward}


def _guided(networks: AdapterNetworks, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
    """Both halves of classifier-free guidance in one pass."""
    made = networks.teacher(torch.cat([x, x]), torch.cat([t, t]), Conditioning.join([conditioning, conditioning]))
    return made.float().chunk(2)[0]


def _adversarial(setting: Setting, made: Tensor) -> Tensor:
    """The heads' step on detached features, then the student's loss."""
    networks, heads = setting.networks, setting.heads
    features = networks.features(made, setting.t, setting.conditioning)
    with torch.no_grad():
        wanted = networks.features(setting.x, setting.t, setting.conditioning)
    logits = [heads([feature.float().detach() for feature in some]) for some in (wanted, features)]
    discriminator_loss(*logits).backward()
    for parameter in heads.parameters():
        parameter.grad = None
    return student_loss(heads([feature.float() for feature in features])).mean()


class _Float32GroupNorm(nn.GroupNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


class _Float32LayerNorm(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float())


def _normalize_in_float32(module: nn.Module) -> None:
    """As autocast does on a card, where norms leave float32; on a CPU they leave bfloat16."""
    for layer in module.modules():
        if type(layer) is nn.GroupNorm:
            layer.__class__ = _Float32GroupNorm
        elif type(layer) is nn.LayerNorm:
            layer.__class__ = _Float32LayerNorm


def _conditioning(model: Any, batch: int) -> Conditioning:
    text = torch.randn(batch, 77, model.config.cross_attention_dim)
    if model.config.addition_embed_type is None:
        return Conditioning(text)
    width = model.config.projection_class_embeddings_input_dim - 6 * model.config.addition_time_embed_dim
    return Conditioning(text, torch.randn(batch, width), torch.ones(batch, 6))


def markdown(phases: list[Phase]) -> str:
    """A table in GiB, and the work of one process's pass."""
    lines = ["| loss | weights, gradients, optimizer | activations | peak | TFLOP a pass |", "|---|---|---|---|---|"]
    lines += [
        f"| {p.name} | {p.held / GIB:.1f} | {p.activations / GIB:.1f} | {p.peak / GIB:.1f} | {p.flops / 1e12:.1f} |" for p in phases
    ]
    return "\n".join(lines)


def smallest_card(phases: list[Phase]) -> float:
    """GiB that a card needs, with `RESERVE`."""
    return (max(phase.peak for phase in phases) + RESERVE) / GIB
