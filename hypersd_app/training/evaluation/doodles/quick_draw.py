"""Drawings of the Quick, Draw! data set: one JSON object a line, as its `full/simplified` files are, plain or gzipped.

The drawings are no part of this project (Google LLC, CC BY 4.0): whoever measures with them names a file or folder.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.data.scribbles import BLACK, Stroke
from hypersd_app.training.data.words.grammar import with_article
from hypersd_app.training.evaluation.doodles.drawing import PAPER, Doodle

BOX = 255  # the side of the box that the drawings stand in
MARGIN = 20  # px of the paper that stay free around a drawing
TEACHING = 6  # drawings of a word that may teach, the first; the others only measure
MEASURING = 6
LONGEST_LINE = 2**20  # characters


def read_quick_draw(path: Path, skip: int = TEACHING, count: int = MEASURING) -> tuple[Doodle, ...]:
    """Of each word `count` drawings after the first `skip`, by file and word in order of their names.

    Raises InvalidRequest naming the file and line that can't be read, or a path without drawings.
    """
    files = sorted([*path.glob("*.ndjson"), *path.glob("*.ndjson.gz")]) if path.is_dir() else [path]
    found = [doodle for file in files for doodle in _chosen(file, skip, count)]
    if not found:
        raise InvalidRequest("drawings", str(path), "a file or folder of Quick, Draw! drawings (.ndjson or .ndjson.gz)")
    return tuple(found)


def _chosen(file: Path, skip: int, count: int) -> Iterator[Doodle]:
    rows = sorted(_rows(file), key=lambda row: row.prompt)  # stable: the order within a word is the file's
    for _, drawings in groupby(rows, key=lambda row: row.prompt):
        yield from islice(drawings, skip, skip + count)


def _rows(file: Path) -> Iterator[Doodle]:
    try:
        with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), ""), 1):
                try:
                    row = json.loads(line)
                    yield Doodle(with_article(str(row["word"])), tuple(_stroke(points) for points in row["drawing"]))
                except (ValueError, KeyError, TypeError, IndexError, RecursionError):
                    allowed = 'an object with "word" and "drawing", a list of [[x, …], [y, …]]'
                    raise InvalidRequest("drawings", f"{file.name} line {number}: {line[:40]!r}", allowed) from None
    except OSError as error:
        raise InvalidRequest("drawings", str(file), f"a file that can be read ({error.strerror or error})") from None


def _stroke(points: list[list[float]]) -> Stroke:
    along = np.array([points[0], points[1]], np.float32).T
    if along.ndim != 2 or not np.isfinite(along).all():
        raise ValueError
    return Stroke(along * ((PAPER - 2 * MARGIN) / BOX) + MARGIN, BLACK)
