"""Reading doodles from a text of strokes, and drawing them as a hand on the drawing board would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.data.scribbles import BLACK, Colour, Polyline, Stroke, draw_strokes, silhouette

PAPER = 256
PEN = 3.0  # pixels; the board's usual brush at this size
DRAWINGS = Path(__file__).with_name("drawings.txt")


@dataclass(frozen=True)
class Doodle:
    """A drawing and what it shows; strokes in pixels on a paper of 256 by 256."""

    prompt: str
    strokes: tuple[Stroke, ...]

    @property
    def coloured(self) -> bool:
        """Whether any ink has a colour."""
        return any(stroke.ink != BLACK for stroke in self.strokes)

    def control(self) -> NDArray[np.uint8]:
        """What the ControlNet reads, uint8 (256, 256, 3)."""
        return draw_strokes(list(self.strokes), PAPER, PEN)

    def silhouette(self) -> NDArray[np.uint8]:
        """All that the strokes enclose, and they themselves, as a 0/255 mask."""
        return silhouette(255 - draw_strokes([replace(stroke, ink=BLACK) for stroke in self.strokes], PAPER, PEN))

    def line_mask(self) -> NDArray[np.bool_]:
        """The middle line of every stroke, one pixel wide."""
        return draw_strokes([replace(stroke, ink=BLACK) for stroke in self.strokes], PAPER, 1.0).max(-1) > 127


def read_doodles(path: Path = DRAWINGS) -> tuple[Doodle, ...]:
    """All doodles of a text file; its head says how they are written. Raises InvalidRequest naming the line."""
    doodles: list[Doodle] = []
    move, ink = _placement(""), BLACK
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            if line[0] != " ":
                prompt, _, place = text.partition(" @")
                doodles.append(Doodle(prompt, ()))
                move, ink = _placement(place), BLACK
            elif text.startswith("ink "):
                ink = _colour(text.removeprefix("ink "))
            else:
                stroke = Stroke(move(_points(text)), ink)
                doodles[-1] = replace(doodles[-1], strokes=(*doodles[-1].strokes, stroke))
        except (ValueError, IndexError, KeyError):
            raise InvalidRequest("doodle", f"{path.name} line {number}: {text}", "strokes as the head of the file says") from None
    return tuple(doodles)


def _colour(text: str) -> Colour:
    if len(text) != 7 or text[0] != "#":
        raise ValueError(text)
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _placement(text: str) -> Callable[[Polyline], Polyline]:
    right, down, scale = (float(word) for word in text.split()) if text.strip() else (0.0, 0.0, 1.0)
    return lambda points: ((points - PAPER / 2) * scale + PAPER / 2 + (right, down)).astype(np.float32)


def _points(text: str) -> Polyline:
    kind, *words = text.split()
    return _SHAPES[kind]([float(word) for word in words])


def _line(numbers: list[float]) -> Polyline:
    points = np.array(numbers, np.float32).reshape(-1, 2)
    if len(points) < 2:
        raise ValueError(numbers)
    return points


def _poly(numbers: list[float]) -> Polyline:
    points = _line(numbers)
    return np.concatenate([points, points[:1]])


def _curve(numbers: list[float]) -> Polyline:
    points = _line(numbers)
    return _through(np.concatenate([points[:1], points, points[-1:]]))


def _loop(numbers: list[float]) -> Polyline:
    points = _line(numbers)
    return _through(np.concatenate([points[-1:], points, points[:2]]))


def _through(points: Polyline, pieces: int = 12) -> Polyline:
    """A smooth curve through all but the first and last point (Catmull and Rom, 1974, centripetal)."""
    out = []
    for a, b, c, d in zip(points, points[1:], points[2:], points[3:], strict=False):
        knots = np.cumsum([0.0, *(max(1e-3, float(np.linalg.norm(q - p)) ** 0.5) for p, q in ((a, b), (b, c), (c, d)))])
        t = np.linspace(knots[1], knots[2], pieces, endpoint=False)[:, None]

        def mix(p: Polyline, q: Polyline, i: int, j: int, t: Polyline = t, knots: Polyline = knots) -> Polyline:
            return ((knots[j] - t) * p + (t - knots[i]) * q) / (knots[j] - knots[i])

        ab, bc, cd = mix(a, b, 0, 1), mix(b, c, 1, 2), mix(c, d, 2, 3)
        out.append(mix(mix(ab, bc, 0, 2), mix(bc, cd, 1, 3), 1, 2))
    return np.concatenate([*out, points[-2:-1]]).astype(np.float32)


def _ellipse(numbers: list[float]) -> Polyline:
    x, y, wide, high, turn = (*numbers, 0.0)[:5]
    return _round(x, y, wide, high, 0.0, 360.0, turn)


def _arc(numbers: list[float]) -> Polyline:
    x, y, wide, high, start, stop = numbers
    return _round(x, y, wide, high, start, stop, 0.0)


def _round(x: float, y: float, wide: float, high: float, start: float, stop: float, turn: float) -> Polyline:
    angles = np.deg2rad(np.linspace(start, stop, max(8, int(abs(stop - start) / 6))))
    circle = np.stack([wide * np.cos(angles), high * np.sin(angles)], 1)
    cosine, sine = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    return (circle @ np.array([[cosine, sine], [-sine, cosine]]) + (x, y)).astype(np.float32)


_SHAPES: dict[str, Callable[[list[float]], Polyline]] = {
    "line": _line,
    "poly": _poly,
    "curve": _curve,
    "loop": _loop,
    "ellipse": _ellipse,
    "arc": _arc,
}
