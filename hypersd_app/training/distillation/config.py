"""What a distillation is: the method, its stages and every weight, as frozen rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypersd_app.training.core.loop import LoopConfig

Weights = tuple[float, ...]  # one a stage; the last counts for all later ones


@dataclass(frozen=True)
class AdversarialConfig:
    """The adversarial part of the distance. `weights` of () are the method's own; LCM and TCD have none whatever they say."""

    weights: Weights = ()
    lr: float = 5e-4
    highest: float = 0.7  # of T: where re-noising stops; beyond it even data is noise to the teacher


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Score distillation of the first step. `timestep` is what the network is told it starts from: -1 means T - 1.

    `thin`: every so-many-th picture of the batch only, so that a budget buys more updates; divides `StudentConfig.batch`.
    """

    weights: Weights = (0.0, 0.0, 0.0, 0.5)
    thin: int = 1
    timestep: int = -1
    fake_rank: int = 32
    fake_lr: float = 5e-4
    fake_steps: int = 2  # of the fake score for each of the student: the faster of the two time scales
    lowest: float = 0.02
    highest: float = 0.98  # of T: between them scores are compared
    pairs: int = 128  # of noise and the teacher's picture, for the mean squared error that keeps it stable
    pair_steps: int = 25
    regression: float = 0.25  # weight of that error


@dataclass(frozen=True, kw_only=True)
class FeedbackConfig:
    """Rewards as (name, weight), each step in `every`; `structure` weighs the segmenter's loss on noised real pictures.

    `thin` as in `ScoreConfig`.
    """

    weights: Weights = (0.0, 0.0, 0.0, 0.05)
    thin: int = 1
    rewards: tuple[tuple[str, float], ...] = (("agreement", 1.0), ("quality", 0.5))
    structure: float = 0.5
    every: int = 4
    steps: tuple[int, ...] = (1, 1, 2, 4)  # how many the student takes to the picture that is judged
    highest: float = 0.8  # of T: how noisy the real picture is at most


@dataclass(frozen=True, kw_only=True)
class StudentConfig:
    """`stages` lists (segments, share of the steps), () means the method's own; `end` likewise.

    `weights` is "lora", or "whole" for every linear and convolution weight, exported as a LoRA of `rank` in the end.
    `batch` counts the pictures of one pass of one process; a step sees batch x processes x `accumulation`.
    """

    data: str = "pocket"
    method: str = "tscd"
    stages: tuple[tuple[int, float], ...] = ()
    end: str = ""
    skip: int = 25  # 25 holds every start of 1, 2, 4 and 8 trailing steps; 20 and 40 would never train t = 749
    weights: str = "lora"
    rank: int = 10  # all weights together must stay below 160 MB
    begin_with: str = ""  # the preset of another student, whose accelerator is trained further
    batch: int = 32
    accumulation: int = 1
    lr: float = 5e-4
    optimizer: str = "adamw"
    ema_decay: float = 0.99  # of the weights that are kept
    target_decay: float = 0.0  # of the average that is the target; 0: the student itself, without gradient
    distance: str = "huber"
    guidance_scale: float = 3.0  # Pocket's teacher is drawn and measured with it too
    caption_drop: float = 0.05
    offset_noise: float = 0.0
    precision: str = "auto"
    gradient_checkpointing: bool = False
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


_FIRST = LoopConfig(steps=250, warmup=15, cooldown=80, preview_minutes=4, log_every=10)
_TINY_STAGES = ((2, 2.0), (1, 2.0))
_TINY = StudentConfig(data="tiny", stages=_TINY_STAGES, batch=4, rank=4, loop=LoopConfig(steps=4, warmup=2, log_every=2))

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
    "photo-hyper-sd": StudentConfig(
        method="hyper-sd", rank=64, batch=8, accumulation=4, lr=5e-6, guidance_scale=7.5, gradient_checkpointing=True,
        feedback=FeedbackConfig(rewards=(("aesthetic", 1.0), ("image-reward", 0.5)), structure=0.0),
    ),
    # For one step alone, from the unified accelerator on: little consistency, more of the score.
    "one-step": StudentConfig(
        method="tscd-dmd", begin_with="pocket", stages=((1, 1.0),), adversarial=AdversarialConfig(weights=(0.1,)), lr=2e-4,
        score=ScoreConfig(weights=(1.0,)), loop=LoopConfig(steps=600, warmup=20, cooldown=300, preview_minutes=6),
    ),
    "tiny": _TINY,
    "tiny-hyper-sd": replace(
        _TINY, method="hyper-sd", adversarial=AdversarialConfig(weights=(0.1,)),
        score=ScoreConfig(weights=(0.0, 0.5), pairs=4, pair_steps=2, fake_rank=2),
        feedback=FeedbackConfig(weights=(0.0, 0.1), every=1, steps=(1, 2)),
    ),
}  # fmt: skip
