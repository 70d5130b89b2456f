"""Where the stages of a trail stand on the terminal."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from fluxtrail.cli.picture import Picture
from fluxtrail.cli.terminal import Terminal
from fluxtrail.model.moment import Evidence, Moment, exact
from fluxtrail.model.stage import Stage
from fluxtrail.model.views import CommitView, DeliveryView, TrailView

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAGES = (Stage.MERGED, Stage.EXPORTED, Stage.FETCHED, Stage.APPLIED, Stage.HEALTHY)


@pytest.mark.parametrize(
    "stages", [chosen for size in (2, 3, 4, 5) for chosen in itertools.combinations(STAGES, size)], ids=str
)
def test_each_time_stands_under_its_stage(stages: tuple[Stage, ...]) -> None:
    """The merge of a commit may be unknown, as that of an artifact's origin in a repository nobody may ask."""
    moments = {
        stage.value: exact(NOON + timedelta(minutes=STAGES.index(stage)), Evidence.READY_CONDITION) for stage in stages
    }
    whole = {stage.value: exact(NOON, Evidence.READY_CONDITION) for stage in STAGES}
    deliveries = [_delivery("apps", moments), _delivery("whole", whole)]
    lines = list(Picture(_trail(deliveries), TERMINAL, now=NOON, where=UTC, is_wide=False).lines())
    title = next(number for number, line in enumerate(lines) if "apps" in line)
    road, clocks = lines[title + 1 : title + 3]
    for stage in stages:
        column = road.index(stage.value)
        assert clocks[column:].startswith(f"12:0{STAGES.index(stage)}:00"), (road, clocks)


TERMINAL = Terminal(width=120, is_cut=False, has_color=False, has_unicode=True)


def _trail(deliveries: list[DeliveryView]) -> TrailView:
    commit = CommitView(
        sha="a" * 40,
        repository="github.com/acme/shop",
        subject="Scale",
        author="Ada",
        committed_at=None,
        merged=None,
        pull_request=None,
        is_carrier=False,
        web_url=None,
        verdicts={"deployed": len(deliveries)},
    )
    return TrailView(commit=commit, queried="aaaa", deliveries=deliveries, is_settled=True)


def _delivery(name: str, stages: dict[str, Moment]) -> DeliveryView:
    return DeliveryView(
        sha="a" * 40,
        repository="github.com/acme/shop",
        cluster="prod",
        cluster_uid="u1",
        target=f"Kustomization/flux-system/{name}",
        target_id=1,
        verdict="deployed",
        stages=stages,
    )
