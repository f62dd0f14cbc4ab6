"""The catalogue's rows. A row says what exists and what is allowed; it never loads anything."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

Range = tuple[float, float, float]  # lowest, usual, highest
SHORTEST_HASH = 8  # hexadecimal digits that name a file
TIMESTEPS = 1000  # of the noise schedules of all models here
FROM_NOISE = ("FlowMatchEulerDiscreteScheduler",)  # whose runs here cannot start from an init image


@dataclass(frozen=True)
class WeightSource:
    """Where weights are: a Hub repository, or a folder or file on this machine. `filename` is one file of a repository."""

    repo: str = ""
    filename: str = ""
    revision: str | None = None
    path: Path | None = None

    @property
    def local(self) -> bool:
        """True if nothing needs to be fetched."""
        return self.path is not None

    def __str__(self) -> str:
        if self.path is not None:
            return str(self.path)
        return "/".join(part for part in (self.repo, self.filename) if part)


@dataclass(frozen=True)
class Recipe:
    """One right way to run a model. `None` for guidance or eta means that the value has no meaning here."""

    name: str
    title: str
    _: KW_ONLY
    steps: tuple[int, ...]
    scheduler: str
    scheduler_arguments: tuple[tuple[str, Any], ...] = ()
    guidance: Range | None = None
    eta: Range | None = None
    negative_prompt: bool = False
    timesteps: tuple[int, ...] | None = None  # fixed, instead of what the scheduler would choose
    lora: WeightSource | None = None
    lora_scale: float = 1.0
    unet: WeightSource | None = None  # a whole UNet in place of the model's own
    rest_steps: int = 4  # of the better image that a drawing gets when the pen rests

    @property
    def default_steps(self) -> int:
        """The fewest steps allowed."""
        return self.steps[0]

    @property
    def strengths(self) -> tuple[float, ...] | None:
        """The strengths with an init image, rising: none if empty, any from 0 to 1 if None.

        A run of fixed timesteps can leave out some of the first, or all: strength s begins at timestep 1000 s - 1.
        """
        if self.scheduler in FROM_NOISE:
            return ()
        if self.timesteps is not None:
            return tuple(sorted({0.0, *((t + 1) / TIMESTEPS for t in self.timesteps), 1.0}))
        if len(self.steps) > 1:
            return None
        return tuple(step / self.steps[0] for step in range(self.steps[0] + 1))

    @property
    def uses_guidance(self) -> bool:
        """True if `guidance_scale` changes the image."""
        return self.guidance is not None

    @property
    def uses_eta(self) -> bool:
        """True if `eta` changes the image at more than one step."""
        return self.eta is not None

    def negative_prompt_matters(self, guidance_scale: float | None) -> bool:
        """The unguided half is left out at a guidance scale of 1 or less, and with it its words. None is the usual scale."""
        scale = guidance_scale if guidance_scale is not None else (self.guidance or (0.0, 0.0, 0.0))[1]
        return self.negative_prompt and scale > 1

    def eta_matters(self, num_inference_steps: int) -> bool:
        """Noise is injected between steps only, so with one step eta does nothing."""
        return self.eta is not None and num_inference_steps > 1


@dataclass(frozen=True)
class ControlSpec:
    """A ControlNet of a model: what it reads and how strongly it is usually applied."""

    kind: str
    title: str
    _: KW_ONLY
    source: WeightSource
    scale: float = 1.0
    annotator: str = ""  # name in `engine.annotators.ANNOTATORS` that turns a photograph into its input
    white_strokes: bool = False  # trained on white strokes alone: coloured ink reaches it white


@dataclass(frozen=True)
class DecoderSpec:
    """A way from latents to pixels. `half_source` holds weights that are safe in float16."""

    name: str
    title: str
    class_name: str
    source: WeightSource
    half_source: WeightSource | None = None


@dataclass(frozen=True)
class StyleSpec:
    """A style LoRA file. `modules` and `rank` tell a compiling backend which layers it may touch."""

    name: str
    title: str
    _: KW_ONLY
    family: str
    path: Path
    trigger: str = ""
    preview: str = ""  # a data URL, or ""
    rank: int = 0
    modules: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what in the file does nothing here, a sentence each
    aliases: tuple[str, ...] = ()  # what its training and its page called it
    hashes: tuple[str, ...] = field(default=(), compare=False)  # of the file and of its tensors, once they are computed
    tags: tuple[str, ...] = ()  # the commonest words of the captions that it was trained with

    def called(self, name: str) -> bool:
        """Whether other programs mean this style by `name`: its file, its title or an alias, in any case, folders before it."""
        wanted = bare_name(name)
        return any(bare_name(own) == wanted for own in (self.name, self.path.name, self.title, *self.aliases))


def has_hash(hashes: tuple[str, ...], written: str) -> bool:
    """Whether a file with these hashes is the one that a recipe means: programs write the first 8 to 12 digits."""
    return len(written) >= SHORTEST_HASH and any(own.startswith(written.lower()) for own in hashes)


def bare_name(name: str) -> str:
    """`ink` of `Styles/Ink.safetensors`, with slashes of either kind: what two names of one file have in common."""
    return name.replace("\\", "/").rpartition("/")[2].casefold().removesuffix(".safetensors").strip()


@dataclass(frozen=True)
class EmbeddingSpec:
    """A textual-inversion embedding: the word `name` in a prompt stands for its vectors. `stamp` changes when it is replaced."""

    name: str
    family: str
    path: Path
    vectors: int
    stamp: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelSpec:
    """A model with all it can do. `source` is a diffusers folder, a repository or a single-file checkpoint."""

    name: str
    title: str
    _: KW_ONLY
    family: str  # pocket, sd15, sdxl, sd3 or flux
    source: WeightSource
    recipes: tuple[Recipe, ...]
    width: int = 512
    height: int = 512
    size_multiple: int = 8
    smallest: int = 256
    largest: int = 1024
    controls: tuple[ControlSpec, ...] = ()
    decoders: tuple[DecoderSpec, ...] = ()
    note: str = ""
    schedule: tuple[tuple[str, Any], ...] = ()  # what a checkpoint changes in its family's noise schedule
    hashes: tuple[str, ...] = field(default=(), compare=False)  # of a checkpoint's file, once they are computed

    @property
    def fixed_size(self) -> bool:
        """True if the model draws in one size only."""
        return self.smallest == self.largest
