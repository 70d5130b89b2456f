"""What pages make of answers, before it is HTML."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests.web.worlds import NOW, at, commit, delivery

from fluxtrail.model.counts import Counts, Inflight
from fluxtrail.model.trend import Trend
from fluxtrail.model.views import CellView, ClusterView
from fluxtrail.web.board import Span
from fluxtrail.web.pages.board import cell_of
from fluxtrail.web.pages.overview import Overview, summarise

COMMIT = commit("ab" * 20, "Change", 0)


def cluster(name: str, current_at: datetime | None, known_by: str = "watch") -> ClusterView:
    return ClusterView(
        uid=f"uid-{name}", name=name, targets=1, pending=0, failed=0, current_at=current_at, known_by=known_by
    )


def inflight(name: str, commits: int, oldest: float | None, failed: int = 0) -> Inflight:
    since = at(oldest) if oldest is not None else None
    return Inflight(
        cluster="north", namespace="apps", name=name, kind="Kustomization", commits=commits, failed=failed,
        oldest_since=since,
    )  # fmt: skip


def overview(**given: Any) -> Overview:
    known: dict[str, Any] = {
        "counts": Counts(inflight=[], attribution_pending=0, attribution_gaps=0),
        "clusters": [],
        "now": NOW,
        "in_flight": [],
        "failing": [],
        "happened": [],
        "trend": Trend(),
        "by": Span.HOUR,
    }
    return summarise(**(known | given))


def test_overview_names_the_oldest_and_who_waits_longest() -> None:
    entries = [inflight("a", 2, 600), inflight("b", 1, 60, failed=3), inflight("c", 4, None)]
    view = overview(
        counts=Counts(inflight=entries, attribution_pending=0, attribution_gaps=0), clusters=[cluster("north", NOW)]
    )
    assert (view.pending, view.pending_targets, view.failed, view.failed_targets) == (7, 3, 3, 1)
    assert [entry.name for entry in view.slowest] == ["b", "a"]
    assert view.oldest is not None
    assert (view.oldest.name, view.oldest_seconds) == ("b", 1740)
    assert view.clusters[0].oldest_seconds == 1740


def test_target_that_failed_often_takes_one_line() -> None:
    failing = [
        delivery(sha, "staging", "failed", target=f"Kustomization/apps/{name}", target_id=id_)
        for sha, name, id_ in (("a" * 40, "a", 1), ("b" * 40, "a", 1), ("c" * 40, "b", 2))
    ]
    entries = [inflight("a", 0, None, failed=9), inflight("b", 0, None, failed=1)]
    entries = [msgspec.structs.replace(entry, cluster="staging") for entry in entries]
    counts = Counts(inflight=entries, attribution_pending=0, attribution_gaps=0)
    lines = overview(counts=counts, failing=failing).failing
    assert [(line.view.sha[0], line.more) for line in lines] == [("a", 8), ("c", 0)]


def test_clusters_of_a_large_fleet_are_cut_where_nothing_is_wrong() -> None:
    views = [cluster(f"c{number:02}", NOW) for number in range(40)]
    views[30] = cluster("c30", None)
    views[20] = msgspec.structs.replace(views[20], failed=1)
    view = overview(clusters=views)
    assert [line.view.name for line in view.clusters[:3]] == ["c20", "c30", "c00"]
    assert (len(view.clusters), view.cluster_count) == (12, 40)


@pytest.mark.parametrize(
    ("view", "is_silent"),
    [
        (cluster("now", NOW), False),
        (cluster("old", NOW - timedelta(minutes=6)), True),
        (cluster("never", None), True),
        (cluster("told", None, "events"), False),
    ],
    ids=lambda value: value.name if isinstance(value, ClusterView) else "",
)
def test_watched_cluster_of_which_nothing_is_heard_is_silent(view: ClusterView, is_silent: bool) -> None:
    assert overview(clusters=[view]).silent == ([view.name] if is_silent else [])


@pytest.mark.parametrize(
    ("before", "said"),
    [(100, "twice"), (200, "as long as the day before"), (400, "50 % shorter than the day before"), (None, "")],
)
def test_lead_time_is_compared_with_the_day_before(before: float | None, said: str) -> None:
    trend = Trend()
    trend.observe(NOW, 200)
    if before is not None:
        trend.observe(NOW - timedelta(hours=30), before)
    view = overview(trend=trend)
    assert view.lead.count == 1
    assert view.lead_change == ("100 % longer than the day before" if said == "twice" else said)


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        pytest.param(
            {"verdict": "deployed", "stage": "healthy", "since": at(9)}, ("healthy", "", "", at(9)), id="reached"
        ),
        pytest.param({"verdict": "deployed", "stage": "fetched"}, ("deployed", "", "", None), id="no moment of it"),
        pytest.param(
            {"verdict": "deployed", "is_before_baseline": True}, ("deployed", "", "before we came", None), id="baseline"
        ),
        pytest.param(
            {"verdict": "deployed", "stage": "running", "undone_by": "c" * 40},
            ("running", "", "reverted since", None),
            id="reverted",
        ),
        pytest.param(
            {"verdict": "pending", "reason": "awaiting_fetch", "since": at(9)},
            ("pending", "", "awaiting fetch", at(0)),
            id="pending since it was merged",
        ),
        pytest.param(
            {"verdict": "failed", "reason": "BuildFailed", "count": 1, "counts": {"failed": 1, "deployed": 4}},
            ("failed", "1/5", "BuildFailed", None),
            id="one of five",
        ),
        pytest.param({"verdict": "rolled_back", "since": at(9)}, ("rolled back", "", "", at(9)), id="rolled back"),
        pytest.param({"verdict": "unaffected", "since": at(9)}, ("not affected", "", "", None), id="unaffected"),
    ],
)
def test_cell(view: dict[str, Any], expected: tuple[str, str, str, datetime | None]) -> None:
    cell = cell_of(msgspec.convert(view, CellView), COMMIT)
    assert (cell.word, cell.share, cell.note, cell.at) == expected
    assert cell.others == ("4 deployed" if cell.share == "1/5" else "")
