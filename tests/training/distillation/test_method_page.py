"""Every function that docs/method.md names is there, at about the line that its link leads to."""

import re

from tests.support.method_lines import LINK, PAGE, line_of


def test_the_functions_that_the_method_page_links_to_are_there():
    page = PAGE.read_text(encoding="utf-8")
    found = LINK.findall(page)
    assert len(found) > 20 and len(found) == len(re.findall(r"`[\w/]+\.py:[\w.]+`", page)), "each name is a link"
    for path, name, linked, line in found:
        assert path == linked
        # Lines above it come and go; past this it is another function that a reader lands on.
        assert abs(line_of(path, name) - int(line)) <= 30, f"{path}:{name}: run python -m tests.support.method_lines"


def test_papers_are_not_cited_by_equation_numbers():
    assert not re.search(r"[Ee]quation \d", PAGE.read_text(encoding="utf-8"))
