"""`python -m hypersd_app bench load`: frames, fairness and waiting with many visitors at once, and what a long run leaks."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hypersd_app.bench.load.samples import Samples
from hypersd_app.bench.load.server import RunningServer, own_server
from hypersd_app.bench.load.visitor import Drawer, Tally
from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

WARM_UP = 4.0  # seconds of drawing by all before anything counts: each batch size is compiled when it first comes
SETTLE = 1.0  # and by those who are measured next
LONG = 60.0  # seconds from which on it is worth telling what grows


@dataclass(frozen=True)
class Row:
    """What so many visitors saw. Times are milliseconds; `p50` and `p95` run from a state sent to the image that shows it."""

    visitors: int
    seconds: float
    frames_per_second: float
    fairness: float  # Jain's index of images per second
    p50: float
    p95: float
    sent: int
    dropped: int
    errors: int
    stale: int
    foreign: int
    lost: int
    batches: Mapping[int, int]  # size -> images that were drawn in such a batch

    @property
    def sound(self) -> bool:
        """No visitor saw an older image after a newer one, or what was meant for another."""
        return self.stale == 0 and self.foreign == 0


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench load`."""
    parser.add_argument("load", choices=("load",))
    parser.add_argument("--visitors", default="1,4,16,64", help="how many draw at once; several numbers with commas")
    parser.add_argument("--seconds", type=float, default=15.0, help="for each number of visitors")
    parser.add_argument("--churn", type=float, default=0.0, metavar="SECONDS", help="visitors leave after so long on average")
    parser.add_argument("--styles", action="store_true", help="another style with every stroke")
    parser.add_argument("--address", help="a running studio (default: one of its own, on a free port)")
    parser.add_argument("--ray", type=int, default=0, metavar="REPLICAS", help="the own studio draws on so many replicas")
    parser.add_argument("--json", type=Path, help="also write the figures here")


def run_load_bench(args: argparse.Namespace, _settings: Settings) -> int:
    """Run and print; 1 if a stale or a foreign image came. Raises HyperSDError."""
    try:
        counts = [int(text) for text in args.visitors.split(",")]
    except ValueError:
        raise InvalidRequest("--visitors", args.visitors, "whole numbers with commas between") from None
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a token is not what one wants to read here
    with contextlib.ExitStack() as stack:
        options = ("--replicas", str(args.ray)) if args.ray else ()
        # Its visitors stand for browsers elsewhere.
        address = args.address or stack.enter_context(own_server({"HYPERSD_SPARE_CORES": "0"}, options))
        rows = asyncio.run(_run(address, counts, args))
    if args.json:
        args.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")
    return 0 if all(row.sound for row in rows) else 1


async def _run(address: str, counts: Sequence[int], args: argparse.Namespace) -> list[Row]:
    server = RunningServer(address)
    await server.open()
    styles = server.styles() if args.styles else []
    say(f"{'visitors':>8} {'frames/s':>8} {'Jain':>6} {'p50 ms':>7} {'p95 ms':>7} {'sent':>6} {'dropped':>7} errors stale  batches")
    rows = []
    await draw(server, max(counts), WARM_UP, styles, 0.0)
    for count in counts:
        async with Samples(server) as samples:
            tallies = await draw(server, count, args.seconds, styles, args.churn)
        rows.append(summed(count, tallies))
        say(shown(rows[-1]))
        for message, times in Counter(text for tally in tallies for text in tally.messages).most_common(5):
            say(f"{times:>8} x {message}")
        if args.seconds >= LONG or args.churn:
            say(samples.report())
    await server.close()
    return rows


async def draw(server: RunningServer, count: int, seconds: float, styles: Sequence[str], churn: float) -> list[Tally]:
    """What `count` visitors saw who drew at once for `seconds`, after a moment that nobody counts."""
    await _together([Drawer(server, number, styles) for number in range(count)], SETTLE)
    drawers = [Drawer(server, number, styles, churn) for number in range(count)]
    await _together(drawers, seconds)
    return [drawer.tally for drawer in drawers]


async def _together(drawers: Sequence[Drawer], seconds: float) -> None:
    until = time.perf_counter() + seconds
    await asyncio.gather(*(drawer.run(until) for drawer in drawers))


def summed(count: int, tallies: Sequence[Tally]) -> Row:
    """The row of a table."""
    waits = np.array([wait for tally in tallies for wait in tally.waits] or [float("nan")]) * 1000
    seconds = max(tally.seconds for tally in tallies)
    return Row(
        visitors=count,
        seconds=seconds,
        frames_per_second=sum(tally.images for tally in tallies) / seconds,
        fairness=jain([tally.images / tally.seconds for tally in tallies]),
        p50=float(np.percentile(waits, 50)),
        p95=float(np.percentile(waits, 95)),
        sent=sum(tally.sent for tally in tallies),
        dropped=sum(tally.dropped for tally in tallies),
        errors=sum(tally.errors for tally in tallies),
        stale=sum(tally.stale for tally in tallies),
        foreign=sum(tally.foreign for tally in tallies),
        lost=sum(tally.lost for tally in tallies),
        batches=dict(sorted(Counter(size for tally in tallies for size in tally.batches).items())),
    )


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all have the same, 1/n if one has everything."""
    squares = sum(share**2 for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def shown(row: Row) -> str:
    """A line of the table."""
    sizes = " ".join(f"{size}:{images}" for size, images in row.batches.items())
    bad = row.stale + row.foreign
    return (
        f"{row.visitors:>8} {row.frames_per_second:>8.1f} {row.fairness:>6.3f} {row.p50:>7.0f} {row.p95:>7.0f} {row.sent:>6} "
        f"{row.dropped:>7} {row.errors + row.lost:>6} {bad:>5}  {sizes}"
    )


def say(text: str) -> None:
    """A line on standard output, at once: a soak is watched while it runs."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
