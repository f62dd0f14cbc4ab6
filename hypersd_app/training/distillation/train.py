"""The student stage: distils the teacher into an accelerator LoRA by one of the methods."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from hypersd_app.catalog.builtin import ACCELERATOR as FILE
from hypersd_app.catalog.builtin import WHOLE_UNET
from hypersd_app.catalog.hyper_sd import ETA
from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.samplers import sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.models.layout import LATENT_SHAPE
from hypersd_app.models.pocket import new_scheduler, with_code_of
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import mixed_precision
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.eval_prompts import EVALUATION_PROMPTS
from hypersd_app.training.core.loop import Progress, TrainingStage, run_stage
from hypersd_app.training.core.lora import fuse_lora, load_lora, save_difference, save_lora, save_whole, write_for_other_programs
from hypersd_app.training.core.sharding import shard_frozen
from hypersd_app.training.critics.mask_rcnn import MaskRCNNSegmenter
from hypersd_app.training.critics.protocols import Reward, Segmenter
from hypersd_app.training.critics.registry import open_reward, open_segmenter
from hypersd_app.training.distillation.config import PRESETS, StudentConfig
from hypersd_app.training.distillation.context import Batch, Context, DataSource, Resources
from hypersd_app.training.distillation.denoiser import UNetDenoiser
from hypersd_app.training.distillation.losses.consistency import ConsistencyLoss
from hypersd_app.training.distillation.methods import METHODS
from hypersd_app.training.distillation.networks import ACCELERATOR, AdapterNetworks, Networks, WholeNetworks
from hypersd_app.training.distillation.pocket_source import PocketSource
from hypersd_app.training.distillation.regression_pairs import make_pairs
from hypersd_app.training.distillation.step import Distiller
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import Workspace

__all__ = ["PRESETS", "FewStepSampler", "StudentConfig", "TeacherModel", "distil", "train"]

logger = logging.getLogger(__name__)
FEEDBACK = "feedback"  # the method whose LoRA is another one's companion
FEEDBACK_FILE = "feedback.safetensors"
SCORED = ("tscd-dmd", "hyper-sd", "one-step")  # methods whose first step may be told another timestep


class FewStepSampler:
    """Samples prompts with the student as the app does: TCD, trailing timesteps, no guidance."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler

    @torch.no_grad()
    def latents(
        self, unet: UNet2DConditionModel, prompts: list[str], steps: int, seed: int, eta: float = ETA[1], timestep: int = -1
    ) -> Tensor:
        """float32 (B, 16, 16, 16). A `timestep` of 0 or more replaces T - 1 as the input timestep of a one-step student."""
        schedule, generator = self.sampler.schedule, torch.Generator().manual_seed(seed)
        timesteps = trailing_timesteps(schedule.num_timesteps, steps) if timestep < 0 else torch.tensor([timestep])
        parts = []
        for start in range(0, len(prompts), 24):
            some = prompts[start : start + 24]
            text = self.sampler.embed(some).to(unet.device)
            noise = seeded_noise(range(seed + start, seed + start + len(some)), LATENT_SHAPE).to(unet.device)
            text = with_code_of(unet, text, noise)
            with mixed_precision():
                parts.append(sample_tcd(_model(unet, text), noise, timesteps, schedule, eta, generator).cpu())
        return torch.cat(parts)


def _model(unet: UNet2DConditionModel, text: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, t: unet(x, t, text, return_dict=False)[0]


@dataclass(frozen=True, kw_only=True)
class TeacherModel:
    """A diffusion model to distil, with its data. `preview` draws samples of a student's UNet into a file.

    `accelerator` is the student that ships, used by configs with `begin_with` where this machine has trained none.
    """

    family: str  # pocket, sd15 or sdxl
    unet: Any
    schedule: NoiseSchedule
    source: DataSource
    reward: Callable[[str], Reward]
    segmenter: Callable[[], Segmenter | MaskRCNNSegmenter]
    preview: Callable[[Any, Path], None]
    accelerator: Path | None = None
    held_out: Callable[[int], tuple[Tensor, list[str]]] | None = None  # so many images never trained on, with their captions


def pocket_teacher(config: StudentConfig, workspace: Workspace, processes: Processes) -> TeacherModel:
    """Pocket's teacher with its training images."""
    schedule = NoiseSchedule.from_scheduler(new_scheduler())
    few_steps = FewStepSampler(Sampler(workspace.embed, workspace.autoencoder, schedule))

    def preview(unet: Any, path: Path) -> None:
        prompts = list(EVALUATION_PROMPTS[::2])
        rows = [few_steps.sampler.decode(few_steps.latents(unet, prompts, steps, 0)) for steps in (1, 4)]
        labels = [f"{steps}: {prompt}" for steps in (1, 4) for prompt in prompts]
        contact_sheet([image for row in rows for image in row], path, labels=labels, side=128)

    return TeacherModel(
        family="pocket",
        unet=workspace.teacher(),
        schedule=schedule,
        source=PocketSource(
            workspace,
            caption_drop=config.caption_drop,
            seed=config.seed + 7,
            precision=processes.autocast,
            device=processes.device,
        ),
        reward=lambda name: open_reward(name, workspace),
        segmenter=lambda: open_segmenter(workspace),
        preview=preview,
        accelerator=workspace.assets / FILE,
    )


def train(config: StudentConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Distil or resume in `folder`; writes the averaged weights as a LoRA to `folder/accelerator.safetensors`."""
    processes = Processes.open(config.precision)
    if distil(config, pocket_teacher(config, workspace, processes), processes, folder, progress) and processes.is_main_process:
        offer_feedback(config, folder, workspace)


def distil(config: StudentConfig, teacher: TeacherModel, processes: Processes, folder: Path, progress: Progress) -> bool:
    """Distil any teacher; see `train`. Returns whether the last step was reached. Raises InvalidRequest for a bad config."""
    state = run_stage(config, folder, progress, lambda: new_stage(config, teacher, processes, folder, progress))
    return state.step >= config.loop.steps


def new_stage(
    config: StudentConfig, teacher: TeacherModel, processes: Processes, folder: Path, progress: Progress
) -> TrainingStage:
    """The student with the losses of its method."""
    context = new_context(config, teacher, processes, folder, progress)
    distiller = Distiller(context)

    def preview(path: Path) -> dict[str, float]:
        teacher.preview(context.networks.unet, path)
        if processes.is_main_process:
            save_student(context, folder, teacher.family)
        if not config.validation or teacher.held_out is None:
            return {}
        return {"validation": validation_distance(context, *teacher.held_out(config.validation))}

    return TrainingStage(
        state=distiller.training_state(), step=distiller, preview=preview, processes=processes, together=config.sharded
    )


@torch.no_grad()
def validation_distance(context: Context, x0: Tensor, captions: list[str], repeats: int = 4) -> float:
    """The distance of the last stage's jumps on held-out images, with the same random numbers at every call."""
    loss, last = ConsistencyLoss(context, adversarial=()), context.config.loop.steps - 1
    conditioning = context.source.condition(captions, x0=x0).to(context.device)
    figures = []
    for seed in range(repeats):
        batch = Batch(x0=x0.to(context.device), conditioning=conditioning, captions=captions, seed=seed, total=len(x0))
        figures.append(loss(last, batch)[1]["consistency"])
    return sum(figures) / repeats


def new_context(config: StudentConfig, teacher: TeacherModel, processes: Processes, folder: Path, progress: Progress) -> Context:
    """The context of the config's method. Raises InvalidRequest for an unknown one."""
    if config.method not in METHODS:
        raise InvalidRequest("method", config.method, ", ".join(METHODS))
    method = METHODS[config.method]
    networks = new_networks(config, teacher.unet.to(processes.device), processes, beginning(config, teacher, folder))
    if config.sharded:
        shard_frozen(networks.module, processes)
    resources = Resources(lambda: make_pairs(context, folder / "pairs.npy", progress), teacher.reward, teacher.segmenter)
    context = Context(
        config=config,
        stages=config.stages or method.stages,
        end=config.end or method.end,
        networks=networks,
        schedule=teacher.schedule,
        processes=processes,
        source=teacher.source,
        resources=resources,
    )
    return context


def beginning(config: StudentConfig, teacher: TeacherModel, folder: Path) -> Path | None:
    """The accelerator to start from: this machine's own, else the one that ships; None to start from the teacher.

    Raises ModelUnavailable.
    """
    if not config.begin_with:
        return None
    own = folder.parent / config.begin_with / FILE
    for path in (own, teacher.accelerator):
        if path is not None and path.exists():
            return path
    raise ModelUnavailable(f"No student in {own.parent}: run `train student --preset {config.begin_with}` first.")


def new_networks(config: StudentConfig, unet: Any, processes: Processes, begin: Path | None = None) -> Networks:
    """Student and teacher; the student starts as a copy of the teacher or, with `begin`, from another student's LoRA.

    A feedback LoRA is trained over that student, which is merged into the weights below it.
    """
    if config.method == FEEDBACK and begin is not None:
        fuse_lora(unet, begin)
        begin = None
    if config.weights == "lora":
        networks = AdapterNetworks(unet, config.rank, config.target_decay, processes.autocast, config.gradient_checkpointing)
        if begin is not None:
            load_lora(unet, ACCELERATOR, begin)
        return networks
    if config.weights != "whole" or config.sharded:
        raise InvalidRequest("weights", config.weights, "lora" if config.sharded else "lora or whole")
    whole = WholeNetworks(
        UNetDenoiser(unet),
        target_decay=config.target_decay,
        precision=processes.autocast,
        gradient_checkpointing=config.gradient_checkpointing,
    )
    if begin is not None:
        fuse_lora(whole.unet, begin)
    return whole


def save_student(context: Context, folder: Path, family: str) -> None:
    """Writes the student's live weights, as a LoRA or as a whole UNet, with the method in the file's metadata."""
    config, networks = context.config, context.networks
    metadata = student_metadata(context, family)
    if isinstance(networks, WholeNetworks) and config.whole_file:
        save_whole(networks.unet, folder / WHOLE_UNET, metadata)
        return
    path = folder / (FEEDBACK_FILE if config.method == FEEDBACK else FILE)
    if isinstance(networks, WholeNetworks):
        kept = save_difference(networks.teacher_unet, networks.unet, config.rank, path, metadata)
        logger.info("a LoRA of rank %d keeps %.1f %% of what was learnt", config.rank, 100 * kept)
    else:
        save_lora(networks.unet, ACCELERATOR, path, metadata)
    write_for_other_programs(path, family)


def offer_feedback(config: StudentConfig, folder: Path, workspace: Workspace) -> None:
    """Puts a feedback LoRA among the user's styles, whose strength, in Compare as elsewhere, is its scale."""
    if config.method == FEEDBACK:
        workspace.user_styles.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / FEEDBACK_FILE, workspace.user_styles / f"{folder.name}.safetensors")


def how_to_run(config: StudentConfig) -> str:
    """For people who find the file elsewhere."""
    if config.method == FEEDBACK:
        return "Not an accelerator: a style to be mixed with the one it was trained over, at a scale of 0 to 1."
    if config.exact_steps:
        guidance = "1 (none)" if config.kept_guidance is None else "{:g} to {:g}".format(*config.kept_guidance)
        return f"Accelerator: DDIM with trailing timesteps, exactly {config.exact_steps} steps, guidance scale {guidance}."
    single = f" A single step begins at timestep {config.score.timestep}." if first_step_is_told(config) else ""
    return f"Accelerator: 1 to 8 steps of TCD, guidance scale 1 (none); more steps give more detail.{single}"


def first_step_is_told(config: StudentConfig) -> bool:
    """Whether a single step is drawn at a timestep of its own."""
    return config.score.timestep >= 0 and config.method in SCORED


def student_metadata(context: Context, family: str) -> dict[str, str]:
    """What the app reads of a student's file: how it has to be drawn."""
    config = context.config
    metadata = {
        "family": family,
        "method": config.method,
        "stages": str(context.stages),
        "guidance_scale": str(config.guidance_scale),
        "rank": str(config.rank),
        "title": f"Hyper-SD accelerator ({config.method})",
        "recipe": how_to_run(config),
    }
    if first_step_is_told(config):
        metadata["timestep"] = str(config.score.timestep)
    if config.exact_steps:
        metadata["exact_steps"] = str(config.exact_steps)
    if config.kept_guidance is not None:
        metadata["kept_guidance"] = ",".join(str(scale) for scale in config.kept_guidance)
    if config.method == FEEDBACK:
        metadata |= {"title": "Human feedback", "trigger": ""}
    return metadata
