"""What a distillation is: the method, its stages and every weight, as frozen rows.

Each class names the source of each of its fields: "published" with where, or "ours" where papers leave it open. HSD is
Hyper-SD (Ren et al., 2024), TCD Zheng et al. (2024), DMD2 Yin et al. (2024), LADD Sauer et al. (2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypersd_app.training.core.loop import LoopConfig

Weights = tuple[float, ...]  # one a stage; the last counts for all later ones


@dataclass(frozen=True)
class AdversarialConfig:
    """The adversarial part of the distance. `weights` of () are the method's own; LCM and TCD have none whatever they say.

    Sources:
        weights: ours; that they grow as segments become fewer is published (HSD on TSCD).
        lr: ours.
        highest: ours.
    """

    weights: Weights = ()
    lr: float = 5e-4
    highest: float = 0.7  # of T: where re-noising stops; beyond it even data is noise to the teacher


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Score distillation. `timestep` is what the network is told it starts from: -1 means T - 1.

    `thin`: every so-many-th image of the batch only, so that a budget buys more updates; divides `StudentConfig.batch`.

    Sources:
        weights: ours.
        thin: ours.
        timestep: published, HSD on one-step enhancement: T - 1 for the unified LoRA, 800 for the dedicated UNet.
        path_steps: published, DMD2 on simulated inference and TDM (Luo et al., 2025): 4.
        fake_rank: ours.
        fake_lr: ours; DMD2's is the student's own.
        fake_steps: ours; DMD2's is 5 to 10.
        fresh: published, DMD2's scripts: each update of the fake score sees new images.
        lowest: published, DMD2's scripts.
        highest: published, DMD2's scripts.
        pairs: ours; DMD's is a whole data set.
        pair_steps: ours.
        regression: published, DMD's regression loss (Yin et al., 2024).
        adversarial: ours; the term is published, DMD2 on its GAN loss, at 1e-3 to 5e-3 on features of the fake score.
    """

    weights: Weights = (0.0, 0.0, 0.0, 0.5)
    thin: int = 1
    timestep: int = -1
    path_steps: int = 4  # of the student's own way, where a method matches scores along it
    fake_rank: int = 32
    fake_lr: float = 5e-4
    fake_steps: int = 2  # of the fake score for each of the student: the faster of the two time scales
    fresh: bool = False  # new images for every update of the fake score, at a forward pass each
    lowest: float = 0.02
    highest: float = 0.98  # of T: between them scores are compared
    pairs: int = 128  # of noise and the teacher's image, for the mean squared error that keeps it stable
    pair_steps: int = 25
    regression: float = 0.25  # weight of that error
    adversarial: Weights = (0.0,)  # of a discriminator against real data, by which a student can pass its teacher


@dataclass(frozen=True, kw_only=True)
class FeedbackConfig:
    """Rewards as (name, weight), each step in `every`; `structure` weighs the segmenter's loss on noised real images.

    `thin` as in `ScoreConfig`.

    Sources:
        weights: ours.
        thin: ours.
        rewards: published, HSD on human feedback: an aesthetic predictor and ImageReward; their shares are ours.
        structure: ours; the loss is published, HSD on human feedback.
        every: ours.
        steps: ours.
        highest: ours.
        crop: ours.
    """

    weights: Weights = (0.0, 0.0, 0.0, 0.05)
    thin: int = 1
    rewards: tuple[tuple[str, float], ...] = (("agreement", 1.0), ("quality", 0.5))
    structure: float = 0.5
    every: int = 4
    steps: tuple[int, ...] = (1, 1, 2, 4)  # how many the student takes to the image that is judged
    highest: float = 0.8  # of T: how noisy the real image is at most
    crop: int = 0  # side of the window of latents that is decoded and judged; 0 all of them


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """`stages` lists (segments, share of the steps), () means the method's own; `end` likewise.

    `weights` is "lora", or "whole" for every linear and convolution weight, exported as a LoRA of `rank` in the end.
    `batch` counts the images of one pass of one process; a step sees batch x processes x `accumulation`.
    `exact_steps` of N is a student for N steps alone; `kept_guidance` of (lowest, highest) one that is still drawn with
    classifier-free guidance in that range. `whole_file` writes the whole UNet in place of a LoRA.

    Sources:
        data: ours.
        method: published, HSD Algorithm 1 ("tscd"); others by their own papers, see `methods.py`.
        stages: published, HSD's experiments: 8, 4, 2, 1; the shares of the steps are ours.
        end: published, HSD Algorithm 1: uniform between the segment's edge and t_{n-1}.
        skip: ours; TCD's scripts use 20.
        weights: published, HSD's experiments: LoRA.
        rank: ours; TCD's scripts use 64.
        begin_with: published, HSD on one-step enhancement: one-step enhancement begins with the consistency model.
        batch: ours; published is 512 in all.
        accumulation: ours.
        lr: ours; published is 1e-6 at a batch of 512.
        optimizer: published, AdamW.
        ema_decay: ours.
        target_decay: published, HSD Algorithm 1, as a parameter without a value; 0.95 is TCD's scripts'.
        distance: ours; HSD, Algorithm 1, says squared error, LCM's and TCD's scripts pseudo-Huber.
        mse_weights: ours; that they fall as the adversarial ones grow is published (HSD on TSCD).
        guidance_scale: ours.
        kept_guidance: published, of the released CFG files: 5 to 8.
        exact_steps: published, of the released files: 2, 4, 8, and 8 and 12 with guidance.
        caption_drop: ours.
        offset_noise: ours; that noise is perturbed is published (HSD on TSCD).
        precision: ours.
        gradient_checkpointing: ours.
        sharded: ours.
        validation: ours.
        whole_file: published, of the released one-step UNet.
        seed: ours.
    """

    data: str = "pocket"
    method: str = "tscd"
    stages: tuple[tuple[int, float], ...] = ()
    end: str = ""
    skip: float = 25  # 25 holds every start of 1, 2, 4 and 8 trailing steps; 20 and 40 would never train t = 749
    weights: str = "lora"
    rank: int = 10  # all weights together must stay below 160 MB
    begin_with: str = ""  # the preset of another student, whose accelerator is trained further
    batch: int = 32
    accumulation: int = 1
    lr: float = 5e-4
    optimizer: str = "adamw"
    ema_decay: float = 0.99  # of the weights that are kept
    target_decay: float = 0.95  # of the average that is the target; 0: the student itself, without gradient
    distance: str = "huber"
    mse_weights: Weights = ()  # of that distance, by stage; () are the method's own
    guidance_scale: float = 3.0  # Pocket's teacher is drawn and measured with it too
    kept_guidance: tuple[float, float] | None = None
    exact_steps: int = 0
    caption_drop: float = 0.05
    offset_noise: float = 0.05
    precision: str = "auto"
    gradient_checkpointing: bool = False
    sharded: bool = False  # the frozen network spread over the processes by FSDP2; for students that are LoRAs
    whole_file: bool = False
    validation: int = 0  # images held out of a folder's, whose consistency is measured at each preview
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1500, warmup=50, cooldown=300, preview_minutes=6))


def stage_of(stages: tuple[tuple[int, float], ...], step: int, steps: int) -> int:
    """Which of `stages` a step of `steps` falls into, by their shares; the last goes on for ever."""
    whole, passed = sum(share for _, share in stages), 0.0
    for index, (_, share) in enumerate(stages):
        passed += share
        if step < round(steps * passed / whole):
            return index
    return len(stages) - 1


def at_stage(weights: Weights, stage: int) -> float:
    """A weight of a stage."""
    return weights[min(stage, len(weights) - 1)]


EXACT_STAGES = {8: ((8, 1.0),), 4: ((8, 0.3), (4, 0.7)), 2: ((8, 0.2), (4, 0.3), (2, 0.5))}  # TSCD's own, down to N
_FIRST = LoopConfig(steps=250, warmup=15, cooldown=80, preview_minutes=4, log_every=10)
_TINY_STAGES = ((2, 2.0), (1, 2.0))
_TINY = StudentConfig(data="tiny", stages=_TINY_STAGES, batch=4, rank=4, loop=LoopConfig(steps=4, warmup=2, log_every=2))

_PHOTO = StudentConfig(
    method="hyper-sd",
    rank=64,
    batch=8,
    accumulation=4,
    lr=5e-6,
    guidance_scale=7.5,
    gradient_checkpointing=True,
    score=ScoreConfig(fake_lr=5e-6, fake_steps=5, fresh=True, pairs=0, adversarial=(0.0, 0.0, 0.0, 0.003)),
    feedback=FeedbackConfig(rewards=(("aesthetic", 1.0), ("image-reward", 0.5)), structure=0.0),
)

PRESETS: dict[str, StudentConfig] = {
    "pocket": StudentConfig(stages=((8, 100), (4, 150), (2, 250), (1, 1000)), adversarial=AdversarialConfig(weights=(0.0,))),
    # A first student in minutes.
    "first": StudentConfig(
        stages=((4, 40), (2, 60), (1, 150)), lr=1e-3, adversarial=AdversarialConfig(weights=(0.0,)), loop=_FIRST,
    ),
    # From there on, what the study found best for more steps than one: few steps of it are enough.
    "first-hyper-sd": StudentConfig(
        method="hyper-sd", begin_with="first", stages=((1, 1.0),), batch=24, adversarial=AdversarialConfig(weights=(0.0,)),
        score=ScoreConfig(weights=(0.5,), thin=4, pairs=48), feedback=FeedbackConfig(weights=(0.05,), thin=6, every=1),
        loop=LoopConfig(steps=80, warmup=10, cooldown=40, preview_minutes=4, checkpoint_minutes=2, log_every=5),
    ),
    "lcm": StudentConfig(method="lcm"),
    "tcd": StudentConfig(method="tcd"),
    "pcm": StudentConfig(method="pcm"),
    "tscd": StudentConfig(),
    "tscd-edge": StudentConfig(end="edge"),
    "tscd-feedback": StudentConfig(method="tscd-feedback"),
    "tscd-dmd": StudentConfig(method="tscd-dmd"),
    "hyper-sd": StudentConfig(method="hyper-sd"),
    # For Stable Diffusion: the paper's two rewards in place of Pocket's stand-ins, and no segmenter, which is Pocket's too.
    # Guidance, rank, learning rate and the shares of both rewards are our choice, tried on no real weights.
    "photo-hyper-sd": _PHOTO,
    # Counted (`--memory`) to fit cards of 24 GB (512 px, 16 images a step) and of 80 GB (1024 px, 8), tried on none.
    "photo-sd15-24gb": replace(
        _PHOTO, batch=4, accumulation=4, feedback=replace(_PHOTO.feedback, crop=32, every=2, weights=(0.0, 0.0, 0.0, 0.05)),
    ),
    "photo-sdxl-80gb": replace(
        _PHOTO, batch=8, accumulation=1, feedback=replace(_PHOTO.feedback, crop=64, every=2, weights=(0.0, 0.0, 0.0, 0.05)),
    ),
    # One-step enhancement of the unified accelerator, at T - 1: a quarter of TSCD keeps what it does in more steps.
    "one-step": StudentConfig(
        method="hyper-sd", begin_with="pocket", stages=((1, 1.0),), adversarial=AdversarialConfig(weights=(0.1,)), lr=2e-4,
        mse_weights=(0.25,), score=ScoreConfig(weights=(1.0,), adversarial=(0.05,)), feedback=FeedbackConfig(weights=(0.05,)),
        loop=LoopConfig(steps=600, warmup=20, cooldown=300, preview_minutes=6),
    ),
    # The dedicated one-step UNet: a whole model that is told t = 800, as the released SDXL one.
    "one-step-unet": StudentConfig(
        method="one-step", begin_with="pocket", weights="whole", whole_file=True, lr=5e-5,
        score=ScoreConfig(weights=(1.0,), timestep=800, adversarial=(0.05,)), feedback=FeedbackConfig(weights=(0.05,), steps=(1,)),
        loop=LoopConfig(steps=600, warmup=20, cooldown=300, preview_minutes=6),
    ),
    # A LoRA of its own over a student's, merged at a scale of the user's choice.
    "feedback": StudentConfig(
        method="feedback", begin_with="pocket", lr=1e-4, rank=8, target_decay=0.0, feedback=FeedbackConfig(weights=(1.0,), every=1),
        loop=LoopConfig(steps=200, warmup=10, cooldown=100, preview_minutes=6),
    ),
    # For N steps alone, and for classifier-free guidance: the released kinds.
    **{f"exact-{steps}": StudentConfig(exact_steps=steps, stages=EXACT_STAGES[steps]) for steps in (2, 4, 8)},
    **{
        f"guided-{steps}": StudentConfig(
            exact_steps=steps, stages=((steps, 1.0),), skip=25 if steps == 8 else 1000 / 48, kept_guidance=(5.0, 8.0),
            caption_drop=0.0,
            adversarial=AdversarialConfig(weights=(0.0,)),
        )
        for steps in (8, 12)
    },
    "tiny": _TINY,
    "tiny-hyper-sd": replace(
        _TINY, method="hyper-sd", adversarial=AdversarialConfig(weights=(0.1,)),
        score=ScoreConfig(weights=(0.0, 0.5), pairs=4, pair_steps=2, fake_rank=2),
        feedback=FeedbackConfig(weights=(0.0, 0.1), every=1, steps=(1, 2)),
    ),
}  # fmt: skip
