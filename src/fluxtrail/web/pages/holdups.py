"""Where a commit stands, in a few lines: when it arrived, and what holds it up where, each cause once. Pure.

A commit may be held up on hundreds of targets; most of them wait for the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import BlockerView, DeliveryView
from fluxtrail.web.pages.next_steps import waits_for

SHOWN = 4
NAMED = 3
_STUCK = ("blocked", "failed")
_ORDER = (Verdict.FAILED, Verdict.DEPLOYED, Verdict.PENDING, Verdict.ROLLED_BACK)
_RANK = {verdict.value: rank for rank, verdict in enumerate(_ORDER)}


class Holdup(msgspec.Struct, frozen=True, kw_only=True):
    """One cause for which deliveries are not where they should be."""

    verdict: str
    why: str
    """A sentence."""
    message: str
    """What the first of them says."""
    blocker: BlockerView | None
    """A workload that does not get on there, of the first of them."""
    count: int
    only: DeliveryView | None
    """The delivery itself, where it is one."""
    clusters: list[str]
    """Some of those it concerns."""
    more_clusters: int
    since: datetime | None
    """Of the one that has been so for longest."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the top of a commit's page says."""

    first: datetime | None
    """When the first target applied it; None where none has, or none is known to have."""
    last: datetime | None
    is_everywhere: bool
    """Nothing is left that could still get it."""
    holdups: list[Holdup]
    more: int
    """Causes that are not among them."""


def describe_standing(views: Sequence[DeliveryView]) -> Standing:
    """Return where a commit stands by its deliveries, what failed first, then what most wait for."""
    causes: dict[tuple[str, str], list[DeliveryView]] = {}
    for view in views:
        if is_held_up(view):
            causes.setdefault((view.verdict, waits_for(view)), []).append(view)
    ordered = sorted(causes.items(), key=lambda item: (_RANK[item[0][0]], -len(item[1]), item[0][1]))
    applied = sorted(
        view.stages[Stage.APPLIED.value].at
        for view in views
        if view.verdict == Verdict.DEPLOYED and Stage.APPLIED.value in view.stages and not view.is_before_baseline
    )
    concerned = [view for view in views if view.verdict != Verdict.UNAFFECTED]
    return Standing(
        first=applied[0] if applied else None,
        last=applied[-1] if applied else None,
        is_everywhere=all(view.verdict == Verdict.DEPLOYED for view in concerned),
        holdups=[_describe(verdict, why, held) for (verdict, why), held in ordered[:SHOWN]],
        more=max(len(ordered) - SHOWN, 0),
    )


def is_held_up(view: DeliveryView) -> bool:
    """A deployed one is, where a workload of it cannot get on."""
    if view.verdict == Verdict.DEPLOYED:
        return any(blocker.state in _STUCK for blocker in view.blockers)
    return view.verdict in _RANK


def _describe(verdict: str, why: str, held: Sequence[DeliveryView]) -> Holdup:
    clusters = sorted({view.cluster for view in held})
    blockers = [blocker for view in held for blocker in view.blockers if blocker.state in _STUCK]
    return Holdup(
        verdict=verdict,
        why=why,
        message=next((view.message for view in held if view.message), ""),
        blocker=blockers[0] if blockers else None,
        count=len(held),
        only=held[0] if len(held) == 1 else None,
        clusters=clusters[:NAMED],
        more_clusters=max(len(clusters) - NAMED, 0),
        since=min((view.since for view in held if view.since is not None), default=None),
    )
