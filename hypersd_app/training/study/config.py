"""What a study compares, and the short texts by which its rows are known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.loop import LoopConfig
from hypersd_app.training.data.icons.sources import MAIN_SET
from hypersd_app.training.distillation.config import AdversarialConfig, FeedbackConfig, ScoreConfig, StudentConfig
from hypersd_app.training.distillation.methods import METHODS, Method


@dataclass(frozen=True)
class Variant:
    """A row of the tables: `changes` of the study's StudentConfig, and what its first step is told, -1 meaning T - 1.

    `score` changes its ScoreConfig. `goes_on`: begins where the seed's TSCD trunk ends, and trains TSCD's last stage from there.
    """

    title: str
    changes: Mapping[str, Any]
    goes_on: bool = False
    timestep: int = -1
    score: Mapping[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> Method:
        """The row of METHODS."""
        return METHODS[self.changes["method"]]


TRUNK = Variant("TSCD, all stages but the last", {"method": "tscd"})
_GOING_ON = ("tscd", "tscd-feedback", "tscd-dmd", "hyper-sd")
_COMPARED = ("lcm", "tcd", "pcm", "tscd", "dmd2", "tdm")  # what Hyper-SD is compared with
_SCORES: Mapping[str, Mapping[str, Any]] = {
    "hyper-sd": {"adversarial": (0.0, 0.0, 0.0, 0.005)},
    "dmd2": {"weights": (1.0,), "adversarial": (0.005,), "pairs": 0, "fake_steps": 5, "fresh": True},
    "tdm": {"weights": (1.0,), "pairs": 0, "fake_steps": 1},
}
VARIANTS: Mapping[str, Variant] = {
    **{
        name: Variant(METHODS[name].title, {"method": name}, name in _GOING_ON, score=_SCORES.get(name, {}))
        for name in (*dict.fromkeys((*_COMPARED, *_GOING_ON)),)
    },
    "tscd-plain": Variant("TSCD without heads", {"method": "tscd", "adversarial": AdversarialConfig(weights=(0.0,))}),
    "tscd-edge": Variant("TSCD, jumps to the edge", {"method": "tscd", "end": "edge"}),
    "tscd-dmd-800": Variant("TSCD + DMD, told t = 800", {"method": "tscd-dmd"}, goes_on=True, timestep=800),
}
TEACHER = "teacher"  # a row too, of every seed
NAMED_STEPS = (1, 4)
NAMED_SPACE = "what"
NAMED_FIGURE = f"kernel_{NAMED_SPACE}"  # the kernel distance between things; lower is better
NAMED_TEACHERS = ("pocket", "second")  # presets whose comparisons are corrected together
_SAID_NOW = ("variants", "seeds", "minutes")
_TEACHER_FIELDS = ("data", "concepts", "set_keys", "channels", "teacher_batch", "teacher_lr", "teacher", "seed")


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """`budget`: forward passes for one image that each row may spend, of which the trunk takes the share `trunk`.

    Score and feedback see a part of each batch: what that saves buys more updates, of which there are few enough.
    `variants`, `seeds` and `minutes` say what is run now; the rest is what makes rows comparable. `seed` is the proxy's.
    """

    data: str = "pocket"
    concepts: int = 48
    set_keys: tuple[str, ...] = (MAIN_SET, "twemoji")
    channels: tuple[int, int, int] = (64, 128, 192)
    teacher_batch: int = 64
    teacher_lr: float = 3e-3
    teacher: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=1000, warmup=40, cooldown=300, preview_minutes=4, log_every=20)
    )
    guidance_scale: float = 3.0
    budget: float = 16_000.0
    trunk: float = 0.4  # as much as TSCD's own earlier stages have
    batch: int = 24
    lr: float = 1e-3
    rank: int = 24
    skip: int = 25
    score: ScoreConfig = field(default_factory=lambda: ScoreConfig(thin=4, pairs=48))
    feedback: FeedbackConfig = field(default_factory=lambda: FeedbackConfig(thin=6, every=1))
    pictures: int = 2000
    diversity_prompts: int = 10
    diversity_seeds: int = 6
    seed: int = 0
    variants: tuple[str, ...] = (*_COMPARED, "hyper-sd")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    minutes: float = 0.0


_TINY_LOOP = LoopConfig(steps=2, warmup=1, log_every=1)
PRESETS: dict[str, StudyConfig] = {
    "pocket": StudyConfig(),
    # Another teacher: other things, other styles, wider.
    "second": StudyConfig(seed=1, set_keys=(MAIN_SET, "emojione"), channels=(80, 160, 240)),
    # Does the way work, and how long would it take? A part of the budget, one seed.
    "trial": StudyConfig(seeds=(0,), budget=5_000.0, pictures=96, variants=("lcm", "tscd-plain", "tscd", "hyper-sd")),
    "ablations": StudyConfig(variants=("tscd-plain", "tscd-edge", "tscd-dmd", "tscd-dmd-800")),
    "tiny": StudyConfig(
        data="tiny", concepts=4, set_keys=("noto", "twemoji"), channels=(64, 64, 64), teacher_batch=4, teacher=_TINY_LOOP,
        variants=("lcm", "tscd", "tscd-dmd"), seeds=(0, 1), budget=900.0, batch=2, rank=2,
        score=ScoreConfig(pairs=2, pair_steps=2, fake_rank=2), feedback=FeedbackConfig(every=1), pictures=8,
        diversity_prompts=2, diversity_seeds=2,
    ),
}  # fmt: skip


def student_config(
    config: StudyConfig, variant: Variant, seed: int, stages: tuple[tuple[int, float], ...], warmup: int, cooldown: int
) -> StudentConfig:
    """A variant at so many steps: `stages` are (segments, steps)."""
    loop = LoopConfig(
        steps=int(sum(steps for _, steps in stages)), warmup=warmup, cooldown=cooldown, preview_minutes=1e6, checkpoint_minutes=1.0
    )
    row = StudentConfig(
        data=config.data, stages=stages, skip=config.skip, rank=config.rank, batch=config.batch, lr=config.lr,
        guidance_scale=config.guidance_scale, seed=seed, ema_decay=0.98,
        score=replace(config.score, timestep=variant.timestep, **variant.score), feedback=config.feedback, loop=loop,
    )  # fmt: skip
    return replace(row, **variant.changes)


def row_key(config: StudyConfig, name: str) -> str:
    """Changes with everything that a row's figures depend on, but for its seed and its block."""
    parts: list[Any] = [{field: value for field, value in asdict(config).items() if field not in _SAID_NOW}]
    if name != TEACHER:
        variant = VARIANTS[name]
        method = variant.method
        parts += [asdict(student_config(config, variant, 0, (), 0, 0)), method.stages, method.end, method.eta, variant.goes_on]
    return _short_hash(parts)


def named_comparisons() -> list[tuple[str, int]]:
    """(method, steps) that Hyper-SD is compared with, named before any row was trained; all else is exploratory."""
    return [(name, steps) for name in _COMPARED for steps in NAMED_STEPS]


def teacher_key(config: StudyConfig) -> str:
    """Changes with everything that the proxy's teacher depends on."""
    return _short_hash([{field: value for field, value in asdict(config).items() if field in _TEACHER_FIELDS}])


def _short_hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def chosen(config: StudyConfig, seeds: Sequence[int], variants: Sequence[str]) -> StudyConfig:
    """The same study, of which only these seeds and variants are run now; () leaves the preset's. Raises InvalidRequest."""
    for name in variants:
        if name not in VARIANTS:
            raise InvalidRequest("variant", name, ", ".join(VARIANTS))
    for seed in seeds:
        if seed < 0:
            raise InvalidRequest("seed", seed, "0 or more")
    return replace(config, seeds=tuple(seeds) or config.seeds, variants=tuple(variants) or config.variants)
