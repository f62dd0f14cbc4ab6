"""The words that the page shows, in the language chosen for the whole server; each language is a table in this folder."""

from __future__ import annotations

from collections.abc import Mapping

from hypersd_app.errors import InvalidRequest
from hypersd_app.ui.i18n.english import ENGLISH
from hypersd_app.ui.i18n.german import GERMAN

LANGUAGES: dict[str, Mapping[str, str]] = {"en": ENGLISH, "de": GERMAN}

_chosen = {"language": "en"}  # one per server: the page is built once, for all its visitors


def use_language(name: str) -> None:
    """Choose the language of pages that are built from now on. Raises InvalidRequest for one without a table."""
    if name not in LANGUAGES:
        raise InvalidRequest("language", name, "one of " + ", ".join(LANGUAGES))
    _chosen["language"] = name


def language() -> str:
    """The chosen language, as in HTML's `lang`."""
    return _chosen["language"]


def text(key: str) -> str:
    """The words for `key`; English where a translation lacks it. An unknown key is our mistake: KeyError."""
    return LANGUAGES[language()].get(key, ENGLISH[key])


def counted(things: str, count: int) -> str:
    """A count with its noun, as in "1 image" and "3 images": images, steps, models or styles."""
    return text(f"count.{things}.{'one' if count == 1 else 'other'}").format(count=count)


def table() -> dict[str, str]:
    """All texts, for the page's scripts."""
    return {**ENGLISH, **LANGUAGES[language()]}
