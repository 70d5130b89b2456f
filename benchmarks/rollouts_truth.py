"""When each Deployment had rolled out and each sync was running: as the API server took the writes, and as it is kept.

The rule is written again from docs/concepts.md, and plainly: nothing is shared with what it judges. An instant is
known as the time between sending the write that made it true and its answer.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from fluxtrail.ledger.columns import unpack_moment
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.model.moment import Moment, Precision

READ_WITHIN = timedelta(seconds=3)
"""How long after `applied` a workload may be read again: what somebody else makes of it until then may count."""

Json = dict[str, Any]


class Instant(NamedTuple):
    """When a write took effect: not before it was sent, not after it was answered."""

    sent: datetime
    answered: datetime

    def offset(self, at: datetime) -> float:
        """Return by how many seconds `at` is late (positive) or early (negative); 0 within."""
        if at < self.sent:
            return (at - self.sent).total_seconds()
        return max((at - self.answered).total_seconds(), 0.0)


@dataclass
class Followed:
    """One Deployment as the driver wrote it last, and when each generation had first rolled out."""

    name: str
    wanted: int
    target: str = ""
    uid: str = ""
    generation: int = 0
    status: Json = field(default_factory=dict)
    pods_at: datetime | None = None
    """When its updated pods, where it has some, had first been enough."""
    holds: int = 0
    """The generation that has rolled out as things stand; 0 for none."""
    made: dict[int, datetime] = field(default_factory=dict)
    """When each generation was made."""
    rolled: dict[int, list[Instant]] = field(default_factory=dict)
    """Each time that a generation had rolled out, anew: the first is the truth."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def note(self, sent: datetime) -> None:
        """Take note of a write that was just answered; `status`, `newest` and `generation` say already what it did."""
        now = datetime.now(UTC)
        self.made.setdefault(self.generation, now)
        before, self.holds = self.holds, self.generation if has_rolled_out(self) else 0
        if self.holds and self.holds != before:
            began = self.pods_at if self.pods_at is not None and self.pods_at < sent else sent
            self.rolled.setdefault(self.generation, []).append(Instant(began, now))

    def first(self, generation: int, *, through: int | None = None) -> list[Instant]:
        """Return when `generation` or a later one had first rolled out.

        With `through`, for each generation from one to the other: any of them may be what was read again.
        """
        found = []
        for least in range(generation, (through or generation) + 1):
            times = [times[0] for number, times in self.rolled.items() if number >= least and times]
            if times:
                found.append(min(times))
        return found

    def generation_at(self, at: datetime) -> int:
        return max((number for number, made in self.made.items() if made <= at), default=0)


def has_rolled_out(item: Followed) -> bool:
    """Whether a Deployment's newest generation has rolled out; `maxUnavailable` is a quarter, as by default."""
    status = item.status
    if status.get("observedGeneration", 0) < item.generation or status.get("updatedReplicas", 0) < item.wanted:
        return False
    needed = max(item.wanted - item.wanted // 4, 1)
    old: int = max(status.get("replicas", 0) - status.get("updatedReplicas", 0), 0)
    available: int = status.get("availableReplicas", 0)
    return available - old >= needed


@dataclass
class SyncTruth:
    """One sync as the driver played it."""

    target: str
    revision: str
    applied: Instant | None = None
    changed: dict[str, int] = field(default_factory=dict)
    """Name -> the generation that the sync made."""
    is_undone: bool = False
    """Went back behind it before all had rolled out: nothing that it brought was ever running."""


@dataclass
class Comparison:
    """Offsets in seconds from the truth, by what they are of; what is wrong, in words."""

    workloads: dict[str, list[float]] = field(default_factory=dict)
    """By precision."""
    syncs: dict[str, list[float]] = field(default_factory=dict)
    widths: list[float] = field(default_factory=list)
    """Of brackets, seconds."""
    evidence: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    """Not there (yet): more patience may help."""
    wrong: list[str] = field(default_factory=list)
    far: list[str] = field(default_factory=list)
    """Further than a second from the truth, or a bracket without it."""


class Kept(NamedTuple):
    """What the ledger has of one namespace."""

    syncs: dict[tuple[str, str], list[sqlite3.Row]]
    """(target's name, revision) -> its syncs, oldest first; what was there at first sight is none."""
    rows: dict[int, dict[str, sqlite3.Row]]
    """Sync -> workload's name -> roll-out."""


def read_kept(ledger: Path) -> Kept:
    with closing(connect_reader(ledger)) as connection:
        connection.row_factory = sqlite3.Row
        syncs: dict[tuple[str, str], list[sqlite3.Row]] = {}
        names = "SELECT s.*, t.name AS target FROM syncs s JOIN targets t ON t.id = s.target_id"
        for row in connection.execute(names + " WHERE s.cause != 'baseline' ORDER BY s.id"):
            syncs.setdefault((row["target"], row["revision"]), []).append(row)
        rows: dict[int, dict[str, sqlite3.Row]] = {}
        joined = "SELECT r.*, w.name AS workload FROM rollouts r JOIN workloads w ON w.id = r.workload_id"
        for row in connection.execute(joined):
            rows.setdefault(row["sync_id"], {})[row["workload"]] = row
    return Kept(syncs, rows)


def compare(
    truths: Iterable[SyncTruth], deployments: Mapping[str, Followed], kept: Kept, *, any_time: bool = False
) -> Comparison:
    """Compare what is kept with what was.

    Args:
        any_time: nobody watched all the time: of a workload that had rolled out more than once, each time will do.
    """
    found = Comparison()
    seen: dict[tuple[str, str], int] = {}
    for truth in truths:
        key = (truth.target, truth.revision)
        index = seen[key] = seen.get(key, -1) + 1
        syncs = kept.syncs.get(key, [])
        if index >= len(syncs):
            found.missing.append(f"sync {key} is not kept")
            continue
        _compare_sync(truth, deployments, syncs[index], kept.rows.get(syncs[index]["id"], {}), found, any_time)
    return found


def _compare_sync(
    truth: SyncTruth,
    deployments: Mapping[str, Followed],
    sync: sqlite3.Row,
    rows: Mapping[str, sqlite3.Row],
    found: Comparison,
    any_time: bool,
) -> None:
    assert truth.applied is not None
    what = f"{truth.target} {truth.revision[-6:]}"
    for name in sorted(rows.keys() - truth.changed.keys()):
        found.wrong.append(f"{what}: {name} was not changed by it")
    latest: list[list[Instant]] = []
    for name, generation in truth.changed.items():
        item, row = deployments[name], rows.get(name)
        times = _possible(item, generation, truth, any_time=any_time)
        latest.append(times)
        if truth.is_undone:
            continue
        if row is None:
            found.missing.append(f"{what}: {name} has no roll-out")
        else:
            _compare_moment(f"{what}: {name}", row["running"], times, found.workloads, found)
    wanted = "reached" if all(latest) else "waiting"
    if truth.is_undone or not truth.changed:
        wanted = "absent"
    if sync["running_state"] != wanted:
        found.missing.append(f"{what}: is {sync['running_state']}, and should be {wanted}")
    elif wanted == "reached":
        first = _last_of([truth.applied, *(min(times) for times in latest)])
        last = _last_of([truth.applied, *(max(times) for times in latest)])
        between = {first, last, *(each for times in latest for each in times if first <= each <= last)}
        _compare_moment(what, sync["running"], sorted(between), found.syncs, found)


def _last_of(instants: Sequence[Instant]) -> Instant:
    """Return when all of them were past."""
    return Instant(max(each.sent for each in instants), max(each.answered for each in instants))


def _possible(item: Followed, generation: int, truth: SyncTruth, *, any_time: bool) -> list[Instant]:
    """Return when a workload may rightly be said to have rolled out for a sync."""
    assert truth.applied is not None
    at = max(generation, item.generation_at(truth.applied.sent))
    through = max(at, item.generation_at(truth.applied.answered + READ_WITHIN))
    if any_time:
        through = max([at, *item.rolled])
    times = [*item.first(generation), *item.first(at, through=through)]
    if any_time:
        times += [each for number, many in item.rolled.items() if number >= generation for each in many]
    return sorted(set(times))


def _compare_moment(
    what: str, packed: str | None, times: list[Instant], offsets: dict[str, list[float]], found: Comparison
) -> None:
    if packed is None:
        if times:
            found.missing.append(f"{what}: no moment")
        return
    moment = unpack_moment(packed)
    if not times:
        found.wrong.append(f"{what}: {moment.at} though it never rolled out")
        return
    offset = min((_offset(moment, each) for each in times), key=abs)
    offsets.setdefault(moment.precision.value, []).append(offset)
    found.evidence[moment.evidence.value] = found.evidence.get(moment.evidence.value, 0) + 1
    if moment.not_before is not None and moment.precision is Precision.ESTIMATED:
        found.widths.append((moment.latest - moment.earliest).total_seconds())
    if abs(offset) > (0.0 if moment.precision is Precision.ESTIMATED else 1.0):
        true = ", ".join(each.answered.isoformat(timespec="milliseconds")[11:23] for each in times)
        told = f"{moment.earliest.isoformat()[11:23]}..{moment.latest.isoformat()[11:23]}"
        found.far.append(
            f"{what}: {offset:+.3f} s: {moment.precision} {moment.evidence} {told} at {moment.at.isoformat()[11:23]}, "
            f"true {true}"
        )


def _offset(moment: Moment, true: Instant) -> float:
    if moment.precision is not Precision.ESTIMATED:
        return true.offset(moment.at)
    if moment.latest < true.sent:
        return (moment.latest - true.sent).total_seconds()
    if moment.not_before is None:
        return 0.0  # "by then": a later generation was seen to run, and not when this one did
    return max((moment.not_before - true.answered).total_seconds(), 0.0)
