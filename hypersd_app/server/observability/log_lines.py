"""Log lines that nobody but this program writes: what a visitor sent can't break a line, colour it or make it endless."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

LONGEST = 2000  # characters of a message
LONGEST_STACK = 20_000
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
CONTINUED = "    | "  # before every further line of a stack, so that none looks like a line of the log
# Libraries whose warnings repeat the call that they are about, a visitor's words among it.
TALKATIVE = ("mcp", "gradio", "httpx", "pydantic", "starlette", "uvicorn", "anyio")


class LineFormatter(logging.Formatter):
    """One line a record, with everything in it that would move the cursor escaped; a stack follows it, marked."""

    def __init__(self, prompts: bool = False) -> None:
        super().__init__(FORMAT)
        self._prompts = prompts

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        stack = self.formatException(record.exc_info) if record.exc_info else ""
        message = self._message(record)
        line = FORMAT % {
            "asctime": self.formatTime(record), "levelname": record.levelname, "name": one_line(record.name), "message": message,
        }  # fmt: skip
        return line if not stack else "\n".join([line, *(CONTINUED + one_line(row) for row in stack[-LONGEST_STACK:].split("\n"))])

    def _message(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # a library's message whose arguments don't fit
            message = str(record.msg)
        if not self._prompts and record.name.split(".")[0] in TALKATIVE and record.levelno < logging.CRITICAL:
            first = one_line(message[:LONGEST].split("\n", 1)[0].split(":", 1)[0])[:80]
            return f"{first} ({record.filename}:{record.lineno}; HYPERSD_LOG_PROMPTS=1 shows the rest)"
        return cut(one_line(message[: LONGEST + 1]))


def one_line(text: str) -> str:
    """`text` with all that is no printable character escaped: line breaks, control characters, halves of surrogate pairs."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text)


def cut(text: str, most: int = LONGEST) -> str:
    """`text` of at most `most` characters."""
    return text if len(text) <= most else f"{text[:most]}... (cut)"


def write_log(level: int = logging.INFO, prompts: bool = False, stream: TextIO | None = None) -> None:
    """Log to `stream`, standard error by default, unless somebody has set logging up already."""
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(LineFormatter(prompts))
        root.addHandler(handler)
        root.setLevel(level)
    # At info they tell of every call. At debug somebody wants to read that.
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING) if level >= logging.INFO else level)
