"""The documents say what is true of the tree: links lead somewhere, paths and settings exist, every room has its place."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from hypersd_app.settings import ROOT, Settings

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
FOLDERS = ("hypersd_app/", "tests/", "docs/", "assets/")
PACKAGE = ROOT / "hypersd_app"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_named_paths_exist(page: Path) -> None:
    named = [text for text in CODE.findall(page.read_text(encoding="utf-8")) if text.startswith(FOLDERS) and " " not in text]
    assert not [text for text in named if not (ROOT / text).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"\bHYPERSD_([A-Z_]+)\b", page.read_text(encoding="utf-8")))
    assert named <= {item.name.upper() for item in fields(Settings)}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_stands_in_the_tree(room: str) -> None:
    assert re.search(rf"^ +{room}/ ", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_modules_in_the_diagrams_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    diagrams = re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)
    modules = {name for diagram in diagrams for name in re.findall(r"\b[\w/]+\.py\b", diagram)}
    assert len(modules) > 15
    assert not [name for name in sorted(modules) if not (PACKAGE / name).exists()]


def test_pages_name_no_figure_of_speed_twice() -> None:
    """Times per image stand in docs/benchmarks.md alone."""
    elsewhere = [page for page in PAGES if page.name != "benchmarks.md"]
    assert not [page.name for page in elsewhere if re.search(r"\d ?ms\b|images per second", page.read_text(encoding="utf-8"))]


def test_what_was_tried_is_tried_by_tests_that_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = [row.rsplit("|", 2)[1] for row in text.split("| test |")[1].split("\n\n")[0].splitlines()[2:]]
    named = [(file, name) for row in rows for part in row.split(";") for file, *names in [CODE.findall(part)] for name in names]
    assert len(rows) > 15 and all(CODE.findall(row) for row in rows)
    assert not [pair for pair in named if f"def {pair[1]}(" not in (ROOT / "tests" / pair[0]).read_text(encoding="utf-8")]
