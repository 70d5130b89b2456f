"""What of the history makes it necessary to look at a commit again: transitions × routes → reports. Pure.

A report names its commit and nothing else: what is said follows from the ledger at the moment of saying, so however
many things happen to a commit meanwhile, it is said once, and right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import CommitId, Transition, TransitionKind
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.reports.plan import Planner
from fluxtrail.reports.routes import Route, Until

_TELLING = frozenset(
    {TransitionKind.COMMIT_SEEN, TransitionKind.VERDICT, TransitionKind.APPLIED, TransitionKind.UNDONE}
)


class Content(msgspec.Struct, frozen=True):
    """A report's body."""

    commit: CommitId


_decode = msgspec.json.Decoder(Content).decode


def read_commit(body: bytes) -> CommitId:
    """Return which commit a report is about.

    Raises:
        WireError: not a body that this version or an older one wrote.
    """
    try:
        return _decode(body).commit
    except msgspec.MsgspecError as exc:
        raise WireError(f"not the body of a status report: {exc}; drop it", subject="report") from exc


def standing_planner(routes: Sequence[Route]) -> Planner:
    """Return the plan for these routes."""
    at_first = [route.sink for route in routes]
    at_last = [route.sink for route in routes if route.until is Until.RUNNING or route.kind.is_per_commit]

    def plan(transitions: Sequence[Transition]) -> list[NewReport]:
        changed = _commits(transitions, _TELLING)
        runs = _commits(transitions, {TransitionKind.RUNNING})
        return [
            *reports_of(at_first, changed),
            *reports_of(at_last, [commit for commit in runs if commit not in changed]),
        ]

    return plan


def reports_of(sinks: Iterable[str], commits: Iterable[CommitId]) -> list[NewReport]:
    """Return the reports that make these sinks look at these commits again."""
    bodies = {commit: msgspec.json.encode(Content(commit)) for commit in commits}
    return [
        NewReport(sink=sink, key=str(commit), mode=Mode.LATEST, body=body)
        for sink in sinks
        for commit, body in bodies.items()
    ]


def _commits(transitions: Sequence[Transition], kinds: Iterable[TransitionKind]) -> dict[CommitId, None]:
    wanted = set(kinds)
    return dict.fromkeys(item.commit_id for item in transitions if item.kind in wanted and item.commit_id is not None)
