"""Every text that the page asks for stands in the table of each language, and says the same things in all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hypersd_app.settings import ROOT
from hypersd_app.ui.i18n.texts import ENGLISH, LANGUAGES

UI = ROOT / "hypersd_app" / "ui"
ASKED_FOR = {".html": r"\[\[([\w.]+)\]\]", ".js": r'\btexts\["([\w.]+)"\]', ".py": r"""\btext\(["']([\w.]+)["']"""}
COUNTED = re.compile(r"""\bcounted\(["'](\w+)["']""")


def sources(ending: str) -> list[Path]:
    return sorted(UI.rglob(f"*{ending}"))


@pytest.mark.parametrize("ending", ASKED_FOR)
def test_what_is_asked_for_is_there(ending: str) -> None:
    asked = set()
    for path in sources(ending):
        source = path.read_text(encoding="utf-8")
        asked |= {(path.name, key) for key in re.findall(ASKED_FOR[ending], source)}
        asked |= {(path.name, f"count.{noun}.{form}") for noun in COUNTED.findall(source) for form in ("one", "other")}
    assert len(asked) > 20
    assert not [(name, key) for name, key in sorted(asked) if key not in ENGLISH]


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_are_the_same_in_every_language(language: str) -> None:
    def places(words: str) -> list[str]:
        return sorted(re.findall(r"\{(\w+)", words))

    table = LANGUAGES[language]
    assert not set(table) - set(ENGLISH)
    assert not [key for key, words in table.items() if places(words) != places(ENGLISH[key])]
