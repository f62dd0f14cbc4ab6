"""The prompt filter: what it finds, and that no text makes it slow."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersd_app.errors import Refused
from hypersd_app.safety.prompt_filter import BLOCKED, PromptFilter, plain, spelled_out, words_of
from tests.support.bounded import bounded

SLOW = (
    "_" * 36,
    "_" * 500,
    "a_" * 250,
    "a " * 250,
    "a" * 500,
    "a.-_ " * 100 + "!",
    "\ufdfa" * 500,  # each becomes 18 letters
    "a\u0301" * 250,
    "\U0001d552 " * 250,
)


@pytest.mark.parametrize("prompt", SLOW)
def test_no_prompt_takes_long(prompt: str) -> None:
    assert not isinstance(bounded(PromptFilter().check, prompt, seconds=0.2), BaseException)


def test_a_longer_text_takes_longer_in_proportion() -> None:
    """Not only prompts of the length that is allowed: the check stands before others, too."""
    bounded(PromptFilter().check, "a_ b" * 100_000, seconds=5)


@given(st.text(max_size=500))
@settings(max_examples=300, deadline=None)
def test_any_text_is_checked_in_time_and_nothing_but_refused(text: str) -> None:
    try:
        PromptFilter().check(text)
    except Refused as refused:
        assert "prompt" in str(refused)


@given(
    st.sampled_from(BLOCKED),
    st.text(alphabet=" .,;-_/\n", min_size=1, max_size=3),
    st.sampled_from((str, str.upper, str.title)),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_every_blocked_word_is_found_in_any_sentence(word: str, space: str, case: object, spelled: bool) -> None:
    written = space.join(word.replace(" ", "")) if spelled and " " not in word else word
    with pytest.raises(Refused):
        PromptFilter().check(f"a painting of{space}{case(written)}{space}by the sea")  # type: ignore[operator]


@pytest.mark.parametrize(
    "prompt", ["a n u d e woman", "draw_a_nude_woman", "sex\u200b", "child-abuse", "N.U.D.E.", "s_e_x", "two n4kedS"]
)
def test_what_got_past_before(prompt: str) -> None:
    with pytest.raises(Refused):
        PromptFilter().check(prompt)


@pytest.mark.parametrize("prompt", ["a b c d", "J. R. R. Tolkien's map", "an A I robot", "e. e. cummings", "S E C T O R 7"])
def test_single_letters_are_no_offence(prompt: str) -> None:
    PromptFilter().check(prompt)


def test_signs_without_letters_may_be_blocked() -> None:
    own = PromptFilter(("🍆", "green  tea"))
    for prompt in ("an 🍆!", "Green\nteas"):
        with pytest.raises(Refused):
            own.check(prompt)
    own.check("an aubergine, a green team")
    PromptFilter(()).check("anything")


def test_the_pieces() -> None:
    assert plain("  ＮüDE\tx ") == "nude x"
    assert words_of("n_u.d-e 12") == ["n", "u", "d", "e", "12"]
    assert list(spelled_out(["a", "b"])) == [] and ("nude",) in set(spelled_out(["see", "a", "n", "u", "d", "e"]))
