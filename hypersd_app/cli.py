"""`hypersd-studio serve | generate | train | evaluate | bench | screenshots`, which is `python -m hypersd_app` too.

Each command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from hypersd_app.errors import HyperSDError
from hypersd_app.server.observability.log_lines import write_log
from hypersd_app.settings import BACKENDS, DEVICES, PRECISIONS, SAFETY, Settings, from_environment
from hypersd_app.system import print_anything

Command = Callable[[argparse.Namespace, Settings], int]
SERVING = ("host", "port", "share", "safety", "replicas", "most_replicas", "replica_cores", "replica_gpus", "ray_address")
SHARED = ("backend", "device", "precision", "compile", "offline", "memory_gb", "default_model")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0 done, 1 failed with a message, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    print_anything()
    parser = new_parser(arguments)
    args = parser.parse_args(arguments)
    level = logging.DEBUG if args.verbose else logging.INFO
    write_log(level, os.environ.get("HYPERSD_LOG_PROMPTS", "").lower() in ("1", "true", "yes"))
    try:
        chosen = {name: getattr(args, name, None) for name in (*SHARED, *SERVING)}
        settings = from_environment(**chosen, limits=_limits(args))
        command: Command = args.command
        return command(args, settings)
    except HyperSDError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _limits(args: argparse.Namespace) -> str | None:
    """The environment's limits and those of the command line, which come later and win."""
    named = getattr(args, "limit", None)
    return None if named is None else " ".join([os.environ.get("HYPERSD_LIMITS", ""), *named])


def new_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """All commands. Options of the one that `arguments` names are added by its own module, imported only then."""
    parser = argparse.ArgumentParser(prog="hypersd-studio", description="Few-step diffusion: draw, serve, train, measure.")
    commands = parser.add_subparsers(required=True, metavar="command")
    rows: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None], Command], ...] = (
        ("serve", "open the studio in a browser", _add_serve, _serve),
        ("generate", "make images", _add_generate, _generate),
        ("train", "train or distil a model", _add_train, _train),
        ("evaluate", "measure a model's images", _add_evaluate, _evaluate),
        (
            "bench",
            "measure speed; `bench stroke` and `bench drawing`: the board in a browser, `bench load`: many visitors, "
            "`bench soak` and `bench worst`: "
            "hostile ones too, `bench training`: a step, `bench card`: all of a graphics card",
            *_bench_of(arguments),
        ),
        ("screenshots", "take a screenshot of every tab, light and dark, in a browser", _add_screenshots, _screenshots),
    )
    for name, title, add_arguments, run in rows:
        command = commands.add_parser(name, help=title, description=title)
        _add_shared(command)
        if name in arguments:
            add_arguments(command)
        command.set_defaults(command=run)
    return parser


def _add_shared(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("machine")
    group.add_argument("--backend", choices=BACKENDS)
    group.add_argument("--device", choices=DEVICES)
    group.add_argument("--precision", choices=PRECISIONS, help="of the networks (default: what the device is fastest in)")
    group.add_argument("--compile", action="store_true", default=None, help="UNets by torch.compile (minutes, once a size)")
    group.add_argument("--offline", action="store_true", default=None, help="never ask the Hub")
    group.add_argument("--memory-gb", type=float, help="budget for resident models")
    group.add_argument("--verbose", action="store_true")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--share", action="store_true", default=None, help="a public address through Gradio's tunnel")
    parser.add_argument("--model", dest="default_model", help="the model the studio opens with")
    parser.add_argument("--safety", choices=SAFETY, help="the safety filter (default: on beyond this machine)")
    parser.add_argument(
        "--limit", action="append", metavar="NAME=VALUE", help="what visitors may ask, say sessions=100; repeatable"
    )
    cluster = parser.add_argument_group("Ray Serve")
    cluster.add_argument("--replicas", type=int, help="draw on at least so many replicas")
    cluster.add_argument("--most-replicas", type=int, help="add replicas up to so many while all are busy")
    cluster.add_argument("--replica-cores", type=int, help="processor cores of each replica")
    cluster.add_argument("--replica-gpus", type=float, help="share of a card of each replica (default: cards divided evenly)")
    cluster.add_argument("--ray-address", help="a Ray cluster that runs already (default: one on this machine)")


def _serve(_args: argparse.Namespace, settings: Settings) -> int:
    settings.require_pocket()
    from hypersd_app.engine.memory.zero_gpu import lends_gpu, require_spaces

    if lends_gpu():
        require_spaces()  # before Gradio, and before anything asks for CUDA
    from hypersd_app.ui.app import serve

    serve(settings)
    return 0


def _add_generate(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.engine.commands import add_generate_arguments

    add_generate_arguments(parser)


def _generate(args: argparse.Namespace, settings: Settings) -> int:
    if args.again is None and not args.list:
        replace(settings, default_model=args.model or settings.default_model).require_pocket()
    from hypersd_app.engine.commands import run_generate

    return run_generate(args, settings)


def _add_train(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.training.cli import add_train_arguments

    add_train_arguments(parser)


def _train(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.training.cli import run_train

    return run_train(args, settings)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.training.cli import add_evaluate_arguments

    add_evaluate_arguments(parser)


def _evaluate(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.training.cli import run_evaluate

    return run_evaluate(args, settings)


def _bench_of(arguments: Sequence[str]) -> tuple[Callable[[argparse.ArgumentParser], None], Command]:
    """What `bench` runs: the engine's parts, or what the word after it names."""
    subjects: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command]] = {
        "stroke": (_add_stroke_bench, _stroke_bench),
        "drawing": (_add_drawing_bench, _drawing_bench),
        "card": (_add_card_bench, _card_bench),
        "training": (_add_training_bench, _training_bench),
        "soak": (_add_soak_bench, _soak_bench),
        "worst": (_add_worst_bench, _worst_bench),
        "load": (_add_load_bench, _load_bench),
    }
    return next((rows for name, rows in subjects.items() if name in arguments), (_add_bench, _bench))


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.engine import add_bench_arguments

    add_bench_arguments(parser)


def _bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.engine import run_bench

    return run_bench(args, settings)


def _add_stroke_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.browser.stroke import add_stroke_arguments

    add_stroke_arguments(parser)


def _stroke_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.browser.stroke import run_stroke_bench

    return run_stroke_bench(args, settings)


def _add_drawing_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.browser.drawing import add_drawing_arguments

    add_drawing_arguments(parser)


def _drawing_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.browser.drawing import run_drawing_bench

    return run_drawing_bench(args, settings)


def _add_card_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.card import add_card_arguments

    add_card_arguments(parser)


def _card_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.card import run_card

    return run_card(args, settings)


def _add_load_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.load.bench import add_load_arguments

    add_load_arguments(parser)


def _load_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.load.bench import run_load_bench

    return run_load_bench(args, settings)


def _add_soak_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.load.soak import add_soak_arguments

    add_soak_arguments(parser)


def _soak_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.load.soak import run_soak_bench

    return run_soak_bench(args, settings)


def _add_worst_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.load.worst import add_worst_arguments

    add_worst_arguments(parser)


def _worst_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.load.worst import run_worst_bench

    return run_worst_bench(args, settings)


def _add_training_bench(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.training import add_training_arguments

    add_training_arguments(parser)


def _training_bench(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.training import run_training_bench

    return run_training_bench(args, settings)


def _add_screenshots(parser: argparse.ArgumentParser) -> None:
    from hypersd_app.bench.browser.screenshots import add_screenshots_arguments

    add_screenshots_arguments(parser)


def _screenshots(args: argparse.Namespace, settings: Settings) -> int:
    from hypersd_app.bench.browser.screenshots import run_screenshots

    return run_screenshots(args, settings)
