"""Writes the line of each function that docs/method.md links to: `python -m tests.support.method_lines`."""

from __future__ import annotations

import ast
import re

from hypersd_app.settings import ROOT

PAGE = ROOT / "docs" / "method.md"
LINK = re.compile(r"\[`([\w/]+\.py):([\w.]+)`\]\(\.\./hypersd_app/([\w/]+\.py)#L(\d+)\)")


def line_of(path: str, name: str) -> int:
    """Where a function of a module begins, "Class.method" of a class. Raises LookupError for one that is not there."""
    body = ast.parse((ROOT / "hypersd_app" / path).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == part]
        if not found:
            raise LookupError(f"{path} has no {name}")
        node, body = found[0], found[0].body
    return node.lineno


def rewritten(page: str) -> str:
    """The page with the lines of today."""
    return LINK.sub(lambda m: f"[`{m[1]}:{m[2]}`](../hypersd_app/{m[1]}#L{line_of(m[1], m[2])})", page)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
