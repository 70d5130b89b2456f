"""docs/running.md and docs/images.md have every word that is printed."""

from __future__ import annotations

from enum import StrEnum

import pytest
from tests.docs.pages import ROOT, blocks, page, spans, table

from fluxtrail.cli.get_running import CAUSES, IMAGE_STATES, ROLLOUT_STATES
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.rollout import RolloutCause, RolloutState, RunningState


@pytest.mark.parametrize(
    ("name", "header", "words"),
    [
        ("running.md", "running", RunningState),
        ("running.md", "state", RolloutState),
        ("running.md", "cause", RolloutCause),
        ("images.md", "state", ImageState),
    ],
)
def test_tables_of_words_are_complete(name: str, header: str, words: type[StrEnum]) -> None:
    assert [spans(row[0])[0] for row in table(page(name), header)] == [word.value for word in words]


def test_lists_can_be_narrowed_by_each_word() -> None:
    assert (set(ROLLOUT_STATES), set(CAUSES)) == ({word.value for word in RolloutState}, set(RolloutCause))
    assert set(IMAGE_STATES) == {word.value for word in ImageState}


@pytest.mark.parametrize(
    ("name", "golden", "skipped"),
    [
        ("images.md", "trace_image.txt", 1),
        ("cli.md", "trace_object.txt", 1),
        ("cli.md", "trace_rolling.txt", 0),
    ],
)
def test_pictures_are_what_trace_prints(name: str, golden: str, skipped: int) -> None:
    printed = (ROOT / "tests" / "cli" / "golden" / golden).read_text(encoding="utf-8").splitlines()
    first = printed[0] if skipped else printed[4]
    shown = next(block.splitlines() for block in blocks(page(name), "console") if first in block.splitlines())
    assert set(shown[skipped:]) <= set(printed)
