"""`python -m hypersd_app bench drawing`: a scripted hand draws for long in a real Chromium; what slows down, and what grows."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hypersd_app.bench.browser.devtools import Tab, open_tab
from hypersd_app.bench.browser.page_modules import page_modules
from hypersd_app.bench.browser.stroke import BOARD_TAB, Places, draw, scripted_strokes, spread
from hypersd_app.bench.load.samples import Slope, fitted
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

PAPER = ".hs-paper"
PAUSE = 0.25  # s between two acts of the hand
SAMPLES = 40  # in a run
WARM_UP = 0.25  # of a run: the timeline fills up, and code is compiled
# What is done between strokes, through the functions that the page's own buttons call.
ACTS: Mapping[str, str] = {
    "undo": "hypersd.board.drawing.undo()",
    "redo": "hypersd.board.drawing.redo()",
    "layer": "hypersd.board.tools.drawOn(hypersd.board.tools.layer === 'color' ? 'lines' : 'color')",
    "ink": "hypersd.board.tools.ink(['#d6342c', '#3d8f52', '#2d6cc0', '#25282d'][Math.floor(Math.random() * 4)])",
    "seed": "hypersd.board.tools.act('dice')",
    "style": """const names = hypersd.board.settings.model.styles.map((style) => style.name);
        const name = names[Math.floor(Math.random() * (names.length + 1))];
        hypersd.board.settings.set('styles', name ? { [name]: 1 } : {});""",
    "clear": "hypersd.board.drawing.clear()",
}
WEIGHTS = {"stroke": 50, "fill": 6, "shape": 6, "undo": 9, "redo": 4, "layer": 5, "ink": 10, "seed": 3, "style": 6, "clear": 1}
PROBE = """window.drawingProbe = { gaps: [] };
let before = 0;
const tick = (now) => { if (before) drawingProbe.gaps.push(now - before); before = now; requestAnimationFrame(tick); };
requestAnimationFrame(tick);"""
GROWTH = 0.1  # of its level, which a thing may grow by in a run where noise does not explain it


@dataclass(frozen=True)
class Sample:
    """What the page is like: minutes from the start, frame times in ms, MB of its scripts' heap, numbers of elements."""

    minutes: float
    frame_p50: float
    frame_p95: float
    heap_mb: float
    nodes: float
    listeners: float


@dataclass(frozen=True)
class Drawn:
    """What was done, how often, and the page's samples in their order."""

    acts: Mapping[str, int]
    samples: Sequence[Sample]

    @property
    def slopes(self) -> dict[str, Slope]:
        """Growth an hour of each figure, once the page is warm."""
        since = WARM_UP * self.samples[-1].minutes
        rows = [sample for sample in self.samples if sample.minutes >= since]
        hours = [sample.minutes / 60 for sample in rows]
        names = ("frame_p50", "frame_p95", "heap_mb", "nodes", "listeners")
        return {name: fitted(hours, [getattr(sample, name) for sample in rows]) for name in names}

    @property
    def growing(self) -> list[str]:
        """What grows, a line each."""
        hours = self.samples[-1].minutes / 60
        return [f"{name} grows: {slope}" for name, slope in self.slopes.items() if not slope.flat(hours, GROWTH)]


def add_drawing_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench drawing`."""
    parser.add_argument("subject", choices=("drawing",))
    parser.add_argument("--minutes", type=float, default=20.0, help="how long the hand draws (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the hand")
    parser.add_argument("--json", type=Path, help="write all samples here too")
    parser.add_argument("--check", action="store_true", help="exit with 1 if frame times or memory grow")


def run_drawing_bench(args: argparse.Namespace, settings: Settings) -> int:
    """Draw, print a table; returns the exit status. Raises HyperSDError."""
    from hypersd_app.bench.load.server import own_server

    if not 0.1 <= args.minutes <= 600:
        raise InvalidRequest("minutes", args.minutes, "0.1 to 600")
    with own_server(settings.environment) as address, open_tab() as tab:
        drawn = measure_drawing(tab, address, args.minutes, args.seed)
    sys.stdout.write(table(drawn) + "\n")
    if args.json is not None:
        args.json.write_text(json.dumps(asdict(drawn), indent=2), encoding="utf-8")
    sys.stdout.writelines(f"{line}\n" for line in drawn.growing)
    return 1 if args.check and drawn.growing else 0


def measure_drawing(tab: Tab, address: str, minutes: float, seed: int = 1, samples: int = SAMPLES) -> Drawn:
    """Draw on the board of a studio for so long, with `samples` looks at the page."""
    open_board(tab, address)
    acts = dict.fromkeys(WEIGHTS, 0)
    found: list[Sample] = []
    start = time.perf_counter()
    for act, places in hand(seed):
        perform(tab, act, places)
        acts[act] += 1
        time.sleep(PAUSE)
        passed = (time.perf_counter() - start) / 60
        if passed >= minutes * len(found) / max(1, samples - 1):
            found.append(sample(tab, passed))
        if passed >= minutes:
            break
    return Drawn(acts, found)


def open_board(tab: Tab, address: str) -> None:
    """The drawing board with its first image, and the clock of frames."""
    tab.go(address)
    tab.wait_for(f"() => {BOARD_TAB}")
    tab.run(f"{BOARD_TAB}.click()")
    tab.run(page_modules())
    tab.wait_for("() => window.hypersd && hypersd.board && hypersd.board.shown")
    tab.run(PROBE)


def hand(seed: int) -> Iterator[tuple[str, Places]]:
    """Acts without end, each with places on the paper: the same for the same seed."""
    chance = random.Random(seed)
    for places in scripted_strokes(10**9, seed):
        yield chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], places


def perform(tab: Tab, act: str, places: Places) -> None:
    """One act: with the pen where a person would take it, else by what the page's buttons call."""
    if act in ACTS:
        tab.run(ACTS[act])
        return
    tool = {"stroke": "brush"}.get(act, act)
    tab.run(f"if (hypersd.board.tools.tool !== '{tool}') hypersd.board.tools.pick('{tool}')")
    draw(tab, PAPER, {"stroke": places, "shape": [places[0], places[-1]], "fill": places[:1]}[act])


def sample(tab: Tab, minutes: float) -> Sample:
    """A look at the page after its garbage is gone."""
    gaps: list[float] = tab.evaluate("() => drawingProbe.gaps.splice(0)")
    frames = spread(gaps or [0.0])
    counts = tab.counts()
    return Sample(
        minutes=minutes,
        frame_p50=frames.p50,
        frame_p95=frames.p95,
        heap_mb=counts["JSHeapUsedSize"] / 1e6,
        nodes=counts["Nodes"],
        listeners=counts["JSEventListeners"],
    )


def table(drawn: Drawn) -> str:
    """The acts, some of the samples and the growth as text."""
    columns = "".join(f"{name:>16}" for name in ("frame p50 ms", "frame p95 ms", "heap MB", "elements", "listeners"))
    rows = drawn.samples[:: max(1, len(drawn.samples) // 10)]
    lines = [", ".join(f"{count} × {act}" for act, count in drawn.acts.items()), f"{'minute':>8}{columns}"]
    lines += [
        f"{row.minutes:8.1f}{row.frame_p50:16.1f}{row.frame_p95:16.1f}{row.heap_mb:16.1f}{row.nodes:16.0f}{row.listeners:16.0f}"
        for row in rows
    ]
    return "\n".join([*lines, *(f"{name}: {slope}" for name, slope in drawn.slopes.items())])
