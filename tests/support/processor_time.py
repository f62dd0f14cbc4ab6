"""`pytest --processor-time`: processor seconds per test and file, children included, which a busy machine does not blur."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import pytest

LISTED = 40


def spent() -> float:
    """Processor seconds of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class ProcessorTime:
    """Measures set-up, call and tear-down where tests run, and adds up where they are reported, which may be another process."""

    def __init__(self) -> None:
        self._before = spent()
        self._rows: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def pytest_collection_finish(self) -> None:
        self._before = spent()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        report = yield
        now = spent()
        report.processor_seconds, self._before = now - self._before, now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name in (report.nodeid, report.nodeid.partition("::")[0], "in all"):
            row = self._rows[name]
            row[0] += report.processor_seconds
            row[1] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("seconds of the processor, and elapsed")
        for tests in (False, True):
            rows = [(name, row) for name, row in self._rows.items() if ("::" in name) == tests]
            for name, (used, elapsed) in sorted(rows, key=lambda row: -max(row[1]))[: LISTED if tests else None]:
                terminalreporter.line(f"{used:8.1f} {elapsed:8.1f}  {name}")
