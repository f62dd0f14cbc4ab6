"""Words that a public studio does not draw. A first line only: the picture checker behind it sees what words hide."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from hypersd_app.errors import InvalidRequest, Refused

# Whole words; a plural s is taken for granted. A file of one's own, a word or phrase a line, is added by the settings.
BLOCKED = (
    "nude", "naked", "nudity", "nsfw", "topless", "bottomless", "undressed", "porn", "porno", "pornographic", "pornography",
    "hentai", "erotic", "erotica", "sexual", "sexually", "sex", "orgy", "orgasm", "masturbate", "masturbating",
    "masturbation", "blowjob", "handjob", "deepthroat", "cumshot", "creampie", "gangbang", "bukkake", "bdsm", "fetish",
    "genital", "genitalia", "penis", "penises", "vagina", "vulva", "clitoris", "dick", "cock", "pussy", "pussies", "boob",
    "tits", "nipple", "areola", "anus", "rape", "raped", "raping", "rapist", "molest", "molested", "incest", "bestiality",
    "zoophilia", "necrophilia", "pedophile", "pedophilia", "paedophile", "paedophilia", "loli", "lolicon", "shota", "shotacon",
    "child abuse", "underage", "jailbait", "gore", "gory", "beheading", "beheaded", "decapitated", "decapitation",
    "dismembered", "dismemberment", "disembowelled", "mutilated", "mutilation", "snuff film", "swastika", "lynching",
)  # fmt: skip
LOOKALIKES = str.maketrans("013457@$!|", "oieastasii")
SPELLED_OUT = re.compile(r"\b(?:\w[\W_]+){2,}\w\b")  # n u d e, n.u.d.e


class PromptFilter:
    """Finds blocked words however they are cased, accented, spelled out or written with digits for letters."""

    def __init__(self, words: tuple[str, ...] = BLOCKED) -> None:
        alternatives = "|".join(re.escape(plain(word)) for word in sorted(words, key=len, reverse=True))
        self._blocked = re.compile(rf"\b(?:{alternatives})s?\b") if words else None

    def check(self, prompt: str) -> None:
        """Raise Refused if the prompt has a blocked word; the message does not repeat it."""
        if self._blocked is None:
            return
        text = plain(prompt)
        joined = SPELLED_OUT.sub(lambda found: re.sub(r"[\W_]", "", found.group()), text)
        for form in (text, text.translate(LOOKALIKES), joined, joined.translate(LOOKALIKES)):
            if self._blocked.search(form):
                raise Refused("prompt: this studio is open to everybody and does not draw what these words ask for.")


def plain(text: str) -> str:
    """Lower case without accents, single spaces; letters of other widths and fonts become ordinary ones."""
    decomposed = " ".join(unicodedata.normalize("NFKD", text).split())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def prompt_filter(own_words: str = "") -> PromptFilter:
    """The filter with the words in the file `own_words` added. Raises InvalidRequest if it cannot be read."""
    if not own_words:
        return PromptFilter()
    try:
        lines = Path(own_words).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("blocked_words", own_words, f"a readable text file, a word or phrase a line ({error})") from error
    return PromptFilter((*BLOCKED, *(line.strip() for line in lines if line.strip() and not line.startswith("#"))))
