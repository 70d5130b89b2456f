"""What is told of a record, to whom, and what an answer about many says about each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from typing import TypeVar

import msgspec

from fluxtrail.model.deployment import (
    Content,
    DeploymentStatus,
    Destination,
    KeptRecord,
    Told,
    next_try,
)
from fluxtrail.model.report import ClaimedReport
from fluxtrail.reports.deployment_records.ports import Entry, Rejection

K = TypeVar("K")
T = TypeVar("T")

SINGLES = 20
"""So many are told one by one: as many as GitHub is asked in a burst."""
CLUSTER_LIMIT = 1_000
JOB_LIMIT = 5_000
NOT_FOUND = "not_found"
UNAUTHORIZED = "unauthorized"


@dataclass(frozen=True, slots=True)
class Telling:
    """A claimed report with what is sent for it."""

    report: ClaimedReport
    record: KeptRecord
    content: Content
    is_withdrawal: bool = False
    """`content` is what GitHub holds, as decommissioned: it does not know the digest that took its place."""

    @property
    def entry(self) -> Entry:
        return Entry(self.record.deployment_name, self.content)

    @property
    def digest(self) -> str:
        return self.content.digest

    @property
    def is_held(self) -> bool:
        """Whether GitHub knew this digest under this name before; it may again."""
        held = self.record.told_content
        return held is not None and held.digest == self.digest


class Way(Enum):
    SINGLES = auto()
    CLUSTER = auto()
    JOB = auto()


def choose_way(count: int, *, has_bulk: bool, is_first: bool) -> Way:
    """Return how so many records of one cluster are told.

    Args:
        is_first: GitHub holds nothing of this cluster yet.
    """
    if not has_bulk:
        return Way.SINGLES
    if is_first or count > CLUSTER_LIMIT:
        return Way.JOB
    return Way.CLUSTER if count > SINGLES else Way.SINGLES


def is_to_be_told(record: KeptRecord, destination: Destination, now: datetime) -> bool:
    """Return whether a record's report has anything to say.

    By how it stands, not by what GitHub took last: after A, B, A in quick succession an attempt for B may have
    arrived although its answer did not.
    """
    match record.told:
        case Told.TOLD:
            return record.told_content != record.content or record.told_to != destination.text
        case Told.SILENT:
            return False
        case Told.UNKNOWN:
            return record.retry_at is not None and record.retry_at <= now
    return True


def withdrawal_of(telling: Telling) -> Telling | None:
    """Return what must be told once its own digest is unknown: that the one GitHub holds there no longer runs."""
    held = telling.record.told_content
    if held is None or held.digest == telling.content.digest or held.status is DeploymentStatus.DECOMMISSIONED:
        return None
    gone = msgspec.structs.replace(held, status=DeploymentStatus.DECOMMISSIONED)
    return replace(telling, content=gone, is_withdrawal=True)


class Schedule(msgspec.Struct, frozen=True):
    """When a digest that GitHub does not know is asked about again: the same for all records of it."""

    tries: int
    unknown_since: datetime
    retry_at: datetime | None
    answer: str = ""
    """What GitHub said."""

    @staticmethod
    def after(
        records: Iterable[KeptRecord], now: datetime, answer: str = "", *, last: Schedule | None = None
    ) -> Schedule:
        """Return the next one after one more answer "unknown", from what is known of the records of a digest.

        Args:
            last: what followed from the answer before, whether or not any record is left of it.
        """
        heard = [(record.tries, record.unknown_since) for record in records if record.unknown_since is not None]
        if last is not None:
            heard.append((last.tries, last.unknown_since))
        since = min((since for _, since in heard), default=now)
        tries = max((tries for tries, _ in heard), default=0) + 1
        return Schedule(tries, since, next_try(tries, unknown_since=since, now=now), answer)

    @staticmethod
    def of(record: KeptRecord, now: datetime) -> Schedule:
        return Schedule(record.tries, record.unknown_since or now, record.retry_at, record.answer)


def find_pending_schedules(unknown: Iterable[KeptRecord], now: datetime) -> dict[str, Schedule]:
    """Return the schedule of each digest that GitHub was lately asked about in vain: it is not time to ask again."""
    found: dict[str, Schedule] = {}
    for record in unknown:
        if record.told is Told.UNKNOWN and record.retry_at is not None and record.retry_at > now:
            found.setdefault(record.content.digest, Schedule.of(record, now))
    return found


@dataclass(slots=True)
class Sorted:
    """What an answer about many says about each."""

    accepted: list[Telling] = field(default_factory=list)
    unknown: list[Telling] = field(default_factory=list)
    forbidden: list[Telling] = field(default_factory=list)
    """These credentials may not write about them."""
    doubtful: list[Telling] = field(default_factory=list)
    """The answer may mean them, or has left them out."""


def sort_out(
    tellings: Sequence[Telling], errors: Sequence[Rejection], *, accepted: frozenset[str] | None = None
) -> Sorted:
    """Sort entries by what became of them.

    An error says an image's name, at best also the digest or the deployment name. A name with one digest among
    what may be meant is that digest; else, and for causes that are not known, only asking singly can tell.

    Args:
        accepted: the deployment names that were taken, where the answer lists them.
    """
    left = [one for one in tellings if accepted is None or one.record.deployment_name not in accepted]
    find_meant = _finder(left)
    unknown, forbidden, doubtful = set[str](), set[str](), set[str]()
    by_cause = {NOT_FOUND: unknown, UNAUTHORIZED: forbidden}
    for error in errors:
        meant = find_meant(error)
        is_clear = len({one.digest for one in meant}) == 1
        chosen = by_cause.get(error.cause, doubtful) if is_clear else doubtful
        chosen.update(one.record.deployment_name for one in meant)
    found = Sorted()
    for one in tellings:
        name = one.record.deployment_name
        if accepted is not None and name in accepted:
            found.accepted.append(one)
        elif name in unknown:
            found.unknown.append(one)
        elif name in forbidden:
            found.forbidden.append(one)
        elif name in doubtful or accepted is not None:
            found.doubtful.append(one)
        else:
            found.accepted.append(one)
    return found


def _finder(tellings: Sequence[Telling]) -> Callable[[Rejection], Sequence[Telling]]:
    """Return a look-up of what an error may mean, by the most exact that it says."""
    by_entry = grouped(tellings, lambda one: one.record.deployment_name)
    by_digest = grouped(tellings, lambda one: one.digest)
    by_image = grouped(tellings, lambda one: one.content.name)

    def find_meant(error: Rejection) -> Sequence[Telling]:
        if error.deployment_name:
            return by_entry.get(error.deployment_name, ())
        if error.digest:
            return by_digest.get(error.digest, ())
        return by_image.get(error.name, ()) if error.name else ()

    return find_meant


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    found: dict[K, list[T]] = {}
    for one in items:
        found.setdefault(key(one), []).append(one)
    return found


def choose_probes(tellings: Sequence[Telling], most: int) -> list[Telling]:
    """Return those that show best whether GitHub knows any of them: told before, of different images."""
    order = sorted(tellings, key=lambda one: one.record.told_content is None)
    found: dict[str, Telling] = {}
    keys: tuple[Callable[[Telling], str], ...] = (lambda one: one.content.name, lambda one: one.digest)
    for key in keys:
        seen = {key(one) for one in found.values()}
        for one in order:
            if len(found) < most and key(one) not in seen:
                seen.add(key(one))
                found.setdefault(one.record.deployment_name, one)
    return list(found.values())
