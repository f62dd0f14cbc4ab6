"""`bench soak`: visitors come and go for long, in blocks with and without hostile requests; what grows, and who waits longer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hypersd_app.bench.load.bench import WARM_UP, jain, say
from hypersd_app.bench.load.hostile import PAUSE, attack
from hypersd_app.bench.load.samples import Samples, Slope
from hypersd_app.bench.load.server import RunningServer, own_server
from hypersd_app.bench.load.visitor import Drawer, Tally, Wish
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

FAIREST, LONGEST_WAIT = 0.95, 1.3  # Jain's index at least; p95 of waits in hostile blocks, times that of the others, at most
GROWTH = 0.05  # of its level, which a thing may grow by in a run where noise does not explain it
STAY = 20.0  # seconds that a visitor stays on average
BLOCK = 300.0  # seconds


@dataclass(frozen=True)
class Soak:
    """What came of it."""

    visitors: int
    hours: float
    slopes: Mapping[str, Slope]
    fairness: float
    quiet: Sequence[Tally]
    hostile: Sequence[Tally]
    told: Mapping[str, int]  # answers to the hostile address

    @property
    def p95(self) -> tuple[float, float]:
        """Seconds that honest visitors waited at the 95th percentile: in quiet blocks, and in hostile ones."""
        return _p95(self.quiet), _p95(self.hostile)

    @property
    def faults(self) -> list[str]:
        """What does not hold."""
        quiet, hostile = self.p95
        tallies = [*self.quiet, *self.hostile]
        growing = [f"{title} grow: {slope}" for title, slope in self.slopes.items() if not slope.flat(self.hours, GROWTH)]
        found = {
            f"Jain's index is {self.fairness:.3f}": self.fairness < FAIREST,
            f"p95 of waits is {hostile / quiet:.2f} times as long in hostile blocks": hostile > LONGEST_WAIT * quiet,
            "images of others, or older ones, came": any(tally.stale or tally.foreign for tally in tallies),
            f"{sum(tally.lost for tally in tallies)} frames were lost": any(tally.lost for tally in tallies),
        }
        return [*growing, *(text for text, holds in found.items() if holds)]

    def __str__(self) -> str:
        quiet, hostile = self.p95
        lines = [f"{title:>16} {slope}" for title, slope in self.slopes.items()]
        images = sum(tally.images for tally in (*self.quiet, *self.hostile))
        return "\n".join(
            (
                f"{self.visitors} visitors, {60 * self.hours:.1f} minutes, {images} images",
                *lines,
                f"Jain's index {self.fairness:.3f}; p95 {1000 * quiet:.0f} ms quiet, {1000 * hostile:.0f} ms hostile: "
                f"{hostile / quiet:.2f} times; the hostile address was told {dict(self.told)}",
            )
        )


def _p95(tallies: Sequence[Tally]) -> float:
    return float(np.percentile([wait for tally in tallies for wait in tally.waits] or [float("inf")], 95))


def add_soak_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench soak`."""
    parser.add_argument("soak", choices=("soak",))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--visitors", type=int, default=32)
    parser.add_argument("--block", type=float, default=BLOCK, metavar="SECONDS", help="after which hostile requests begin or end")
    parser.add_argument("--models", default="pocket", help="that strokes are drawn with, in all their sizes; names with commas")
    parser.add_argument("--address", help="a running studio that trusts X-Forwarded-For from here (default: one of its own)")
    parser.add_argument("--json", type=Path, help="also write the figures here")


def run_soak_bench(args: argparse.Namespace, _settings: Settings) -> int:
    """Run and print; 1 if something grew, or honest visitors were held up. Raises HyperSDError."""
    if args.visitors < 1 or not args.minutes > 0 or not args.block > 0:
        raise InvalidRequest("soak", f"{args.visitors} visitors, {args.minutes} minutes, {args.block} s", "numbers above 0")
    with contextlib.ExitStack() as stack:
        address = args.address or stack.enter_context(own_server({"HYPERSD_SPARE_CORES": "0"}))
        soak = asyncio.run(soaked(address, args.visitors, 60 * args.minutes, args.block, args.models.split(",")))
    say(str(soak))
    for fault in soak.faults:
        say(f"  not so: {fault}")
    if args.json:
        args.json.write_text(json.dumps(asdict(soak), indent=1), encoding="utf-8")
    return 1 if soak.faults else 0


async def soaked(
    address: str,
    visitors: int,
    seconds: float,
    block: float,
    models: Sequence[str] = ("pocket",),
    warm_up: float = WARM_UP,
    pause: float = PAUSE,
) -> Soak:
    """Blocks of `block` seconds, quiet and hostile by turns, until `seconds` have passed; at least one of each."""
    servers = [RunningServer(address, f"203.0.113.{number % 250 + 1}") for number in range(visitors)]
    for server in servers:
        await server.open()
    wishes = [Wish(model, side) for model in models for side in (0, *servers[0].sizes(model))]
    styles = servers[0].styles()
    await _block(servers, warm_up, styles, wishes)
    quiet: list[Tally] = []
    hostile: list[Tally] = []
    told, began = Counter[str](), time.perf_counter()
    async with Samples(servers[0], min(5.0, seconds / 20)) as samples:
        while not hostile or time.perf_counter() - began < seconds:
            quiet += await _block(servers, block, styles, wishes)
            async with attack(address, pause) as answers:
                hostile += await _block(servers, block, styles, wishes)
            told += answers
    hours = (time.perf_counter() - began) / 3600
    for server in servers:
        await server.close()
    # Of each visitor over all blocks: in one alone the strokes that chance gave them would count.
    own = [sum(tally.images for tally in (*quiet, *hostile)[number::visitors]) for number in range(visitors)]
    return Soak(visitors, hours, samples.slopes(), jain(own), quiet, hostile, told)


async def _block(servers: Sequence[RunningServer], seconds: float, styles: Sequence[str], wishes: Sequence[Wish]) -> list[Tally]:
    until = time.perf_counter() + seconds
    drawers = [Drawer(server, number, styles, STAY, wishes) for number, server in enumerate(servers)]
    await asyncio.gather(*(drawer.run(until) for drawer in drawers))
    return [drawer.tally for drawer in drawers]
