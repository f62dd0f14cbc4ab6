"""Weighted parts of a prompt, in A1111's and in ComfyUI's grammar. One pass over the text, whatever is in it."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

DEEPEST = 64  # brackets that count; 64 of them multiply by 446
STRONGER = 1.1  # what a pair of parentheses multiplies by
SPECIAL = frozenset("\\()[]:")
BREAK = "BREAK"


@dataclass(frozen=True)
class Segment:
    """Words with one weight; `breaks` marks A1111's BREAK, which has none."""

    text: str
    weight: float = 1.0

    @property
    def breaks(self) -> bool:
        """Whether the words after it begin a chunk of their own."""
        return self.weight == -1.0 and self.text == BREAK


def a1111_segments(text: str) -> list[Segment]:
    """Parts of a prompt as A1111 and Forge weigh them.

    (a) multiplies by 1.1, [a] divides by it, (a:1.3) multiplies by 1.3; a backslash makes the next bracket a letter; BREAK ends a
    chunk. A BREAK inside weighted brackets is a word there, and so it is here.
    """
    parts: list[tuple[str, float]] = []
    ranges: list[tuple[int, int, float]] = []  # first part, the one after the last, multiplier; in the order they are closed
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for kind, words, weight in _a1111_marks(text):
        if kind in opened:
            opened[kind].append(len(parts))
        elif kind == ")" and opened["("]:
            ranges.append((opened["("].pop(), len(parts), weight))
        elif kind == "]" and opened["["]:
            ranges.append((opened["["].pop(), len(parts), 1 / STRONGER))
        elif kind == "\\":
            parts.append((words, 1.0))
        else:
            parts += _broken(words)
    for kind, multiplier in (("(", STRONGER), ("[", 1 / STRONGER)):
        ranges += [(start, len(parts), multiplier) for start in opened[kind]]  # those that are never closed
    return _merged(_weighted(parts, ranges)) or [Segment("")]


def _a1111_marks(text: str) -> Iterator[tuple[str, str, float]]:
    """(kind, as written, weight): brackets, an escaped letter (kind is a backslash) or plain words (kind "")."""
    at = 0
    while at < len(text):
        letter = text[at]
        if letter == "\\":
            escaped = text[at + 1 : at + 2]
            taken = escaped if escaped and escaped in "\\()[]" else ""
            yield "\\", taken, 1.0
            at += 1 + len(taken)
        elif letter in "()[]":
            yield letter, letter, STRONGER
            at += 1
        elif letter == ":":
            end, weight = _weight_at(text, at + 1)
            if weight is None:
                yield "", ":", 1.0
                at += 1
            else:
                yield ")", text[at:end], weight
                at = end
        else:
            end = at + 1
            while end < len(text) and text[end] not in SPECIAL:
                end += 1
            yield "", text[at:end], 1.0
            at = end


def _weight_at(text: str, at: int) -> tuple[int, float | None]:
    """Where `1.3)` ends and its number, spaces around it allowed; no number for anything else."""
    start = _past_spaces(text, at)
    end = start + (text[start : start + 1] in ("+", "-"))
    while end < len(text) and (text[end] == "." or text[end].isdecimal()):
        end += 1
    closing = _past_spaces(text, end)
    if text[closing : closing + 1] != ")":
        return at, None
    try:
        return closing + 1, float(text[start:end])
    except ValueError:
        return at, None


def _past_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _broken(words: str) -> list[tuple[str, float]]:
    """Words with each BREAK among them as a part of its own; spaces around it go."""
    parts: list[tuple[str, float]] = []
    at = start = 0
    while (found := words.find(BREAK, at)) >= 0:
        at = found + len(BREAK)
        if _in_word(words[found - 1 : found]) or _in_word(words[at : at + 1]):
            continue
        parts += [(words[start:found].rstrip(), 1.0), (BREAK, -1.0)]
        at = start = _past_spaces(words, at)
    return [*parts, (words[start:], 1.0)]


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def _weighted(parts: list[tuple[str, float]], ranges: list[tuple[int, int, float]]) -> list[Segment]:
    """Each part times what all brackets around it say, those closed first being multiplied first."""
    begins: list[list[int]] = [[] for _ in range(len(parts) + 1)]
    ends: list[list[int]] = [[] for _ in range(len(parts) + 1)]
    for number, (start, end, _) in enumerate(ranges):
        if start < end:
            begins[start].append(number)
            ends[end].append(number)
    acting: list[int] = []
    multipliers: tuple[float, ...] = ()
    found = []
    for index, (text, weight) in enumerate(parts):
        for number in ends[index]:
            del acting[bisect.bisect_left(acting, number)]
        for number in begins[index]:
            bisect.insort(acting, number)
        if begins[index] or ends[index]:
            multipliers = tuple(ranges[number][2] for number in acting[:DEEPEST])
        found.append(Segment(text, math.prod(multipliers, start=weight)))
    return found


def _merged(segments: list[Segment]) -> list[Segment]:
    """Neighbours of one weight as one part."""
    runs: list[tuple[list[str], float]] = []
    for segment in segments:
        if runs and runs[-1][1] == segment.weight:
            runs[-1][0].append(segment.text)
        else:
            runs.append(([segment.text], segment.weight))
    return [Segment("".join(texts), weight) for texts, weight in runs]


def comfyui_segments(text: str) -> list[Segment]:
    """Parts of a prompt as ComfyUI weighs them: (a) multiplies by 1.1, (a:1.3) sets 1.3 whatever stands around it."""
    hidden = text.replace("\\)", "\0\1").replace("\\(", "\0\2")
    found = _comfyui(hidden, 1.0, DEEPEST)
    return [Segment(part.replace("\0\1", ")").replace("\0\2", "("), weight) for part, weight in found]


def _comfyui(text: str, weight: float, deepest: int) -> Iterator[tuple[str, float]]:
    for part in _parentheses(text):
        if len(part) < 2 or part[0] != "(" or part[-1] != ")" or not deepest:
            yield part, weight
            continue
        inside = part[1:-1]
        words, colon, number = inside.rpartition(":")
        told = finite_number(number) if colon and words else None
        if told is None:
            yield from _comfyui(inside, weight * STRONGER, deepest - 1)
        else:
            yield from _comfyui(words, told, deepest - 1)


def finite_number(text: str) -> float | None:
    """The number that `text` is; None for other text, infinity and NaN."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _parentheses(text: str) -> Iterator[str]:
    """Words and outermost parentheses in turn. One that closes nothing makes the next that opens a letter, as in ComfyUI."""
    depth = start = 0
    for at, letter in enumerate(text):
        if letter == "(":
            if depth == 0 and at > start:
                yield text[start:at]
                start = at
            depth += 1
        elif letter == ")":
            depth -= 1
            if depth == 0:
                yield text[start : at + 1]
                start = at + 1
    if start < len(text):
        yield text[start:]
