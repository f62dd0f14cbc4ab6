"""What a single-file checkpoint is, by the names and shapes in its header: used, or refused by its right name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hypersd_app.catalog.lora.foreign import is_embedding
from hypersd_app.catalog.safetensors_header import TensorFile, read_header
from hypersd_app.errors import ModelUnavailable

Shape = tuple[int, ...]
UNET, VAE = "model.diffusion_model.", "first_stage_model."
FIRST_LAYER = f"{UNET}input_blocks.0.0.weight"
INPUTS = {9: "an inpainting model", 8: "a model that follows instructions (pix2pix)", 5: "a depth model", 7: "an upscaler"}
FOREIGN = (  # a part of a tensor's name -> what has it
    ("double_blocks.", "a FLUX model: FLUX.1 dev runs here from its own repository"),
    ("joint_blocks.", "an SD3 model: SD3 runs here from its own repository"),
    ("cond_stage_model.model.", "an SD2.x model, which does not run here"),
    ("edm_mean", "a model with EDM noise (Playground), which does not run here"),
    ("edm_vpred.sigma_max", "a model with EDM noise, which does not run here"),
    ("control_model.", "a ControlNet, no model"),
    ("lora_", "a LoRA: it belongs into the folder `loras`"),
)
V_PREDICTION = ("v", "v_prediction", "v-prediction", "v_pred")
LONGEST_CONFIG = 64 * 1024


@dataclass(frozen=True)
class CheckpointKind:
    """The family of a checkpoint, what its network predicts, and whether its noise ends in pure noise."""

    family: str
    v_prediction: bool = False
    zero_terminal_snr: bool = False
    told_by: str = ""  # where that was read

    @property
    def note(self) -> str:
        """What people are told; "" for the usual kind."""
        if not self.v_prediction:
            return ""
        return f"Predicts v ({self.told_by}{', zero terminal SNR' if self.zero_terminal_snr else ''})."

    @property
    def schedule(self) -> tuple[tuple[str, object], ...]:
        """What differs from the family's own noise schedule, as diffusers' scheduler configuration names it."""
        found: tuple[tuple[str, object], ...] = (("prediction_type", "v_prediction"),) if self.v_prediction else ()
        return (*found, ("rescale_betas_zero_snr", True), ("timestep_spacing", "trailing")) if self.zero_terminal_snr else found


def checkpoint_kind(path: Path) -> CheckpointKind:
    """The kind of a checkpoint. Raises ModelUnavailable, with its right name, for what does not run here."""
    header = read_header(path)
    family = _family(path.name, header.shapes)
    told_by = _predicts_v(header)
    return CheckpointKind(family, bool(told_by), _zero_snr(header), told_by)


def _family(name: str, shapes: Mapping[str, Shape]) -> str:
    if meaning := _foreign(shapes):
        raise ModelUnavailable(f"{name} is {meaning}.")
    inputs = shapes[FIRST_LAYER][1] if len(shapes.get(FIRST_LAYER, ())) == 4 else 4
    if inputs != 4:
        raise ModelUnavailable(f"{name} is {INPUTS.get(inputs, f'a model of {inputs} inputs')}, which does not run here.")
    first = _has(shapes, "conditioner.embedders.0.")
    if _has(shapes, "conditioner.embedders.1."):
        family = "sdxl"
    elif first and _has(shapes, "conditioner.embedders.0.model."):
        raise ModelUnavailable(f"{name} is an SDXL refiner, which only finishes other models' images and does not run here.")
    elif _has(shapes, "cond_stage_model.transformer."):
        family = "sd15"
    else:
        raise ModelUnavailable(_without_text(name, shapes))
    if not _has(shapes, UNET):
        raise ModelUnavailable(
            f"{name} has no UNet; a checkpoint has to hold all of its parts."
        )  # without its VAE the tiny decoder draws
    return family


def _without_text(name: str, shapes: Mapping[str, Shape]) -> str:
    if is_embedding(shapes):
        return f"{name} is a textual-inversion embedding: it belongs into the folder `embeddings`."
    if _has(shapes, UNET):
        return f"{name} has no text encoder; a checkpoint has to hold all of its parts."
    if all(key.removeprefix(VAE).startswith(("encoder.", "decoder.", "quant_conv", "post_quant_conv")) for key in shapes):
        return f"{name} is a VAE alone, no model."
    return f"{name} is no SD1.5 or SDXL checkpoint."


def _foreign(shapes: Mapping[str, Shape]) -> str:
    names = "\n".join(shapes)
    return next((meaning for part, meaning in FOREIGN if part in names), "")


def _has(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _predicts_v(header: TensorFile) -> str:
    """Where it is said that a network predicts v: its key, its metadata, or the settings beside it; "" if nowhere."""
    if "v_pred" in header.shapes:
        return "by its key v_pred"
    metadata = header.metadata
    named = (metadata.get(key, "") for key in ("modelspec.prediction_type", "prediction_type"))
    if any(value.strip().lower() in V_PREDICTION for value in named) or metadata.get("ss_v_parameterization", "").lower() == "true":
        return "by its metadata"
    return "by the settings beside it" if _settings_say_v(header.path) else ""


def _settings_say_v(path: Path) -> bool:
    """Whether A1111's `model.yaml` beside a checkpoint says so."""
    try:
        with path.with_suffix(".yaml").open(encoding="utf-8-sig", errors="replace") as file:
            lines = file.read(LONGEST_CONFIG).splitlines()
    except OSError:
        return False
    values = (line.partition(":")[2].strip(" \"'").lower() for line in lines if line.strip().startswith("parameterization:"))
    return any(value in V_PREDICTION for value in values)


def _zero_snr(header: TensorFile) -> bool:
    said = (header.metadata.get(key, "").lower() for key in ("modelspec.zero_terminal_snr", "ztsnr", "ss_zero_terminal_snr"))
    return "ztsnr" in header.shapes or any(value in ("true", "1") for value in said)
