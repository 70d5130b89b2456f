"""The deliveries of one commit as a page shows them: by cluster, what needs a look first, the rest folded. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.moment import Moment
from fluxtrail.model.stage import STAGES, Interval, Stage, lead_time, stage_intervals
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryView
from fluxtrail.web.pages.formats import RANK, target_parts, words, worst_first
from fluxtrail.web.pages.next_steps import Step, next_steps, waits_for
from fluxtrail.web.pages.waterfall import Axis, Lane, draw_axis, draw_lane, interval_words, stages_of

FEW = 30
"""So many deliveries are all drawn, whatever became of them."""
CLUSTERS_SHOWN = 20
ROWS_SHOWN = 40
DRAWN_IN_ALL = 60
"""Of many deliveries: lanes that one page draws, shared out to its clusters."""
FOLDED_SHOWN = 10
NEEDS_A_LOOK = (Verdict.FAILED, Verdict.PENDING, Verdict.ROLLED_BACK)
_STUCK = ("blocked", "failed")
_OURS = frozenset({"main", "live", "find", "palette", "keys", "announcer", "keys-title", "feed-state", "feed-banner"})
"""Ids that the layout has: a cluster that is called so, or like a row, has no anchor."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One line of what is known of a moment."""

    stage: str
    moment: Moment
    took: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery."""

    view: DeliveryView
    word: str
    needs_a_look: bool
    at: datetime | None
    """When a deployed one came as far as its word says."""
    lead_seconds: float | None
    is_lead_estimated: bool
    waits: str
    steps: list[Step]
    lane: Lane | None
    """None where only a line is shown."""
    evidence: list[Evidence]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the commit on one cluster."""

    cluster: str
    anchor: str
    counts: dict[str, int]
    """Of all of its deliveries, in the order of care."""
    rows: list[Row]
    """Drawn."""
    folded: list[Row]
    """One line each, behind a fold."""
    hidden: int
    """Neither of both: the cluster's own view has them."""
    slowest_seconds: float | None


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    axis: Axis
    groups: list[Group]
    counts: dict[str, int]
    """Of everything that is chosen."""
    clusters: int
    next: str | None
    shown: int
    """Deliveries that are drawn."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What of a trail is to be shown."""

    cluster: str | None = None
    target: str | None = None
    verdict: str | None = None
    start: int = 0

    @property
    def is_narrow(self) -> bool:
        return any(value is not None for value in (self.cluster, self.target, self.verdict))

    def has(self, view: DeliveryView) -> bool:
        kind, _, name = target_parts(view.target)
        return (
            self.cluster in (None, view.cluster, view.cluster_uid)
            and self.target in (None, view.target, name, f"{kind}/{name}")
            and self.verdict in (None, view.verdict)
        )


def arrange(views: Sequence[DeliveryView], chosen: Chosen, *, now: datetime) -> Deliveries:
    """Return what a page shows of a trail's deliveries.

    Few, or those of one cluster, target or verdict, are all drawn, so many a page. Of many each cluster shows some of
    what needs a look, and the rest as folded lines: a page is bounded, whatever the fleet.
    """
    concerned = [view for view in views if chosen.has(view)]
    if chosen.verdict is None:
        concerned = [view for view in concerned if view.verdict != Verdict.UNAFFECTED]
    by_cluster: dict[str, list[DeliveryView]] = {}
    for view in sorted(concerned, key=_care):
        by_cluster.setdefault(view.cluster, []).append(view)
    folded: list[DeliveryView] = []
    # Clusters come in the order of what is worst on each of them, because the deliveries were sorted so.
    if chosen.is_narrow or len(concerned) <= FEW:
        ordered = [view for group in by_cluster.values() for view in group]
        end = chosen.start + ROWS_SHOWN
        drawn, is_over = ordered[chosen.start : end], end >= len(ordered)
    else:
        end = chosen.start + CLUSTERS_SHOWN
        drawn, folded = _share(list(by_cluster.values())[chosen.start : end])
        is_over = end >= len(by_cluster)
    axis = draw_axis(drawn or concerned, now=now)
    groups = _groups(by_cluster, drawn, folded, axis)
    return Deliveries(
        axis=axis,
        groups=[msgspec.structs.replace(group, hidden=0) for group in groups] if chosen.is_narrow else groups,
        counts=count_verdicts(views if chosen.verdict is None else concerned),
        clusters=len(by_cluster),
        next=None if is_over else str(end),
        shown=len(drawn),
    )


def _share(clusters: Sequence[Sequence[DeliveryView]]) -> tuple[list[DeliveryView], list[DeliveryView]]:
    each = max(DRAWN_IN_ALL // max(len(clusters), 1), 3)
    drawn: list[DeliveryView] = []
    folded: list[DeliveryView] = []
    for views in clusters:
        urgent = [view for view in views if needs_a_look(view)]
        drawn += urgent[:each]
        folded += [view for view in views if not needs_a_look(view)][:FOLDED_SHOWN]
    return drawn, folded


def _groups(
    by_cluster: dict[str, list[DeliveryView]], drawn: Sequence[DeliveryView], folded: Sequence[DeliveryView], axis: Axis
) -> list[Group]:
    lines: dict[str, tuple[list[Row], list[Row]]] = {}
    for view in drawn:
        lines.setdefault(view.cluster, ([], []))[0].append(make_row(view, axis))
    for view in folded:
        lines.setdefault(view.cluster, ([], []))[1].append(make_row(view, None))
    found = []
    for cluster, all_of_it in by_cluster.items():
        rows, rest = lines.get(cluster, ([], []))
        if not rows and not rest:
            continue
        leads = [lead.seconds for view in all_of_it if (lead := _lead(view)) is not None]
        found.append(
            Group(
                cluster=cluster,
                anchor="" if cluster in _OURS or cluster.startswith("row-") else cluster,
                counts=count_verdicts(all_of_it),
                rows=rows,
                folded=rest,
                hidden=len(all_of_it) - len(rows) - len(rest),
                slowest_seconds=max(leads, default=None),
            )
        )
    return found


def make_row(view: DeliveryView, axis: Axis | None) -> Row:
    lead = _lead(view)
    return Row(
        view=view,
        word=word_of(view),
        needs_a_look=needs_a_look(view),
        at=reached_at(view),
        lead_seconds=lead.seconds if lead else None,
        is_lead_estimated=lead.is_estimated if lead else False,
        waits=waits_for(view),
        steps=next_steps(view) if axis is not None else [],
        lane=draw_lane(view, axis) if axis is not None else None,
        evidence=list_evidence(view) if axis is not None else [],
    )


def list_evidence(view: DeliveryView) -> list[Evidence]:
    moments = stages_of(view)
    took = {
        interval.stage: interval_words(interval, moments).partition(" ")[2] for interval in stage_intervals(moments)
    }
    return [Evidence(stage=stage.value, moment=moment, took=took.get(stage, "")) for stage, moment in moments.items()]


def needs_a_look(view: DeliveryView) -> bool:
    return view.verdict in NEEDS_A_LOOK or any(blocker.state in _STUCK for blocker in view.blockers)


def word_of(view: DeliveryView) -> str:
    """Return how far a deployed one has come, or the verdict."""
    if view.verdict != Verdict.DEPLOYED or view.is_before_baseline:
        return words(view.verdict)
    reached = _furthest(view)
    return "deployed" if reached is None else reached.value


def reached_at(view: DeliveryView) -> datetime | None:
    """Return since when a deployed one is as far as `word_of` says; None where that is not known."""
    reached = _furthest(view) if view.verdict == Verdict.DEPLOYED and not view.is_before_baseline else None
    return None if reached is None else view.stages[reached.value].at


def _furthest(view: DeliveryView) -> Stage | None:
    """Return the last stage that a delivery has reached on its target; None before `applied`."""
    reached = [stage for stage in STAGES if stage.value in view.stages]
    return reached[-1] if reached and reached[-1] in (Stage.APPLIED, Stage.HEALTHY, Stage.RUNNING) else None


def count_verdicts(views: Sequence[DeliveryView]) -> dict[str, int]:
    return worst_first(Counter(view.verdict for view in views))


def headline(counts: dict[str, int], *, clusters: int) -> str:
    """Return in a sentence where a commit is: `Live on 38 of 50 targets, 2 failed, 10 on their way`."""
    total = sum(count for verdict, count in counts.items() if verdict != Verdict.UNAFFECTED)
    if not total:
        return "It concerns no target" if counts else "On no target yet"
    deployed = counts.get(Verdict.DEPLOYED.value, 0)
    targets = "its only target" if total == 1 else f"{total:,} targets"
    said = [f"Live on {deployed:,} of {total:,} targets"]
    if not deployed:
        said = [f"Not live on {targets if total == 1 else f'any of {targets}'}"]
    if deployed == total:
        where = "" if clusters == 1 else f" on {clusters:,} clusters"
        said = [f"Live on {targets}" if total == 1 else f"Live on all {targets}{where}"]
    for verdict, text in (
        (Verdict.FAILED, "failed"),
        (Verdict.PENDING, "on its way" if counts.get(Verdict.PENDING.value) == 1 else "on their way"),
        (Verdict.ROLLED_BACK, "rolled back"),
        (Verdict.LOST, "lost"),
        (Verdict.ABANDONED, "abandoned"),
    ):
        if count := counts.get(verdict.value, 0):
            said.append(text if total == 1 else f"{count:,} {text}")
    return ", ".join(said)


def _lead(view: DeliveryView) -> Interval | None:
    found = lead_time(stages_of(view))
    return None if found is None or found.is_inverted else found


def _care(view: DeliveryView) -> tuple[int, str, str]:
    rank = RANK.get(view.verdict, len(RANK))
    if view.verdict == Verdict.DEPLOYED and needs_a_look(view):
        rank = RANK[Verdict.PENDING.value]
    return rank, view.cluster, view.target
