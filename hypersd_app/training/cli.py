"""`python -m hypersd_app train` and `evaluate`: run, resume or just describe a stage; measure what it made."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings
from hypersd_app.system import keep_freed_memory

if TYPE_CHECKING:
    from hypersd_app.training.core.loop import Progress
    from hypersd_app.training.style.train import StyleConfig
    from hypersd_app.training.workspace import Workspace

logger = logging.getLogger(__name__)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train`. Stage names are checked when it runs, so that `--help` needs no torch."""
    parser.add_argument(
        "stage",
        help="all (every stage in order, within --hours), or one of data, vocabulary, autoencoder, latents, layout, teacher, "
        "student, sketches, controlnet, style, judge, style-judge, reward, study, export; or shards (latents and text of --images, "
        "encoded once by --teacher)",
    )
    parser.add_argument("--preset", default="pocket", help="a row of the stage's presets (default: pocket)")
    parser.add_argument("--set", dest="icon_set", help="style: learn this icon set (the same as --preset)")
    parser.add_argument("--images", type=Path, help="style: learn this folder of 10 to 2000 images; file names are captions")
    parser.add_argument(
        "--teacher", type=Path, help="student: distil this SD1.5 or SDXL diffusers folder on the images of --images"
    )
    parser.add_argument("--buckets", action="store_true", help="shards: keep about each image's aspect ratio (default: squares)")
    parser.add_argument("--title", default="", help="style: what the picker shows (default: the folder's name)")
    parser.add_argument("--dry-run", action="store_true", help="print the config and the folder, train nothing")
    parser.add_argument(
        "--memory", choices=("sd15", "sdxl"), help="student: print what the preset takes on a card for this family, train nothing"
    )
    parser.add_argument("--steps", type=int, help="train to this step instead of the preset's last")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes; the same command resumes")
    parser.add_argument("--hours", type=float, help="all: the budget of all stages together; the same command resumes")
    parser.add_argument("--cooldown-minutes", type=float, help="let the learning rate fall to zero over the last of --minutes")
    parser.add_argument("--seed", type=int, action="append", default=[], help="study: this seed only; repeatable")
    parser.add_argument("--variant", action="append", default=[], help="study: this row of the tables only; repeatable")
    parser.add_argument(
        "--override", action="append", default=[], metavar="A.B=C", help="change a setting of the preset; repeatable"
    )
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")


def _prepare_process(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)
    keep_freed_memory()
    # Both end the loop like Ctrl-C, which saves; in the background a shell would have Ctrl-C ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def _train_all(args: argparse.Namespace, settings: Settings) -> int:
    """Every stage in order within a budget. Raises InvalidRequest for options that belong to one stage."""
    from hypersd_app.training.pipeline import PIPELINES, run_all

    for name in ("icon_set", "images", "teacher", "title", "steps", "cooldown_minutes", "seed", "variant"):
        if getattr(args, name, None):
            raise InvalidRequest(name.replace("_", "-"), getattr(args, name), "it with a single stage only")
    minutes = args.minutes if args.hours is None else 60 * args.hours
    if minutes is None:
        raise InvalidRequest("hours", None, "--hours or --minutes, the budget of all stages together")
    if args.dry_run:
        print(json.dumps([asdict(step) for step in PIPELINES.get(args.preset, ())], indent=2))
        return 0
    _prepare_process(args.threads)
    ledger = run_all(args.preset, minutes, lambda family: open_workspace(settings, family), ProgressLine)
    logger.info("all stages finished: %s", ledger.path)
    return 0


def _make_shards(args: argparse.Namespace, settings: Settings) -> int:
    """Latents and text of a folder of images, encoded by a diffusers folder's networks into `runs/shards/<teacher>-<images>`."""
    from hypersd_app.training.distillation.stable_diffusion import make_shards

    for name in ("teacher", "images"):
        if getattr(args, name) is None:
            raise InvalidRequest(name, None, f"--{name}, a folder")
    folder = settings.runs / "shards" / f"{args.teacher.resolve().name}-{args.images.resolve().name}"
    if args.dry_run:
        print(json.dumps({"stage": "shards", "folder": str(folder), "buckets": args.buckets}, indent=2))
        return 0
    _prepare_process(args.threads)
    make_shards(args.teacher, args.images, folder, args.buckets, ProgressLine(f"shards/{folder.name}"))
    logger.info("shards finished: %s", folder)
    return 0


def run_train(args: argparse.Namespace, settings: Settings) -> int:
    """Run one stage; returns the exit status. Raises InvalidRequest and ModelUnavailable."""
    from hypersd_app.training.core.overrides import overridden
    from hypersd_app.training.stages import STAGES, limited

    if args.stage == "all":
        return _train_all(args, settings)
    if args.stage == "shards":
        return _make_shards(args, settings)
    if getattr(args, "hours", None) is not None:
        raise InvalidRequest("hours", args.hours, "it with `train all` only; a stage takes --minutes")
    if args.stage not in STAGES:
        raise InvalidRequest("stage", args.stage, ", ".join(["all", *STAGES]))
    stage = STAGES[args.stage]
    preset = args.icon_set or args.preset
    foreign = getattr(args, "teacher", None)
    if args.images and not foreign:
        config, preset = own_style(args.images, args.title)
    elif preset in stage.presets:
        config = stage.presets[preset]
    else:
        raise InvalidRequest("preset", preset, ", ".join(stage.presets))
    config = limited(config, args.steps, args.minutes, args.cooldown_minutes)
    config = _chosen(config, getattr(args, "seed", []), getattr(args, "variant", []))
    config = overridden(config, getattr(args, "override", []))
    workspace = open_workspace(settings, getattr(config, "data", preset))
    folder = workspace.run(stage.name, f"{preset}-{foreign.resolve().name}" if foreign else preset)
    if getattr(args, "memory", None):
        return _print_memory(stage.name, config, args.memory)
    if args.dry_run:
        print(json.dumps({"stage": stage.name, "folder": str(folder), "config": asdict(config)}, indent=2, default=str))
        return 0
    _prepare_process(args.threads)
    progress = ProgressLine(f"{stage.name}/{folder.name}")
    if foreign:
        _train_foreign(stage.name, config, foreign, args.images, workspace, folder, progress)
    else:
        stage.run(config, workspace, folder, progress)
    logger.info("%s finished: %s", stage.name, folder)
    return 0


def _print_memory(stage: str, config: Any, family: str) -> int:
    """The table of `distillation.memory`. Raises InvalidRequest for other stages and for students that are whole networks."""
    from hypersd_app.training.distillation import memory

    if stage != "student" or config.weights != "lora":
        raise InvalidRequest("memory", family, "it with `train student` and a preset that trains a LoRA")
    phases = memory.count_phases(config, memory.FAMILIES[family])
    print(memory.markdown(phases))
    print(
        f"\nFits a card of {memory.smallest_card(phases):.0f} GiB, {memory.RESERVE // memory.GIB} of them for what was not counted."
    )
    return 0


def _chosen(config: Any, seeds: list[int], variants: list[str]) -> Any:
    """A study's config with what is run now; other stages have no seeds and variants to choose from."""
    from hypersd_app.training.study.config import StudyConfig, chosen

    if isinstance(config, StudyConfig):
        return chosen(config, seeds, variants)
    for field, value in (("seed", seeds), ("variant", variants)):
        if value:
            raise InvalidRequest(field, value[0], "it with `train study` only")
    return config


def _train_foreign(
    stage: str, config: Any, teacher: Path, images: Path | None, workspace: Workspace, folder: Path, progress: Progress
) -> None:
    from hypersd_app.training.distillation import stable_diffusion

    if stage != "student":
        raise InvalidRequest("teacher", str(teacher), "it with `train student` only")
    if images is None:
        raise InvalidRequest("images", "", "a folder of captioned images beside --teacher")
    stable_diffusion.train(config, teacher, images, workspace, folder, progress)


def own_style(images: Path, title: str) -> tuple[StyleConfig, str]:
    """The config of a user's own style, and the run's name made of plain letters."""
    from hypersd_app.training.style.train import StyleConfig

    title = title or images.resolve().name
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower()).strip("-")[:40] or "style"
    # Other images are another run: the same command resumes only what it began.
    seen = "\n".join(f"{path.name} {path.stat().st_size}" for path in sorted(images.glob("*"))) if images.is_dir() else ""
    run = f"{name}-{hashlib.sha256(seen.encode()).hexdigest()[:8]}"
    return StyleConfig(folder=str(images), name=name, title=title, words=f"{title.lower()} style"), run


def open_workspace(settings: Settings, family: str) -> Workspace:
    """The workspace of a family of runs; only trial families keep their weights out of the shipped folder."""
    from hypersd_app.training.workspace import Workspace

    trial = family == "tiny"
    return Workspace(
        settings.runs, settings.runs / "assets" / family if trial else settings.assets / "pocket", family, settings.styles
    )


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    parser.add_argument(
        "what",
        nargs="?",
        default="all",
        choices=("all", "sheets", "figures", "doodles", "styles", "words", "quick-draw", "photo", "convert"),
        help="Pocket's sheets and tables; photo: SD1.5 or SDXL and its students; convert: published weights (default: all)",
    )
    parser.add_argument("--output", type=Path, help="folder for sheets and tables (default: assets/pocket/evaluation)")
    parser.add_argument(
        "--student", action="append", default=[], help="a run of `train student` in place of the newest; repeatable"
    )
    parser.add_argument("--images", "--pictures", type=int, default=500, help="images per row of the tables (default: 500)")
    parser.add_argument("--drawings", type=Path, help="quick-draw: a file or folder of Quick, Draw! drawings (.ndjson, .ndjson.gz)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", type=Path, help="photo: a diffusers folder; --student then names safetensors files")
    parser.add_argument("--prompts", type=Path, help="photo: a .txt of captions, or COCO's captions_val2017.json")
    parser.add_argument("--real", type=Path, help="photo: a folder of photographs for FID (default: no such column)")
    parser.add_argument("--guidance", type=float, default=7.5, help="photo: of the teacher's own rows (default: 7.5)")
    parser.add_argument("--weights", default="", help="convert: aesthetic, image-reward, mask-rcnn or inception")
    parser.add_argument("--source", type=Path, help="convert: the published file")


def run_evaluate(args: argparse.Namespace, settings: Settings) -> int:
    """Write contact sheets and tables; returns the exit status. Raises InvalidRequest and ModelUnavailable."""
    workspace = open_workspace(settings, "pocket")
    if args.what == "convert":
        return _convert(args, workspace)
    if args.what == "photo":
        return _evaluate_photo(args, workspace)
    output = args.output or settings.assets / "pocket" / "evaluation"
    if args.what == "doodles":
        return _evaluate_doodles(workspace, output, args.seed)
    if args.what == "styles":
        return _evaluate_styles(workspace, output, args.seed)
    if args.what == "quick-draw":
        return _evaluate_quick_draw(workspace, output, args.drawings, args.seed)
    if not 20 <= args.images <= 50_000:
        raise InvalidRequest("images", args.images, "20 to 50000")
    evaluate_models(workspace, output, args.what, args.student, args.images, args.seed)
    return 0


def _convert(args: argparse.Namespace, workspace: Workspace) -> int:
    from hypersd_app.training.evaluation.photo.convert import convert

    if args.source is None:
        raise InvalidRequest("source", None, "the published file of weights")
    logger.info("written: %s", convert(args.weights, args.source, workspace))
    return 0


def _evaluate_photo(args: argparse.Namespace, workspace: Workspace) -> int:
    from hypersd_app.training.evaluation.photo import report

    for name in ("teacher", "prompts"):
        if getattr(args, name) is None:
            raise InvalidRequest(name, None, f"--{name}, a path")
    if not 2 <= args.images <= 50_000:
        raise InvalidRequest("images", args.images, "2 to 50000")
    output = args.output or workspace.runs / "evaluation" / "photo"
    students = [Path(student) for student in args.student]
    text = report.write(args.teacher, students, args.prompts, args.real, workspace, output, args.images, args.guidance)
    print(text)
    return 0


def evaluate_models(workspace: Workspace, output: Path, what: str, students: list[str], count: int, seed: int) -> None:
    """Sheets, figures or all of teacher and students. What was drawn before is not drawn again."""
    from hypersd_app.training.evaluation import known_words, models, report, sheets

    sampler = models.new_sampler(workspace)
    cache = models.LatentCache(workspace.runs / "evaluation" / "latents")
    found = [cache.remembered(model) for model in models.load_models(workspace, sampler, students)]
    if what in ("all", "sheets"):
        sheets.write_sheets(found, sampler, output, seed)
    if what == "words":
        rows = known_words.measure(found, workspace, sampler, seed)
        known_words.write(rows, found, sampler, output, seed)
        print(known_words.markdown(rows))
    if what in ("all", "figures"):
        measured = report.measure(found, workspace, sampler, count, seed)
        report.write(measured, output)
        print(report.markdown(measured))


def _evaluate_doodles(workspace: Workspace, output: Path, seed: int) -> int:
    from hypersd_app.training.evaluation.doodles import report

    found = report.measure(workspace, seed)
    report.write(found, output)
    print(report.markdown(found))
    return 0


def _evaluate_quick_draw(workspace: Workspace, output: Path, drawings: Path | None, seed: int) -> int:
    from hypersd_app.training.evaluation.doodles import quick_draw_report as report
    from hypersd_app.training.evaluation.doodles.quick_draw import read_quick_draw

    if drawings is None:
        raise InvalidRequest("drawings", None, "--drawings with a file or folder of Quick, Draw! drawings")
    doodles = read_quick_draw(drawings)
    found = report.measure(workspace, doodles, seed)
    report.write(found, doodles, output)
    print(report.markdown(found))
    return 0


def _evaluate_styles(workspace: Workspace, output: Path, seed: int) -> int:
    from hypersd_app.training.evaluation import styles as style_report

    found = style_report.measure(workspace, seed)
    style_report.write(found, output)
    print(style_report.markdown(found))
    return 0


class ProgressLine:
    """A progress bar that shows the last metrics."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=title, unit="step", mininterval=2.0)

    def __call__(self, done: int, total: int, metrics: dict[str, float]) -> None:
        self._bar.total = total
        self._bar.n = done
        shown = {name: f"{value:.4g}" for name, value in metrics.items() if name not in ("step", "pictures")}
        self._bar.set_postfix(shown, refresh=True)
