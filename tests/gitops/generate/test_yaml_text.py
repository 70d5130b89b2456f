"""YAML as Flux exports it. The expected texts were taken from sigs.k8s.io/yaml v1.6.0, given the same values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluxtrail.gitops.generate.yaml_text import yaml_text
from fluxtrail.gitops.objects.documents import read_documents


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("main", "main"),
        ("", '""'),
        ("1.0", '"1.0"'),
        ("1.2.3", "1.2.3"),
        ("true", '"true"'),
        ("on", '"on"'),
        ("oFF", "oFF"),
        ("null", '"null"'),
        ("~1.2", "~1.2"),
        ("0x1f", '"0x1f"'),
        ("1_000", '"1_000"'),
        ("2026-11-20", '"2026-11-20"'),
        ("2026-11-20T10:00:00Z", '"2026-11-20T10:00:00Z"'),
        ("2001-13-1", "2001-13-1"),
        ("12:30:00", '"12:30:00"'),
        ("<<", "<<"),
        (">=1.0.0 <2.0.0", "'>=1.0.0 <2.0.0'"),
        ("a: b", "'a: b'"),
        ("a:b", "a:b"),
        ("a #b", "'a #b'"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("*", "'*'"),
        ("@x", "'@x'"),
        ("it's", "it's"),
        ("'q'", "'''q'''"),
        ("---", "'---'"),
        (" lead", "' lead'"),
        ("tab\there", '"tab\\there"'),
        ("é", "é"),
        ("😀", '"\\U0001F600"'),
        ("\ufeffx", '"\\uFEFFx"'),
        ("a\nb", "|-\n  a\n  b"),
        ("a\nb\n", "|\n  a\n  b"),
        ("a\n\n", "|+\n  a\n"),
        ("\na", "|2-\n\n  a"),
        ("a \nb", '"a \\nb"'),
        (True, "true"),
        (None, "null"),
        (1.0, "1"),
        (1.5, "1.5"),
        (1234567.5, "1.2345675e+06"),
        (1e-7, "1e-07"),
        (1e20, "1e+20"),
        (2**64 - 1, "18446744073709551615"),
        ([], "[]"),
        ({}, "{}"),
    ],
    ids=repr,
)
def test_a_value_is_written_as_flux_writes_it(value: object, text: str) -> None:
    assert yaml_text({"key": value}) == f"key: {text}\n"


def test_lists_stand_below_their_key_and_collections_within_one_another() -> None:
    value = {"a": [{"b": 1, "c": [2, [3]]}, "x"], "d": {"e": [{}]}}
    assert yaml_text(value) == "a:\n- b: 1\n  c:\n  - 2\n  - - 3\n- x\nd:\n  e:\n  - {}\n"


def test_long_texts_are_folded_behind_the_80th_column() -> None:
    words = "word " * 30 + "end"
    assert yaml_text({"key": words, "other": f"#{words}"}) == (
        "key: word word word word word word word word word word word word word word word word\n"
        "  word word word word word word word word word word word word word word end\n"
        "other: '#word word word word word word word word word word word word word word word\n"
        "  word word word word word word word word word word word word word word word end'\n"
    )


def test_keys_are_sorted_by_letters_and_by_numbers_in_them() -> None:
    keys = ["b", "a10", "a2", "a", "B", "1", "10", "9", "a-b", "a.b", "_x"]
    assert list(yaml_text(dict.fromkeys(keys, 0)).replace(": 0", "").split()) == [
        "_x", '"1"', '"9"', '"10"', "B", "a", "a-b", "a.b", "a2", "a10", "b",
    ]  # fmt: skip


def test_the_order_of_keys_does_not_depend_on_the_order_they_come_in() -> None:
    # The natural order is none at all for some: whatever comes out must be the same every time.
    keys = ["0b101", "010", "1", "0", "00", "1e3", "1_0"]
    assert yaml_text(dict.fromkeys(keys, 0)) == yaml_text(dict.fromkeys(reversed(keys), 0))


def test_keys_can_stay_as_they_come() -> None:
    assert yaml_text({"b": 1, "a": {"d": 1, "c": 2}}, is_sorted=False) == "b: 1\na:\n  d: 1\n  c: 2\n"


def test_keys_of_several_lines_or_great_length_stand_behind_a_question_mark() -> None:
    long = "k" * 129
    assert yaml_text({long: 1, "a\nb": [2]}) == f"? |-\n  a\n  b\n: - 2\n? {long}\n: 1\n"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["y", "0x1", "1e3", "a: b", "- ", "?", "# x", "a\n b\n", "\n", " ", "x" * 90 + " y", "1:30", "<<"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS
    | st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(TEXTS.filter(bool), VALUES, max_size=4))
def test_what_is_written_is_read_again(value: dict[str, Any]) -> None:
    assert [each.value for each in read_documents(yaml_text(value), subject="x")] == ([value] if value else [{}])
