from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from tests.docs.pages import blocks, page, prose, spans, table

from fluxtrail.model.moment import Evidence, Precision
from fluxtrail.model.reasons import REASONS, Outcome
from fluxtrail.model.records import AliasKind, Attribution, Cause, TransitionKind
from fluxtrail.model.revision import find_revision
from fluxtrail.model.stage import STAGES, Stage
from fluxtrail.model.verdict import WAITING_BY_WILL, PendingReason, Verdict, union
from fluxtrail.trail.strategies.exporter_info import ENTRY_LIMIT, SIZE_LIMIT_BYTES, parse_exporter_info
from fluxtrail.trail.strategies.stated import FUTURE_TOLERANCE

CONCEPTS = page("concepts.md")
WORDS: tuple[type[StrEnum], ...] = (
    Verdict,
    Stage,
    Evidence,
    Precision,
    PendingReason,
    Cause,
    Attribution,
    Outcome,
    TransitionKind,
    AliasKind,
)


@pytest.mark.parametrize("word", [word for words in WORDS for word in words], ids=lambda w: f"{type(w).__name__}-{w}")
def test_every_word_is_explained(word: StrEnum) -> None:
    assert word.value in spans(prose(CONCEPTS))


@pytest.mark.parametrize(
    ("header", "words"),
    [("verdict", Verdict), ("reason ", PendingReason), ("cause", Cause), ("state", Attribution)],
)
def test_tables_of_words_are_complete(header: str, words: type[StrEnum]) -> None:
    if header == "reason ":
        section = CONCEPTS.split("## Pending reasons", 1)[1].split("\n## ", 1)[0]
        rows = table(section, "reason")
    else:
        rows = table(CONCEPTS, header)
    assert {spans(row[0])[0] for row in rows} == {word.value for word in words}


def test_the_table_of_reasons_is_the_one_of_the_code() -> None:
    section = CONCEPTS.split("## From Flux's reason to an outcome", 1)[1].split("\n## ", 1)[0]
    rows = table(section, "reason")
    stated = {reason: spans(row[1])[0] for row in rows for reason in spans(row[0])}
    assert stated == {reason: outcome.value for reason, outcome in REASONS.items()}


def test_stages_stand_in_their_order() -> None:
    assert " → ".join(stage.value for stage in STAGES) in CONCEPTS


def test_what_care_wins_is_the_order_of_the_code() -> None:
    line = next(line for line in CONCEPTS.splitlines() if line.startswith("`failed`, `pending`"))
    order = [Verdict(word) for word in spans(line)]
    assert set(order) == set(Verdict)
    for first, second in itertools.combinations(order, 2):
        assert union([second, first]) is first


def test_reasons_that_are_somebodys_will_are_named() -> None:
    line = next(line for line in CONCEPTS.splitlines() if "are somebody's will" in line)
    assert set(spans(line)) - {"fluxtrail_commits_oldest_age_seconds"} == {reason.value for reason in WAITING_BY_WILL}


@pytest.mark.parametrize(
    "example",
    [text for row in table(CONCEPTS, "form") for text in spans(row[1]) if "…" not in text],
)
def test_examples_of_revisions_are_understood(example: str) -> None:
    assert find_revision(example) is not None


def test_the_example_of_exporter_info_is_read_without_a_problem() -> None:
    (example,) = blocks(page("exporter-info.md"), "json")
    info = parse_exporter_info(example.encode(), now=datetime(2026, 2, 1, tzinfo=UTC))
    assert info.problems == ()
    assert [commit.sha for commit in info.commits] == [json.loads(example)["commits_since_last_export"][0]["hash"]]
    assert info.build_link is not None


def test_the_limits_of_exporter_info_are_those_of_the_code() -> None:
    text = page("exporter-info.md")
    assert f"larger than {SIZE_LIMIT_BYTES // 1024**2} MiB" in text
    assert f"more than {ENTRY_LIMIT:,} entries" in text
    assert f"more than {FUTURE_TOLERANCE.seconds // 60} minutes in the future" in text
