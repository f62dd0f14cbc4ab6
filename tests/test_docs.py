"""The documents say what is true of the tree: links lead somewhere, paths and settings exist, every room has its place."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from hypersd_app.cli import new_parser
from hypersd_app.settings import ROOT, Settings

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"[\w.-][\w./-]*\.(py|m?js|html|css|toml|ya?ml|sh|bat|txt|md)|[\w.-][\w./-]*/")
# Files and folders that stand on other machines: of other programs, of a visitor, of a training.
NOT_OURS = {"extra_model_paths.yaml", "cat.txt", "runs/", "runs/student/"}
COMMAND = re.compile(r"^(?:\S+=\S+ )*(?:python -m hypersd_app|hypersd-studio) (.+)$")
PACKAGE = ROOT / "hypersd_app"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    assert not [target for target in targets if not (page.parent / target).exists()]


@cache
def tree() -> frozenset[str]:
    """Files and folders of the project, each by every end of its path: `c.py`, `b/c.py`, `a/b/c.py`; folders with a slash."""
    rooms = ("hypersd_app", "tests", "docs", "assets", "deploy", "space")
    paths = [*ROOT.iterdir(), *(path for room in rooms for path in (ROOT / room).rglob("*"))]
    ends = set()
    for path in paths:
        name = path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
        ends |= {name.split("/", skipped)[-1] for skipped in range(len(path.relative_to(ROOT).parts))}
    return frozenset(ends)


def commands(page: Path) -> list[str]:
    """What a page says to type, inline and in blocks, without what is said about it."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in (*lines, *CODE.findall(FENCED.sub("", text)))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_named_paths_exist(page: Path) -> None:
    """Wherever they are counted from: `b/c.py` is a file whose path ends so."""
    named = [text for text in CODE.findall(page.read_text(encoding="utf-8")) if FILE.fullmatch(text) and text not in NOT_OURS]
    assert not [text for text in named if text not in tree()]


def test_a_path_that_is_gone_is_noticed() -> None:
    assert {"service.py", "server/service.py", "server/http/", "Makefile"} <= tree()
    assert not {"ervice.py", "http/service.py", "server/board.py", "server"} & tree()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_are_understood(page: Path) -> None:
    """Each `python -m hypersd_app …` and `hypersd-studio …` with its options; only what stands for anything (…) is left out."""
    found = [match[1] for match in map(COMMAND.match, commands(page)) if match and "…" not in match[1]]
    for line in found:
        words = shlex.split(line)
        try:
            new_parser(words).parse_args(words)
        except SystemExit as ended:
            assert ended.code == 0, f"{page.name}: {line}"  # --help


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_targets_of_make_exist(page: Path) -> None:
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {match[1] for match in (re.match(r"make ([a-z-]+)", line) for line in commands(page)) if match}
    assert named <= there


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_modules_that_are_run_exist(page: Path) -> None:
    named = [
        match[1]
        for match in (re.search(r"python -m ((?:tests|hypersd_app|space)[.\w]*)", line) for line in commands(page))
        if match
    ]
    places = [ROOT / name.replace(".", "/") for name in named]
    assert not [path for path in places if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"\bHYPERSD_([A-Z_]+)\b", page.read_text(encoding="utf-8")))
    assert named <= {item.name.upper() for item in fields(Settings)}


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_stands_in_the_tree(room: str) -> None:
    assert re.search(rf"^ +{room}/ ", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_folders_in_the_tree_exist() -> None:
    """A room's line names folders of that room."""
    block = FENCED.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))[0]
    rows = [(found[1], re.findall(r"\b(\w+)/", found[2])) for found in re.finditer(r"^  (\w+)/ +(.*)$", block, re.MULTILINE)]
    assert len(rows) == len(ROOMS)
    assert not [(room, name) for room, named in rows for name in named if not any(p.is_dir() for p in (PACKAGE / room).rglob(name))]


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
