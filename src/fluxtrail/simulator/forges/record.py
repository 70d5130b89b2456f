"""What the simulated forges were told: every write, what stands at the end, and every limit that was not kept.

It lives as long as the simulator, whoever is killed beside it.
"""

from collections import Counter, deque
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from fluxtrail.simulator.clock import precise_time

KEPT_WRITES = 500_000
KEPT_VIOLATIONS = 10_000
_SHOWN_VIOLATIONS = 200
_UNDER_WAY = frozenset(
    {"pending", "running", "inprogress", "in_progress", "queued", "notset", "waiting_for_resource", "created"}
)
"""Words of all forges, in lower case, after which another state is to come."""

Json = dict[str, Any]
StatusKey = tuple[str, str, str, str]
"""(system, repository, sha, context in lower case)."""


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write that a system took."""

    number: int
    """From 1, in the order in which they were taken."""
    at: datetime
    """Simulated time."""
    system: str
    call: str
    repository: str = ""
    sha: str = ""
    context: str = ""
    state: str = ""
    """In the system's own word."""
    description: str = ""
    url: str = ""
    environment: str = ""
    id: str = ""
    """As the system calls what was written."""

    @property
    def is_final(self) -> bool:
        return self.state.lower() not in _UNDER_WAY


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that somebody did not keep."""

    at: datetime
    system: str
    kind: str
    """`per_minute`, `per_hour`, `points`, `while_limited`, `primary`, `concurrency`, …"""
    token: str
    """Which one, as a digest."""
    detail: str


class FinalStatus(msgspec.Struct, kw_only=True):
    """What stands on a commit under one context, and how it came to that."""

    last: Write
    writes: int
    finals: int
    """How many of the writes were final ones."""
    repeats: int = 0
    """How many said what the one before them had said."""
    steps: list[str]
    """The states it went through, repeats left out; the last hundred."""


class Recorder:
    """Takes down what the forges take."""

    def __init__(self) -> None:
        self.writes: deque[Write] = deque(maxlen=KEPT_WRITES)
        self.violations: deque[Violation] = deque(maxlen=KEPT_VIOLATIONS)
        self.violation_counts: Counter[tuple[str, str]] = Counter()
        """(system, kind) -> how often."""
        self.counts: Counter[tuple[str, str, int]] = Counter()
        """(system, call, status) -> requests; a connection that was cut counts as 0."""
        self.total_writes = 0
        self._statuses: dict[StatusKey, FinalStatus] = {}

    def write(self, *, at: datetime, system: str, call: str, **facts: str) -> Write:
        """Note something that was taken, of whatever kind."""
        self.total_writes += 1
        taken = Write(number=self.total_writes, at=at, system=system, call=call, **facts)
        self.writes.append(taken)
        return taken

    def status(self, *, at: datetime, system: str, call: str, **facts: str) -> Write:
        """Note a status of a commit: the newest of a context counts."""
        taken = self.write(at=at, system=system, call=call, **facts)
        key = (system, taken.repository, taken.sha, taken.context.lower())
        before = self._statuses.get(key)
        if before is None:
            before = self._statuses[key] = FinalStatus(last=taken, writes=0, finals=0, steps=[])
        elif _said(before.last) == _said(taken):
            before.repeats += 1
        before.last = taken
        before.writes += 1
        before.finals += taken.is_final
        if before.steps[-1:] != [taken.state]:
            before.steps.append(taken.state)
            del before.steps[:-100]
        return taken

    def violate(self, *, at: datetime, system: str, kind: str, token: str, detail: str) -> None:
        self.violation_counts[system, kind] += 1
        self.violations.append(Violation(at=at, system=system, kind=kind, token=token, detail=detail))

    def final_statuses(self, system: str = "") -> dict[StatusKey, FinalStatus]:
        """Return what stands now, of one system or of all."""
        return {key: status for key, status in self._statuses.items() if system in ("", key[0])}

    def since(self, number: int, *, limit: int = 1_000) -> list[Write]:
        """Return writes after a number, oldest first."""
        first = self.writes[0].number if self.writes else 1
        start = max(number + 1 - first, 0)
        return list(islice(self.writes, start, start + limit))

    def report(self) -> Json:
        """Return all but the single writes for somebody outside this process."""
        finals = sorted(self._statuses.items())
        return {
            "total_writes": self.total_writes,
            "statuses": [_final_json(status) for _, status in finals],
            "calls": _tree(self.counts.items()),
            "violations": {"total": self.violation_counts.total(), "by_kind": _kinds(self.violation_counts)},
            "latest_violations": [_plain(item) for item in list(self.violations)[-_SHOWN_VIOLATIONS:]],
        }


def write_json(write: Write) -> Json:
    return _plain(write) | {"is_final": write.is_final}


def _final_json(status: FinalStatus) -> Json:
    more = {"writes": status.writes, "finals": status.finals, "repeats": status.repeats, "steps": status.steps}
    return write_json(status.last) | more


def _said(write: Write) -> tuple[str, str, str, str]:
    return write.id if write.environment else "", write.state, write.description, write.url


def _plain(item: Write | Violation) -> Json:
    return msgspec.structs.asdict(item) | {"at": precise_time(item.at)}


def _tree(counts: Iterable[tuple[tuple[str, str, int], int]]) -> Json:
    found: Json = {}
    for (system, call, status), count in sorted(counts):
        found.setdefault(system, {}).setdefault(call, {})[str(status)] = count
    return found


def _kinds(counts: Counter[tuple[str, str]]) -> Json:
    return {f"{system} {kind}": count for (system, kind), count in sorted(counts.items())}
