"""Damaged documents through every parser; `python -m benchmarks.fuzz` does the same a million times."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from benchmarks.fuzz import Tally, document, run_cases
from benchmarks.fuzz_parsers import Parser, all_parsers
from benchmarks.mutations import LONGEST_BYTES, mutate, seed_of

PARSERS = all_parsers()


@pytest.mark.timeout(300)  # seconds of CPU time, which others may want too
def test_damaged_documents_are_read_or_refused() -> None:
    tally = run_cases(seed=2, cases=20_000)
    assert tally.failures == {}
    assert tally.cases == 20_000
    assert 0 < tally.refused < tally.cases


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_seeds_are_good_documents(parser: Parser) -> None:
    """Each parser reads what it is damaged from, or says why not by an error of its own."""
    read = 0
    for seed in parser.seeds:
        try:
            read += parser.parse(seed.data) is not None
        except parser.errors:
            continue
    assert read > 0


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("git-batch", b"x" * 100_000),
        ("git-batch", b"5394cb7f48332b2de7c17dd8b8384bbc84b7e738 blob -9\n"),
        ("git-batch", b"5394cb7f48332b2de7c17dd8b8384bbc84b7e738 blob 999999999999999999\nx"),
        ("http-date", b"\x1c120"),
        ("http-date", b"9" * 400),
        ("http-date", b"Mon, 1 Jan 99999999999999999999 00:00:00 GMT"),
        ("watch", b'{"type":"ADDED","object":{"metadata":{"name":"\xff"}}}\n'),
        ("watch", b'{"type":"ADDED","object":' + b'{"a":' * 20_000),
        (
            "watch",
            b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%s"}}}\n{"type":"BOOKMARK","object":'
            b'{"metadata":{"resourceVersion":"5"}}}\n' % (b"9" * 5000),
        ),
        ("api-status", b'{"message":"\xff"}'),
        ("repository-url", b"a:" * 100_000),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:24].decode("latin-1"),
)
def test_what_once_broke_a_parser(name: str, data: bytes) -> None:
    (parser,) = (parser for parser in PARSERS if parser.name == name)
    with suppress(*parser.errors):
        parser.parse(data)


def test_a_case_is_the_same_again() -> None:
    parser = PARSERS[0]
    assert document(parser, PARSERS, seed=1, number=7) == document(parser, PARSERS, seed=1, number=7)
    assert len({document(parser, PARSERS, seed=1, number=number) for number in range(50)}) > 40


def test_values_are_found_where_they_stand() -> None:
    data = b'{"a": [1, {"b\\"": null}],"c":"x:y,\\\\","d":{}}'
    seed = seed_of(data)
    assert sorted(data[begin:end] for begin, end in seed.spans) == sorted(
        [b"1", b"null", b'{"b\\"": null}', b'[1, {"b\\"": null}]', b'"x:y,\\\\"', b"{}", data]
    )


def test_damage_is_bounded() -> None:
    seeds = PARSERS[0].seeds
    dice = random.Random(1)
    assert max(len(mutate(dice, seeds[0], seeds)) for _ in range(500)) <= LONGEST_BYTES


@pytest.mark.parametrize(
    ("parse", "kind"),
    [
        (lambda data: {data: 1}["x"], "KeyError"),
        (lambda data: [None] * 10_000_000, "times its input"),
    ],
    ids=["crash", "allocation"],
)
def test_what_is_looked_for_is_found(monkeypatch: pytest.MonkeyPatch, parse: object, kind: str) -> None:
    bad = Parser("bad", [seed_of(b"x")], parse, ())  # type: ignore[arg-type]
    monkeypatch.setattr("benchmarks.fuzz.all_parsers", lambda: (bad,))
    monkeypatch.setattr("benchmarks.fuzz._warm_up", lambda parsers: None)
    tally: Tally = run_cases(seed=1, cases=1)
    assert any(kind in what for what in tally.failures)
    assert next(iter(tally.failures.values())) == "--only bad --case 0"
