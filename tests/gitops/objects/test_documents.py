"""What YAML means to kubectl and Flux. The expectations were taken from sigs.k8s.io/yaml v1.6.0."""

from __future__ import annotations

from typing import Any

import pytest

from fluxtrail.gitops.objects import documents
from fluxtrail.gitops.objects.documents import read_documents
from fluxtrail.model.errors import ConfigError


def read(text: str | bytes) -> list[Any]:
    return [each.value for each in read_documents(text, subject="a.yaml")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("2026-11-20", "2026-11-20"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
        ("1e3", 1000.0),
        ("1e", "1e"),
        (".5", 0.5),
        ("5.", 5.0),
        ("010", 8),
        ("08", 8.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("-0b101", -5),
        ("1_000", 1000),
        ("_1", "_1"),
        ("-_1", -1),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", 2.0**64),
        ("y", True),
        ("Off", False),
        ("oFF", "oFF"),
        ("~", None),
        ("''", ""),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 1", "1"),
        ("! 1", 1),
        ('!!int "3"', 3),
        ("&a 7", 7),
        ("0.21.0", "0.21.0"),
        ("|\n  1\n", "1\n"),
    ],
)
def test_a_scalar_means_what_it_means_to_flux(text: str, value: object) -> None:
    (found,) = read(f"key: {text}")
    assert found["key"] == value
    assert type(found["key"]) is type(value)


def test_keys_are_texts() -> None:
    assert read("1: a\ntrue: b\n1.5: c\n'y': d\n") == [{"1": "a", "true": "b", "1.5": "c", "y": "d"}]


def test_aliases_and_merges_are_written_out() -> None:
    assert read("a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: [*x]\n") == [
        {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": [{"b": 1, "c": 2}]}
    ]


def test_empty_documents_are_left_out_and_lines_are_known() -> None:
    found = list(read_documents("# nothing\n---\n---\na: 1\n---\n\nkind: List\nitems:\n- 1\n- 2\n", subject="a.yaml"))
    assert [(each.line, each.item_lines) for each in found] == [(4, ()), (7, (9, 10))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3 has the key 'a' twice"),
        ("a: [1\n", "not valid YAML at line 2"),
        ("? [a]\n: 1\n", "line 1 has a key that is no text"),
        ("a: !!binary aGk=\n", "line 1 has a !!binary value"),
        ("a: 1\n<<: 2\n", "line 2 merges (<<) what is no mapping"),
        ("a: &a [*a]\n", "nested deeper"),
        ("[" * 200 + "]" * 200, "nested deeper"),
        (b"a: \xff\n", "a.yaml"),
    ],
    ids=["twice", "open", "complex-key", "binary", "merge", "circle", "deep", "no-utf-8"],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert said in str(caught.value)
    assert str(caught.value).startswith("a.yaml: ")


def test_anchors_do_not_make_much_out_of_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "NODE_LIMIT", 5_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="nodes"):
        read("\n".join(lines))
