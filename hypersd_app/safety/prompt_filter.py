"""Words that a public studio does not draw. A first line only: the image checker behind it sees what words hide.

Plain scanning, one pass over the text for each of four spellings: what a visitor writes can't make it slow.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
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
SPELLED_OUT = 3  # letters that stand alone and follow each other are one word from here on: n u d e, n.u.d.e
STRAY = 1  # letters before or after a word spelled out that belong to the sentence: "a n u d e"


class PromptFilter:
    """Finds blocked words however they are cased, accented, spelled out or written with digits for letters."""

    def __init__(self, words: tuple[str, ...] = BLOCKED) -> None:
        phrases = [words_of(plain(word)) for word in words]
        self._blocked = frozenset(tuple(phrase) for phrase in phrases if phrase)
        self._longest = max(map(len, self._blocked), default=0)
        # What has no letters, say an emoji, is found wherever it stands.
        self._signs = tuple(plain(word) for word, phrase in zip(words, phrases, strict=True) if not phrase and word.strip())

    def check(self, prompt: str) -> None:
        """Raise Refused if the prompt has a blocked word; the message does not repeat it."""
        text = plain(prompt)
        forms = (text, text.translate(LOOKALIKES))
        if any(sign in text for sign in self._signs) or any(self._found_in(words_of(form)) for form in forms):
            raise Refused("prompt: this studio is open to everybody and does not draw what these words ask for.")

    def _found_in(self, words: Sequence[str]) -> bool:
        return any(self._is_blocked(phrase) for phrase in (*self._phrases(words), *spelled_out(words)))

    def _phrases(self, words: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """All runs of up to as many words as the longest blocked phrase has."""
        for start in range(len(words)):
            for length in range(1, min(self._longest, len(words) - start) + 1):
                yield tuple(words[start : start + length])

    def _is_blocked(self, phrase: tuple[str, ...]) -> bool:
        *before, last = phrase
        return phrase in self._blocked or (last.endswith("s") and (*before, last[:-1]) in self._blocked)


def plain(text: str) -> str:
    """Lower case without accents, single spaces; letters of other widths and fonts become ordinary ones."""
    decomposed = " ".join(unicodedata.normalize("NFKD", text).split())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).casefold()


def words_of(text: str) -> list[str]:
    """The runs of letters and digits in `text`."""
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def spelled_out(words: Sequence[str]) -> Iterator[tuple[str]]:
    """Words written letter by letter: each run of single letters joined, also without its first or last letter."""
    run = ""
    for word in (*words, "  "):  # the last one is no letter, and ends the last run
        if len(word) == 1:
            run += word
            continue
        if len(run) >= SPELLED_OUT:
            yield from ((run[start : len(run) - end],) for start in range(STRAY + 1) for end in range(STRAY + 1))
        run = ""


def prompt_filter(own_words: str = "") -> PromptFilter:
    """The filter with the words in the file `own_words` added. Raises InvalidRequest if it cannot be read."""
    if not own_words:
        return PromptFilter()
    try:
        lines = Path(own_words).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("blocked_words", own_words, f"a readable text file, a word or phrase a line ({error})") from error
    return PromptFilter((*BLOCKED, *(line.strip() for line in lines if line.strip() and not line.startswith("#"))))
