"""What `fluxtrail wait` decides at each look at a trail. Pure: a trail in, a decision out (docs/cli.md, wait).

The targets waited for are fixed at the first look at which the scope of each is known: one that comes into
being later is not waited for, one that is deleted will not happen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from fluxtrail.cli.trace import is_meant
from fluxtrail.cli.words import OPEN_RUNNING, STUCK, blocker_words, pending_words, short
from fluxtrail.model.durations import duration
from fluxtrail.model.stage import Stage
from fluxtrail.model.views import BlockerView, DeliveryView, TrailView

LONGEST_SECONDS = 10**9
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,6})?[dhms])+")
_PART = re.compile(r"([0-9.]+)([dhms])")
WILL_NOT_HAPPEN = frozenset({"lost", "abandoned", "rolled_back"})
_SCOPE_OPEN = frozenset({"scoping", "awaiting_export"})
"""Pending for a reason that leaves open which targets the commit will concern."""


class Exit(IntEnum):
    """The exit codes of `wait`; 2 is click's own for usage."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    WILL_NOT_HAPPEN = 4


@dataclass(frozen=True)
class Decision:
    """`exit` is None while there is something to wait for; `reason` is for people either way."""

    exit: Exit | None
    reason: str


class Waiter:
    """Remembers which targets are waited for.

    Args:
        goal: `applied`, `healthy` or `running`. A target without health checks has no `healthy`: there it is reached by
            deploying. So is `running` where nothing is to run, or where it cannot be known.
        fail_after: how long a failure must last to be the end; Flux retries for ever, and the next commit may mend it.
    """

    def __init__(
        self, *, goal: str, clusters: tuple[str, ...] = (), targets: tuple[str, ...] = (), fail_after: timedelta
    ) -> None:
        self._goal = goal
        self._clusters = clusters
        self._targets = targets
        self._fail_after = fail_after
        self._waited_for: frozenset[int] | None = None

    def look(self, trail: TrailView, *, now: datetime) -> Decision:
        """Return what the trail as it is at `now` (the server's clock) means."""
        chosen = [d for d in trail.deliveries if is_meant(d, clusters=self._clusters, targets=self._targets)]
        if self._waited_for is None:
            early = self._fix_scope(trail, chosen)
            if early is not None:
                return early
        waited_for = self._waited_for = (self._waited_for or frozenset()) | _releases(chosen)
        present = [d for d in trail.deliveries if d.target_id in waited_for]
        return self._judge(present, missing=len(waited_for) - len(present), now=now)

    def _fix_scope(self, trail: TrailView, chosen: list[DeliveryView]) -> Decision | None:
        if not trail.deliveries:
            return Decision(None, "no target is known yet that it goes to")
        unscoped = [d for d in chosen if d.verdict == "pending" and d.reason in _SCOPE_OPEN]
        if unscoped:
            return Decision(None, _waiting_text(unscoped))
        if not chosen:
            known = ", ".join(sorted({f"{d.cluster} {d.target}" for d in trail.deliveries})[:10])
            return Decision(Exit.USAGE, f"none of its targets is called so; it goes to: {known}")
        affected = [d for d in chosen if d.verdict != "unaffected"]
        if not affected:
            return Decision(
                Exit.OK, "it concerns none of the targets waited for: unaffected everywhere, nothing to wait for"
            )
        self._waited_for = frozenset(d.target_id for d in affected)
        return None

    def _judge(self, present: list[DeliveryView], *, missing: int, now: datetime) -> Decision:
        ended = [d for d in present if d.verdict in WILL_NOT_HAPPEN]
        if ended:
            return Decision(Exit.WILL_NOT_HAPPEN, "; ".join(_ended_text(d) for d in ended))
        if missing:
            return Decision(Exit.WILL_NOT_HAPPEN, f"{missing} of its targets are no longer known")
        behind = [d for d in present if not self._is_reached(d)]
        if not behind:
            return Decision(Exit.OK, f"{self._goal} on {_targets(len(present))}{self._note(present)}")
        failed = [d for d in behind if d.verdict == "failed"]
        final = [d for d in failed if d.since is None or now - d.since >= self._fail_after]
        if final:
            return Decision(Exit.FAILED, "; ".join(_failed_text(d) for d in final))
        dead = [(d, b) for d in behind for b in self._failed_blockers(d, now)]
        if dead:
            return Decision(Exit.FAILED, "; ".join(_blocked_text(d, b) for d, b in dead))
        return Decision(None, f"{len(present) - len(behind)} of {_targets(len(present))}; {_waiting_text(behind)}")

    def _is_reached(self, delivery: DeliveryView) -> bool:
        is_kustomization = delivery.target.startswith("Kustomization/")
        if delivery.verdict == "deployed" and delivery.running == "unread" and is_kustomization:
            return False  # it is not known yet which releases it changed
        if self._goal == "running" and delivery.verdict != "unaffected":
            is_not_coming = delivery.verdict == "deployed" and delivery.running not in OPEN_RUNNING
            return Stage.RUNNING in delivery.stages or is_not_coming
        if delivery.verdict in ("deployed", "unaffected"):
            return True
        return self._goal == "applied" and "applied" in delivery.stages

    def _failed_blockers(self, delivery: DeliveryView, now: datetime) -> list[BlockerView]:
        """What will not run without a change, and has been so for long enough."""
        if self._goal != "running":
            return []
        failed = [blocker for blocker in delivery.blockers if blocker.state == "failed"]
        return [b for b in failed if b.since is None or now - b.since >= self._fail_after]

    def _note(self, present: list[DeliveryView]) -> str:
        """Where running is not what was reached."""
        if self._goal != "running":
            return ""
        behind = [d for d in present if Stage.RUNNING not in d.stages and d.verdict != "unaffected"]
        absent = sum(d.running == "absent" for d in behind)
        unknown = [d for d in behind if d.running != "absent"]
        notes = [f"nothing is to run on {absent}"] if absent else []
        if unknown:
            notes.append(f"not known on {len(unknown)}: workloads are not watched or not read, {_where(unknown[0])}")
        return f" ({'; '.join(notes)})" if notes else ""


def parse_duration(text: str) -> timedelta | None:
    """Return what `90`, `90s`, `10m`, `1h30m` or `2d` means, or None."""
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    whole = text.strip()
    if whole.isascii() and whole.isdigit():
        whole += "s"
    if not _DURATION.fullmatch(whole):
        return None
    total = sum(float(number) * units[unit] for number, unit in _PART.findall(whole))
    return timedelta(seconds=total) if total <= LONGEST_SECONDS else None


def _targets(count: int) -> str:
    return f"{count} target" if count == 1 else f"{count} targets"


def _releases(chosen: list[DeliveryView]) -> frozenset[int]:
    """Return the HelmReleases: a commit comes to them once its Kustomization was applied, and not before."""
    return frozenset(d.target_id for d in chosen if d.target.startswith("HelmRelease/") and d.verdict != "unaffected")


def _where(delivery: DeliveryView) -> str:
    return f"{delivery.cluster} {delivery.target}"


def _waiting_text(deliveries: list[DeliveryView]) -> str:
    first = deliveries[0]
    if first.verdict == "deployed" or first.blockers:
        return _rolling_text(deliveries)
    words = pending_words(first.reason, first.target) if first.verdict == "pending" else _failed_text(first)
    more = f" (and {len(deliveries) - 1} more)" if len(deliveries) > 1 else ""
    return f"{words}: {_where(first)}{more}" if first.verdict == "pending" else f"{words}{more}"


def _rolling_text(deliveries: list[DeliveryView]) -> str:
    """What is applied and does not run; what is stuck goes first."""
    stuck = [(d, b) for d in deliveries for b in d.blockers if b.state in STUCK]
    under_way = [(d, b) for d in deliveries for b in d.blockers if b.state not in STUCK]
    known = stuck + under_way
    if not known:
        return f"applied; its roll-outs are being looked at: {_where(deliveries[0])}"
    more = f" (and {len(known) - 1} more)" if len(known) > 1 else ""
    return f"{_blocked_text(*known[0])}{more}"


def _blocked_text(delivery: DeliveryView, blocker: BlockerView) -> str:
    if blocker.state == "progressing" and blocker.cause is None:
        return f"rolling out on {_where(delivery)}: {blocker.workload}"
    return f"applied, but not running on {_where(delivery)}: {blocker.workload}: {blocker_words(blocker)}"


def _failed_text(delivery: DeliveryView) -> str:
    message = f": {delivery.message}" if delivery.message else ""
    return f"failed on {_where(delivery)} ({delivery.reason or 'no reason given'}){message}"


def _ended_text(delivery: DeliveryView) -> str:
    words = {
        "lost": "it is no longer on the branch, and was never deployed on",
        "abandoned": "the target was deleted or follows something else now:",
        "rolled_back": "it was rolled back on",
    }
    undone = f", by {short(delivery.undone_by)}" if delivery.undone_by else ""
    return f"{words[delivery.verdict]} {_where(delivery)}{undone}"


def timeout_text(seconds: float, last: str) -> str:
    return f"not within {duration(seconds)}: {last}"
