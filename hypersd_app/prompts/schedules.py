"""A1111's prompts that change while an image is made: `[a:b:0.5]` and `[a|b]`. One pass over the text, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hypersd_app.prompts.weights import DEEPEST

Schedule = tuple[tuple[int, str], ...]  # the last step, counted from 1, of each text


class _Unreadable(Exception):
    """A1111 takes such a prompt as it is written, with no schedule in it."""


@dataclass
class _Plain:
    text: str


@dataclass
class _Switch:
    """`[before:after:when]`."""

    before: list[_Node]
    after: list[_Node]
    number: str

    def when(self, steps: int) -> int:
        value = float(self.number) * steps if "." in self.number else float(self.number)
        return int(max(-1.0, min(float(steps), value)))


@dataclass
class _Turns:
    """`[a|b|c]`."""

    options: list[list[_Node]]


_Node = _Plain | _Switch | _Turns


@dataclass
class _Bracket:
    """An open bracket: what was read since, split where `marks` stand."""

    letter: str
    fields: list[list[_Node]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)


def prompt_schedule(text: str, steps: int) -> Schedule:
    """The texts of a prompt over `steps` steps, as A1111's parser splits it."""
    if "[" not in text:
        return ((steps, text),)
    try:
        nodes = _parsed(text)
    except _Unreadable:
        return ((steps, text),)
    ends = sorted({steps, *_ends(nodes, steps)})
    return tuple((end, "".join(_at(nodes, end, steps))) for end in ends)


def text_at(schedule: Schedule, step: int) -> str:
    """The text of a step, counted from 1."""
    return next((text for end, text in schedule if step <= end), schedule[-1][1])


def ends(schedules: Sequence[Schedule]) -> list[int]:
    """The steps at which the text of any of several prompts ends."""
    return sorted({end for schedule in schedules for end, _ in schedule})


def _parsed(text: str) -> list[_Node]:
    """A1111's grammar: brackets that are no emphasis, switch or turns are letters, and so are all around them."""
    top: list[_Node] = []
    opened: list[_Bracket] = []
    for mark, words in _tokens(text):
        if mark in ("[", "("):
            opened.append(_Bracket(mark))
            if len(opened) > DEEPEST:
                _stray(top, opened)
        elif mark in ("]", ")"):
            _close(mark, top, opened)
        elif mark and opened:
            opened[-1].marks.append(mark)
            opened[-1].fields.append([])
        elif mark == "|":
            raise _Unreadable
        else:
            (opened[-1].fields[-1] if opened else top).append(_Plain(words))
    _stray(top, opened)
    return top


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """(mark, as written): a mark out of `[]():|`, or "" with words, in which a backslash takes the next letter along."""
    at = 0
    while at < len(text):
        if text[at] in "[]():|":
            yield text[at], text[at]
            at += 1
            continue
        start = at
        while at < len(text) and text[at] not in "[]():|":
            if text[at] == "\\":
                if at + 1 == len(text) or text[at + 1] == "\n":
                    raise _Unreadable
                at += 1
            at += 1
        yield "", text[start:at]


def _close(mark: str, top: list[_Node], opened: list[_Bracket]) -> None:
    """Make a node of the innermost bracket; where that can't be, all that are open are letters."""
    nodes = _closed(mark, opened[-1]) if opened else None
    if nodes is None:
        _stray(top, opened)
        top.append(_Plain(mark))
        return
    opened.pop()
    (opened[-1].fields[-1] if opened else top).extend(nodes)


def _closed(mark: str, bracket: _Bracket) -> list[_Node] | None:
    """The nodes of one bracket with what is in it, None if it is none of A1111's."""
    fields, marks = bracket.fields, bracket.marks
    if (bracket.letter == "(") != (mark == ")"):
        return None
    if not marks or (marks == [":"] and mark == ")"):
        return [_Plain(bracket.letter), *_joined(fields), _Plain(mark)]
    return None if mark == ")" else _square(fields, marks)


def _square(fields: list[list[_Node]], marks: list[str]) -> list[_Node] | None:
    """What square brackets with marks in them are: turns, a switch, or None for neither."""
    if ":" not in marks:
        return [_Turns(fields)]
    number = _number(fields[-1])
    if "|" in marks or len(marks) > 2 or number is None:
        return None
    return [_Switch(fields[0] if len(fields) > 2 else [], fields[-2], number)]


def _joined(fields: list[list[_Node]]) -> list[_Node]:
    nodes = list(fields[0])
    for following in fields[1:]:
        nodes += [_Plain(":"), *following]
    return nodes


def _number(nodes: Sequence[_Node]) -> str | None:
    """A number alone, spaces around it allowed."""
    if len(nodes) != 1 or not isinstance(nodes[0], _Plain):
        return None
    text = nodes[0].text.strip()
    digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    whole, _, power = digits.partition("e") if "e" in digits else digits.partition("E")
    left, point, right = whole.partition(".")
    good = all(part.isascii() and (part.isdigit() or not part) for part in (left, right)) and (left or right)
    exponent = power[1:] if power[:1] in ("+", "-") else power
    if not good or (digits != whole and not (exponent.isascii() and exponent.isdigit() and len(exponent) < 3)):
        return None
    return text if len(text) < 20 and (point or left) else None


def _stray(top: list[_Node], opened: list[_Bracket]) -> None:
    """Open brackets that are letters after all."""
    for bracket in opened:
        top.append(_Plain(bracket.letter))
        top += bracket.fields[0]
        for mark, following in zip(bracket.marks, bracket.fields[1:], strict=True):
            if mark == "|":
                raise _Unreadable
            top += [_Plain(mark), *following]
    opened.clear()


def _ends(nodes: Sequence[_Node], steps: int) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, _Switch):
            if (when := node.when(steps)) >= 1:
                yield when
            yield from _ends(node.before, steps)
            yield from _ends(node.after, steps)
        elif isinstance(node, _Turns):
            yield from range(1, steps + 1)
            for option in node.options:
                yield from _ends(option, steps)


def _at(nodes: Sequence[_Node], step: int, steps: int) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, _Plain):
            yield node.text
        elif isinstance(node, _Switch):
            yield from _at(node.before if step <= node.when(steps) else node.after, step, steps)
        else:
            yield from _at(node.options[(step - 1) % len(node.options)], step, steps)
