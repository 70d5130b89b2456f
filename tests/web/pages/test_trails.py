from __future__ import annotations

from typing import Any

import pytest
from tests.web import runs
from tests.web.worlds import NOW, ON_ITS_WAY, at, delivery, stages

from fluxtrail.model.views import DeliveryView
from fluxtrail.web.pages.trails import (
    CLUSTERS_SHOWN,
    DRAWN_IN_ALL,
    FOLDED_SHOWN,
    ROWS_SHOWN,
    Chosen,
    Deliveries,
    arrange,
    headline,
    word_of,
)

ALL = stages(0, ("fetched", 40), ("applied", 100), ("healthy", 160))


def place(cluster: str, number: int, verdict: str, **known: Any) -> DeliveryView:
    name = f"Kustomization/flux-system/team-{number:04}"
    base = {"target": name, "target_id": number + 1, "cluster": cluster, "cluster_uid": f"uid-{cluster}"}
    view = delivery(ON_ITS_WAY, "prod-eu", verdict, stages=ALL, **known)
    return DeliveryView(**{**{field: getattr(view, field) for field in view.__struct_fields__}, **base})


def fleet(clusters: int, targets: int, **odd: str) -> list[DeliveryView]:
    """`odd`: `c003_5="failed"` is the fifth target of the third cluster."""
    return [
        place(f"c{c:03}", c * targets + n, odd.get(f"c{c:03}_{n}", "deployed"))
        for c in range(clusters)
        for n in range(targets)
    ]


def show(views: list[DeliveryView], **chosen: Any) -> Deliveries:
    return arrange(views, Chosen(**chosen), now=NOW)


def test_few_deliveries_are_all_drawn_by_cluster_what_needs_a_look_first() -> None:
    views = [*fleet(3, 2, c001_1="failed", c002_0="pending"), place("c000", 90, "unaffected")]
    found = show(views)
    assert [group.cluster for group in found.groups] == ["c001", "c002", "c000"]
    assert [row.view.verdict for row in found.groups[0].rows] == ["failed", "deployed"]
    assert all(row.lane and row.evidence for group in found.groups for row in group.rows)
    assert not any(group.folded or group.hidden for group in found.groups)
    assert found.counts == {"failed": 1, "pending": 1, "deployed": 4, "unaffected": 1}
    assert (found.next, found.shown) == (None, 6)


def test_of_a_thousand_each_cluster_shows_what_needs_a_look_and_folds_the_rest() -> None:
    found = show(fleet(25, 40, c003_5="failed", c009_1="pending", c009_2="pending"))
    assert [group.cluster for group in found.groups[:3]] == ["c003", "c009", "c000"]
    assert [row.view.verdict for row in found.groups[1].rows] == ["pending", "pending"]
    quiet = found.groups[2]
    assert (quiet.rows, len(quiet.folded), quiet.hidden) == ([], FOLDED_SHOWN, 30)
    assert all(row.lane is None for row in quiet.folded)
    assert len(found.groups) == CLUSTERS_SHOWN
    behind = show(fleet(25, 40, c003_5="failed"), start=int(found.next or 0))
    assert (len(behind.groups), behind.next) == (5, None)


def test_page_is_bounded_when_everything_fails() -> None:
    views = [place(f"c{n % 50:03}", n, "failed") for n in range(5000)]
    found = show(views)
    assert sum(len(group.rows) for group in found.groups) <= DRAWN_IN_ALL
    assert all(group.rows and group.hidden for group in found.groups)


def test_one_cluster_is_drawn_whole_page_by_page() -> None:
    views = fleet(3, 100, c001_7="failed")
    first = show(views, cluster="c001")
    assert [group.cluster for group in first.groups] == ["c001"]
    assert [row.view.verdict for row in first.groups[0].rows][:2] == ["failed", "deployed"]
    assert (first.shown, first.next, first.groups[0].hidden) == (ROWS_SHOWN, str(ROWS_SHOWN), 0)
    seen = {row.view.target for row in first.groups[0].rows}
    cursor = first.next
    while cursor is not None:
        page = show(views, cluster="uid-c001", start=int(cursor))
        seen |= {row.view.target for row in page.groups[0].rows}
        cursor = page.next
    assert len(seen) == 100


@pytest.mark.parametrize("target", ["team-0007", "Kustomization/team-0007", "Kustomization/flux-system/team-0007"])
def test_target_is_named_as_in_the_api(target: str) -> None:
    assert show(fleet(3, 100), target=target).shown == 1


def test_targets_that_it_does_not_affect_are_counted_and_shown_when_asked_for() -> None:
    views = [*fleet(1, 2), place("c000", 90, "unaffected")]
    assert show(views).shown == 2
    only = show(views, verdict="unaffected")
    assert [row.view.verdict for group in only.groups for row in group.rows] == ["unaffected"]


def test_deployed_with_a_workload_that_does_not_get_on_needs_a_look() -> None:
    stuck = place("c010", 5000, "deployed", running="waiting", blockers=[runs.BLOCKED])
    found = show([*fleet(10, 10), stuck])
    assert found.groups[0].cluster == "c010"
    assert found.groups[0].rows[0].waits == "Applied; 1 workload cannot get on."


def test_cluster_that_is_called_like_a_part_of_the_page_has_no_anchor() -> None:
    found = show([place("main", 1, "deployed"), place("row-7", 7, "deployed"), place("prod", 2, "deployed")])
    assert {group.cluster: group.anchor for group in found.groups} == {"main": "", "row-7": "", "prod": "prod"}


def test_row_says_when_it_came_as_far_as_its_word() -> None:
    arrived, waiting, old = show(
        [place("c1", 1, "deployed"), place("c2", 2, "pending"), place("c3", 3, "deployed", is_before_baseline=True)]
    ).groups
    rows = {group.cluster: group.rows[0] for group in (arrived, waiting, old)}
    assert (rows["c1"].word, rows["c1"].at) == ("healthy", at(160))
    assert (rows["c2"].at, rows["c3"].at) == (None, None)


def test_evidence_has_a_line_for_each_moment() -> None:
    row = show([place("prod", 1, "deployed")]).groups[0].rows[0]
    assert [(line.stage, line.took) for line in row.evidence] == [
        ("merged", ""),
        ("fetched", "40s after merged"),
        ("applied", "1m after fetched"),
        ("healthy", "1m after applied"),
    ]
    assert (row.lead_seconds, row.is_lead_estimated) == (100, False)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"deployed": 1}, "Live on its only target"),
        ({"deployed": 50}, "Live on all 50 targets on 3 clusters"),
        ({"failed": 1, "pending": 2, "deployed": 1200}, "Live on 1,200 of 1,203 targets, 1 failed, 2 on their way"),
        ({"pending": 1}, "Not live on its only target, on its way"),
        ({"pending": 2, "failed": 1}, "Not live on any of 3 targets, 1 failed, 2 on their way"),
        ({"rolled_back": 1, "deployed": 1, "lost": 2}, "Live on 1 of 4 targets, 1 rolled back, 2 lost"),
        ({"unaffected": 4}, "It concerns no target"),
        ({}, "On no target yet"),
    ],
)
def test_headline(counts: dict[str, int], text: str) -> None:
    assert headline(counts, clusters=3) == text


def test_word_of_a_delivery() -> None:
    assert word_of(place("prod", 1, "deployed")) == "healthy"
    assert word_of(place("prod", 1, "deployed", is_before_baseline=True)) == "deployed"
    assert word_of(place("prod", 1, "rolled_back", since=at(0))) == "rolled back"
