"""`python -m hypersd_app bench stroke`: a scripted pen in a real Chromium, the drawing board against `gr.ImageEditor`."""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.bench.browser.devtools import Tab, open_tab
from hypersd_app.bench.browser.page_modules import page_modules
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

if TYPE_CHECKING:
    from hypersd_app.server.engines.protocol import ImageEngine

PROBE = Path(__file__).with_name("stroke_probe.js")
POINTS = 14  # a stroke, at the rate of a mouse
EDITOR_POINTS = 4
EDITOR_PAPER = 0.8  # of its canvas's side, at least
PEN_HZ = 60.0
PAUSE = 0.15  # s between two strokes: shorter than the resting pen's, so that only live images are timed
CLEAR_EVERY = 25  # strokes
EDITOR_QUIET = 0.4  # s without an image before the editor gets its next stroke: none may be taken for another's
PROMPT = "a red apple"
BOARD_TAB = "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent.trim() === 'Drawing board')"
EDITOR_BRUSH = "document.querySelector('#editor button[aria-label=Brush]')"
EDITOR_CANVAS = "#editor canvas"

# What `--check` asks for.
MOST_P50, MOST_P95 = 80.0, 130.0  # ms from a movement of the pen to the image that shows it
FEWEST_FRAMES = 50.0  # drawn a second, during every single stroke

Places = list[tuple[float, float]]


@dataclass(frozen=True)
class Spread:
    """Milliseconds of `count` events: median, 95th percentile, longest."""

    count: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True, kw_only=True)
class StrokeReport:
    """What was measured.

    `frames` are frames per second that the page draws while the pen is down: the median of all strokes; 5 % of them fall below
    `slowest`, and `worst` is the single worst stroke's.
    """

    strokes: int
    movement: Spread
    lifted: Spread
    editor: Spread | None
    frames: float
    slowest: float
    worst: float
    images: float


def add_stroke_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench stroke`."""
    parser.add_argument("subject", choices=("stroke",))
    parser.add_argument("--strokes", type=int, default=200, help="on the drawing board (default: 200)")
    parser.add_argument("--editor-strokes", type=int, default=20, help="on gr.ImageEditor, 0 leaves it out (default: 20)")
    parser.add_argument("--transport", choices=("socket", "call", "event"), default="socket")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    bounds = f"p50 {MOST_P50:.0f} ms, p95 {MOST_P95:.0f} ms, {FEWEST_FRAMES:.0f} drawn frames/s in every stroke"
    parser.add_argument("--check", action="store_true", help=f"exit with 1 unless the board keeps to {bounds}")


def run_stroke_bench(args: argparse.Namespace, settings: Settings) -> int:
    """Measure and print a table; returns the exit status. Raises HyperSDError."""
    from hypersd_app.bench.load.server import own_server

    if not 2 <= args.strokes <= 10_000:
        raise InvalidRequest("strokes", args.strokes, "2 to 10000")
    # In a process of its own, as always: the pen's script would take its turns from it.
    with own_server(settings.environment) as address, open_tab() as tab:
        report = summary(args.strokes, measure_board(tab, address, args.strokes, args.transport))
    sys.stdout.write(board_table(report) + "\n")
    sys.stdout.flush()  # the editor takes long, and may not get through
    if args.editor_strokes:
        report = replace(report, editor=spread(measured_editor(settings, args.editor_strokes)))
        sys.stdout.write(editor_table(report) + "\n")
    if args.json is not None:
        args.json.write_text(json.dumps(asdict(report), indent=2), encoding="utf-8")
    failures = missed(report) if args.check else []
    sys.stdout.writelines(f"missed: {failure}\n" for failure in failures)
    return 1 if failures else 0


def measure_board(tab: Tab, address: str, strokes: int, transport: str) -> dict[str, Any]:
    """The probe's times of `strokes` strokes on the drawing board of a studio."""
    tab.go(f"{address}?transport={transport}")
    tab.wait_for(f"() => {BOARD_TAB}")
    tab.run(f"{BOARD_TAB}.click()")
    tab.run(page_modules())
    tab.wait_for("() => window.hypersd && hypersd.board && hypersd.board.image")
    tab.run(PROBE.read_text(encoding="utf-8"))
    tab.run("strokeProbe.watchBoard(hypersd.board)")
    for number, places in enumerate(scripted_strokes(strokes)):
        if number % CLEAR_EVERY == 0:
            tab.run("hypersd.board.drawing.clear()")
        draw(tab, ".hs-paper", places)
        time.sleep(PAUSE)
    tab.wait_for(f"() => strokeProbe.lifts.length === {strokes}")
    found: dict[str, Any] = tab.evaluate("() => strokeProbe")
    return found


def measured_editor(settings: Settings, strokes: int) -> list[float]:
    """`measure_editor` with an engine and a browser of its own."""
    from hypersd_app.server.engines.factory import open_engine

    engine = open_engine(settings.for_visitors())
    try:
        engine.warm_up(settings.default_model)
        with open_tab() as tab:
            return measure_editor(tab, engine, settings, strokes)
    finally:
        engine.close()


def measure_editor(tab: Tab, engine: ImageEngine, settings: Settings, strokes: int) -> list[float]:
    """Milliseconds from pen-up to image of `strokes` strokes on `gr.ImageEditor`.

    Without a GPU its WebGL canvas takes most of a second for every movement of the pen, so its strokes are short.
    """
    from hypersd_app.bench.browser.editor_page import editor_page
    from hypersd_app.requests import GenerationRequest

    blocks = editor_page(engine, GenerationRequest(PROMPT, model=settings.default_model, seed=7))
    port = free_port()
    blocks.launch(server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, ssr_mode=False)
    try:
        tab.go(f"http://127.0.0.1:{port}/")
        tab.wait_for(f"() => {EDITOR_BRUSH} && document.querySelector('{EDITOR_CANVAS}')")
        tab.run(f"{EDITOR_BRUSH}.click()")
        tab.run(PROBE.read_text(encoding="utf-8"))
        tab.run("strokeProbe.watchEditor(document.querySelector('#output'))")
        for number, places in enumerate(scripted_strokes(strokes + 1, points=EDITOR_POINTS)):
            draw(tab, EDITOR_CANVAS, on_the_paper(places))
            tab.wait_for(f"() => strokeProbe.lifts.length >= {number + 1}")
            tab.wait_for(f"() => performance.now() - strokeProbe.images.at(-1) > {EDITOR_QUIET * 1000}")
        times: list[float] = tab.evaluate("() => strokeProbe.lifts")
    finally:
        blocks.close(verbose=False)
    return times[1:]  # the first one warms the way


def scripted_strokes(count: int, seed: int = 1, points: int = POINTS) -> Iterator[Places]:
    """Strokes as places 0..1: arcs of a hand, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        x, y = chance.uniform(0.25, 0.75), chance.uniform(0.25, 0.75)
        start, turn, radius = chance.uniform(0, 2 * math.pi), chance.uniform(-3, 3), chance.uniform(0.08, 0.2)
        angles = [start + turn * i / (points - 1) for i in range(points)]
        yield [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def on_the_paper(places: Places) -> Places:
    """The stroke nearer the middle: the editor's canvas has a margin around its paper, and a stroke that begins there is none."""
    return [(0.5 + (x - 0.5) * EDITOR_PAPER, 0.5 + (y - 0.5) * EDITOR_PAPER) for x, y in places]


def draw(tab: Tab, surface: str, places: Places) -> None:
    """One stroke at the pen's rate on what a selector finds, through the browser's own input. Raises HyperSDError."""
    box = tab.evaluate(f"() => document.querySelector('{surface}').getBoundingClientRect().toJSON()")
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    tab.move(*points[0])
    tab.down()
    due = time.perf_counter()
    for point in points[1:]:
        due += 1 / PEN_HZ
        time.sleep(max(0.0, due - time.perf_counter()))
        tab.move(*point)
    tab.up()


def spread(times: Sequence[float]) -> Spread:
    """Median, 95th percentile and longest of times in milliseconds."""
    ordered = sorted(times)
    return Spread(len(ordered), statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], ordered[-1])


def summary(strokes: int, board: dict[str, Any]) -> StrokeReport:
    """Figures from the probe's times."""
    runs = [frames for frames in board["frames"] if len(frames) > 2]
    rates = sorted((len(frames) - 1) / (frames[-1] - frames[0]) * 1000 for frames in runs)
    seconds = sum(frames[-1] - frames[0] for frames in runs) / 1000
    during = sum(any(frames[0] <= at <= frames[-1] for frames in runs) for at in board["images"])
    return StrokeReport(
        strokes=strokes,
        movement=spread(board["moves"]),
        lifted=spread(board["lifts"]),
        editor=None,
        frames=statistics.median(rates),
        slowest=rates[int(0.05 * len(rates))],
        worst=rates[0],
        images=during / seconds,
    )


def missed(report: StrokeReport) -> list[str]:
    """What of `--check` the board does not keep to, a line each."""
    bounds = (
        (report.movement.p50 > MOST_P50, f"p50 {report.movement.p50:.1f} ms, at most {MOST_P50:.0f}"),
        (report.movement.p95 > MOST_P95, f"p95 {report.movement.p95:.1f} ms, at most {MOST_P95:.0f}"),
        (report.worst < FEWEST_FRAMES, f"{report.worst:.1f} drawn frames/s in the worst stroke, at least {FEWEST_FRAMES:.0f}"),
    )
    return [words for broken, words in bounds if broken]


def row(name: str, times: Spread) -> str:
    """A line of the table."""
    return f"  {name:36}{times.count:8}{times.p50:9.0f}{times.p95:9.0f}{times.longest:9.0f}"


def board_table(report: StrokeReport) -> str:
    """The drawing board's part of the report as text."""
    lines = (
        f"{report.strokes} strokes of {POINTS} points at {PEN_HZ:.0f} Hz; while the pen is down {report.images:.1f} images/s",
        f"and {report.frames:.0f} drawn frames/s (slowest 5 % of strokes: {report.slowest:.0f}, worst stroke: {report.worst:.0f})",
        f"  {'':36}{'events':>8}{'p50 ms':>9}{'p95 ms':>9}{'longest':>9}",
        row("board: pen movement to image", report.movement),
        row("board: pen up to image", report.lifted),
    )
    return "\n".join(lines)


def editor_table(report: StrokeReport) -> str:
    """The editor's part of the report as text."""
    assert report.editor is not None
    faster = report.editor.p50 / report.lifted.p50
    return f"{row('gr.ImageEditor: pen up to image', report.editor)}\n  the board answers {faster:.0f}x sooner"
