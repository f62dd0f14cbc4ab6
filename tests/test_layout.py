"""The layout of the package: folders stay small enough to read at a glance."""

from __future__ import annotations

from collections import Counter

from hypersd_app.settings import ROOT

MOST = 15  # Python files beside the subfolders


def test_no_folder_of_the_package_holds_more_files_than_one_reads_at_a_glance() -> None:
    counts = Counter(path.parent for path in (ROOT / "hypersd_app").rglob("*.py"))
    assert {folder.relative_to(ROOT).as_posix(): count for folder, count in counts.items() if count > MOST} == {}
