"""How long it took from a verdict in the ledger until a forge had what follows from it.

The history's own times are those of the clusters. When a line of it came into the ledger, who looks often enough knows.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from fluxtrail.ledger.columns import from_micros
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.simulator.forges.record import Write

PREFIX = "fluxtrail/"
_BAD = frozenset({"failed", "rolled_back", "lost", "abandoned"})

Json = dict[str, Any]


class Lag(NamedTuple):
    """Simulated seconds."""

    since_ledger: float
    """From the look that found it there: too short by the time between two looks at most."""
    since_cluster: float
    """From the cluster's own time, which is cut to the second."""
    is_final: bool
    system: str


class Event(NamedTuple):
    seen_at: datetime
    at: datetime
    kind: str
    after: str


class History:
    """Notes when lines of the history came. `look` often."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._reader: sqlite3.Connection | None = None
        self._last = 0
        self._seen: list[tuple[int, datetime]] = []
        """(the last id, when it was seen)."""

    def look(self, now: datetime) -> None:
        if self._reader is None:
            if not self._ledger.exists():
                return
            self._reader = connect_reader(self._ledger)
        newest = self._reader.execute("SELECT coalesce(max(id), 0) FROM transitions").fetchone()[0]
        if newest > self._last:
            self._last = newest
            self._seen.append((newest, now))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def events(self, environments: Sequence[Json]) -> dict[tuple[str, str], list[Event]]:
        """Return what the history has of commits, their exports' too: (sha, environment) -> oldest first."""
        with closing(connect_reader(self._ledger)) as connection:
            ask = connection.execute
            shas = dict(ask("SELECT id, sha FROM commits").fetchall())
            clusters = dict(ask("SELECT t.id, c.name FROM targets t JOIN clusters c ON c.uid = t.cluster").fetchall())
            sources = defaultdict(list)
            for carrier, source in ask("SELECT carrier_id, source_id FROM exports").fetchall():
                sources[carrier].append(source)
            rows = ask(
                "SELECT id, at, kind, commit_id, target_id, after FROM transitions "
                "WHERE commit_id IS NOT NULL AND kind IN ('commit_seen', 'verdict', 'applied') ORDER BY id"
            ).fetchall()
        names = [item["name"] for item in environments]
        found: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for (_, at, kind, commit, target, after), seen_at in zip(rows, self._when([r[0] for r in rows]), strict=True):
            where = [_environment(clusters[target], environments)] if target else names
            for id_ in (commit, *sources[commit]):
                for name in where:
                    found[shas[id_], name].append(Event(seen_at, from_micros(at), kind, after))
        return found

    def _when(self, ids: Sequence[int]) -> list[datetime]:
        looks = iter(self._seen)
        last, at = next(looks)
        found = []
        for id_ in ids:
            while id_ > last:
                last, at = next(looks)
            found.append(at)
        return found


def read_lags(history: History, writes: Sequence[Write], environments: Sequence[Json]) -> list[Lag]:
    """Return the lag of every state that GitHub was told, its refreshed descriptions left out.

    What success waits for is the last of its targets, what failure waits for is the first.
    """
    events = history.events(environments)
    found: list[Lag] = []
    for (system, sha, environment), steps in _steps(writes).items():
        known = events.get((sha, environment), [])
        last_final: datetime | None = None
        for step in steps:
            event = decisive(step, known, last_final)
            if event is not None:
                since_ledger = max((step.at - event.seen_at).total_seconds(), 0.0)
                found.append(Lag(since_ledger, (step.at - event.at).total_seconds(), step.is_final, system))
            last_final = step.at if step.is_final else last_final
    return found


def decisive(step: Write, known: Iterable[Event], last_final: datetime | None) -> Event | None:
    """Return what of a commit's history in an environment made a state of it; None where that cannot be told.

    Args:
        known: oldest first.
        last_final: when something final was told of it before.
    """
    before = [event for event in known if event.at <= step.at and (last_final is None or event.seen_at > last_final)]
    if step.state == "success":
        return next((event for event in reversed(before) if event.kind == "verdict"), None)
    if step.is_final:
        return next((event for event in before if event.after in _BAD), None)
    return next(iter(before), None)


def _steps(writes: Iterable[Write]) -> dict[tuple[str, str, str], list[Write]]:
    """Return the writes with which a state became another one; that a deployment was made says nothing yet."""
    found: dict[tuple[str, str, str], list[Write]] = defaultdict(list)
    for write in writes:
        if not write.system.startswith("github") or write.state in ("", "created"):
            continue
        steps = found[write.system, write.sha, write.context.removeprefix(PREFIX)]
        if not steps or steps[-1].state != write.state:
            steps.append(write)
    return found


def _environment(cluster: str, environments: Sequence[Json]) -> str:
    fitting = (item["name"] for item in environments if any(fnmatchcase(cluster, p) for p in item["clusters"]))
    return next(fitting, cluster)
