"""Words as forges take them: one line, within a limit, whole letters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import UpstreamError, WireError
from fluxtrail.remotes.writing import cut_context, cut_line, encode_body, hinted, web_address

ROCKET, FAMILY = "\U0001f680", "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ANYTHING = st.text(alphabet=st.characters(), max_size=300)


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("one  two\r\n three\t", 20, "one two three"),
        ("a word here", 8, "a word…"),
        ("ab" + "e\u0301" * 3, 5, "abe\u0301…"),
        ("ab" + "e\u0301" * 3, 4, "ab…"),
        ("abcd" + FAMILY, 7, "abcd…"),
        ("abc\u202edef", 10, "abcdef"),
        ("a\x00b\x85c", 10, "a b c"),
        ("half \ud800 pair", 20, "half ? pair"),
        ("e" + "\u0301" * 50, 10, "e" + "\u0301" * 8 + "…"),
        ("", 10, ""),
    ],
)
def test_a_line_is_cut_between_letters(text: str, limit: int, cut: str) -> None:
    assert cut_line(text, limit) == cut


def test_wide_letters_count_twice_or_are_left_out() -> None:
    assert cut_line(ROCKET * 5, 10, is_utf16=True) == ROCKET * 5
    assert cut_line(ROCKET * 6, 10, is_utf16=True) == ROCKET * 4 + "…"
    assert cut_line(f"up {ROCKET}\ufe0f and {FAMILY} away ✓", 40, is_narrow=True) == "up and away ✓"


@given(ANYTHING, st.integers(2, 60), st.booleans(), st.booleans())
def test_any_line_fits_and_stays(text: str, limit: int, is_utf16: bool, is_narrow: bool) -> None:
    cut = cut_line(text, limit, is_utf16=is_utf16, is_narrow=is_narrow)
    assert (len(cut.encode("utf-16-le")) // 2 if is_utf16 else len(cut)) <= limit
    assert not any(unicodedata.category(character) == "Cc" for character in cut)
    assert cut_line(cut, limit, is_utf16=is_utf16, is_narrow=is_narrow) == cut
    assert not (is_narrow and any(ord(character) > 0xFFFF for character in cut))


@given(ANYTHING)
def test_a_context_fits_and_stays(text: str) -> None:
    try:
        cut = cut_context(text, 20)
    except WireError:
        return
    assert 0 < len(cut) <= 20
    assert cut_context(cut, 20) == cut


def test_contexts_that_begin_alike_stay_apart() -> None:
    one, two = cut_context("x" * 300 + "1", 255), cut_context("x" * 300 + "2", 255)
    assert one != two
    assert len(one) == 255
    with pytest.raises(WireError, match="it is empty"):
        cut_context(" \n\x00", 255)


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://trail.example.com/commits/a?x=1#y", True),
        ("http://localhost:8080/x", True),
        ("HTTPS://H/x", True),
        ("", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//h/x", False),
        ("https:///x", False),
        ("https://user@h/x", False),
        ("https://u:p@h/x", False),
        ("https://h/a b", False),
        ("https://h/a\nb", False),
        ('https://h/"><script>', False),
        ("https://[::1", False),
        ("https://h/" + "x" * 2_000, False),
    ],
)
def test_only_plain_addresses_are_linked_to(url: str, is_good: bool) -> None:
    assert web_address(url) == (url if is_good else "")


def test_a_hint_keeps_the_kind_of_an_error() -> None:
    told = hinted(UpstreamError("no", status=418, retryable=False, subject="x"), "do that")
    assert (str(told), told.status, told.retryable, type(told)) == ("x: no; do that", 418, False, UpstreamError)


def test_what_is_no_json_is_not_sent() -> None:
    assert encode_body({"a": "é"}) == '{"a":"é"}'.encode()
    deep: list[object] = []
    deep.append(deep)
    for odd in (object(), "\ud800", deep):
        with pytest.raises(WireError, match="cannot be sent as JSON"):
            encode_body(odd)
