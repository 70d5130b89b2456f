"""A GitHub that keeps deployment records as the real one does, with what goes wrong on the way to it and back.

Its state is what tests compare. It is no client of ours: it stands where GitHub and the way to it do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.reports.worlds import FakeClock

from fluxtrail.model.deployment import Content, Destination
from fluxtrail.model.errors import (
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
)
from fluxtrail.reports.deployment_records.ports import Entry

Key = tuple[str, str]
"""(destination, deployment name)."""


class Rejection(NamedTuple):
    name: str
    cause: str = "not_found"
    deployment_name: str = ""
    digest: str = ""


class ClusterAnswer(NamedTuple):
    accepted: frozenset[str]
    errors: tuple[Rejection, ...]


class Job(NamedTuple):
    job_id: int
    errors: tuple[Rejection, ...]


class JobStatus(NamedTuple):
    status: str
    errors: tuple[Rejection, ...]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one call."""

    error: FluxtrailError
    is_done: bool = False
    """GitHub did it, and its answer was lost."""


def dropped(*, is_done: bool) -> Fault:
    return Fault(UpstreamError("the connection was closed"), is_done=is_done)


def limited(seconds: float = 60.0) -> Fault:
    return Fault(RateLimitedError("slow down", status=403, retry_after_seconds=seconds))


def failing(status: int = 500) -> Fault:
    return Fault(UpstreamError("server error", status=status))


def refusing(status: int = 422, text: str = "GitHub answered 422: Invalid request") -> Fault:
    return Fault(UpstreamError(text, status=status, retryable=False))


class Call(NamedTuple):
    kind: str
    """`single`, `cluster`, `job`, `poll`."""
    names: tuple[str, ...]


Choose = Callable[[Call], Fault | None]


@dataclass
class FakeGitHub:
    """Implements `RecordsClient`.

    `unattested` digests are not known. `choose_fault` is asked about each call; else the next of `faults` counts.
    """

    clock: FakeClock
    unattested: set[str] = field(default_factory=set)
    invalid: set[str] = field(default_factory=set)
    """Deployment names that it refuses, in a bulk with everything else in it."""
    held: dict[Key, Content] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    """Every one that was sent, in order."""
    faults: deque[Fault | None] = field(default_factory=deque)
    choose_fault: Choose = lambda call: None
    has_bulk: bool = True
    pending_jobs: set[str] = field(default_factory=set)
    """Clusters with a job of somebody else under way."""
    job_seconds: float = 2.0
    job_status: str = "completed"
    names_errors: bool = False
    """Whether errors say more than the image's name."""
    meeting: asyncio.Barrier | None = None
    """Requests are answered when so many have come together."""
    _jobs: dict[int, tuple[Destination, list[Entry], tuple[Rejection, ...]]] = field(default_factory=dict)

    # -- what a client does --------------------------------------------------------------------------------------

    async def post_record(self, destination: Destination, entry: Entry) -> None:
        async with self._call("single", [entry]) as fault:
            self._fail_before(fault)
            if entry.deployment_name in self.invalid:
                raise refusing().error
            if entry.content.digest in self.unattested:
                raise NotFoundError(f"no artifact found for {entry.content.digest}", status=404)
            self._hold(destination, [entry])
            self._fail_after(fault)

    async def post_cluster(self, destination: Destination, entries: Sequence[Entry]) -> ClusterAnswer:
        async with self._call("cluster", entries) as fault:
            self._fail_before(fault)
            errors = self._check_bulk(entries, 1_000)
            taken = [entry for entry in entries if entry.content.digest not in self.unattested]
            self._hold(destination, taken)
            self._fail_after(fault)
            return ClusterAnswer(frozenset(entry.deployment_name for entry in taken), errors)

    async def submit_job(self, destination: Destination, entries: Sequence[Entry]) -> Job:
        async with self._call("job", entries) as fault:
            self._fail_before(fault)
            if destination.cluster in self.pending_jobs:
                raise ConflictError("a job is already pending", status=409)
            errors = self._check_bulk(entries, 5_000)
            job_id = len(self._jobs) + 1
            taken = [entry for entry in entries if entry.content.digest not in self.unattested]
            self._jobs[job_id] = (destination, taken, errors)
            if fault is not None:
                self._hold(destination, taken)
            self._fail_after(fault)
            return Job(job_id, ())

    async def wait_for_job(self, destination: Destination, job_id: int) -> JobStatus:
        async with self._call("poll", ()) as fault:
            self._fail_before(fault)
            await self.clock.sleep(self.job_seconds)
            destination, taken, errors = self._jobs[job_id]
            if self.job_status == "completed":
                self._hold(destination, taken)
            self._fail_after(fault)
            return JobStatus(self.job_status, errors if self.job_status == "completed" else ())

    # -- what it is like inside ----------------------------------------------------------------------------------

    def _call(self, kind: str, entries: Sequence[Entry]) -> _Running:
        call = Call(kind, tuple(entry.deployment_name for entry in entries))
        self.calls.append(call)
        self.entries += entries
        fault = self.choose_fault(call)
        if fault is None and self.faults:
            fault = self.faults.popleft()
        return _Running(self, fault)

    @staticmethod
    def _fail_before(fault: Fault | None) -> None:
        if fault is not None and not fault.is_done:
            raise fault.error

    @staticmethod
    def _fail_after(fault: Fault | None) -> None:
        if fault is not None:
            raise fault.error

    def _check_bulk(self, entries: Sequence[Entry], limit: int) -> tuple[Rejection, ...]:
        names = [entry.deployment_name for entry in entries]
        assert entries
        assert len(entries) <= limit
        assert len(names) == len(set(names))
        if not self.has_bulk or all(entry.content.digest in self.unattested for entry in entries):
            raise NotFoundError("no repositories found", status=404)
        if self.invalid & set(names):
            raise refusing().error
        wrong = [entry for entry in entries if entry.content.digest in self.unattested]
        if self.names_errors:
            return tuple(
                Rejection(entry.content.name, "not_found", entry.deployment_name, entry.content.digest)
                for entry in wrong
            )
        return tuple(Rejection(entry.content.name) for entry in wrong)

    def _hold(self, destination: Destination, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.held[destination.text, entry.deployment_name] = entry.content

    # -- what tests ask ------------------------------------------------------------------------------------------

    @property
    def kinds(self) -> list[str]:
        return [call.kind for call in self.calls]

    def sent(self, kind: str) -> list[int]:
        """Return how many entries each call of a kind had."""
        return [len(call.names) for call in self.calls if call.kind == kind]

    def digests(self) -> dict[str, tuple[str, str]]:
        """Return (digest, status) by deployment name, of all destinations."""
        return {name: (content.digest, content.status.value) for (_, name), content in self.held.items()}

    def forget_calls(self) -> None:
        self.calls.clear()
        self.entries.clear()


class _Running:
    def __init__(self, github: FakeGitHub, fault: Fault | None) -> None:
        self._github, self._fault = github, fault

    async def __aenter__(self) -> Fault | None:
        await asyncio.sleep(0)
        if self._github.meeting is not None:
            await self._github.meeting.wait()
        return self._fault

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
