"""The layout of the package: folders stay small enough to read at a glance."""

from __future__ import annotations

from collections import Counter

from hypersd_app.settings import ROOT

MOST = 15  # Python files beside the subfolders


def test_no_folder_of_the_package_holds_more_files_than_one_reads_at_a_glance() -> None:
    counts = Counter(path.parent for path in (ROOT / "hypersd_app").rglob("*.py"))
    assert {folder.relative_to(ROOT).as_posix(): count for folder, count in counts.items() if count > MOST} == {}


def test_tests_stand_where_their_code_stands() -> None:
    """Each folder of tests has its namesake in the package, beside helpers and what is seen in a browser."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    elsewhere = {folder.as_posix() for folder in folders if not (ROOT / "hypersd_app" / folder).is_dir()}
    assert elsewhere == {"browser", "static"}
