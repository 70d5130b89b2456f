"""A clock that tests turn, deliveries to tell of, and an output that takes or refuses as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from tests.ledger.world import NOON, StillClock

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import CommitId, SyncId, TargetId
from fluxtrail.model.report import ClaimedReport
from fluxtrail.model.telling import DeliveryTelling, TrackedCommit, TrackedSync, TrackedTarget
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.outputs import Ready, Rendering, Taken
from fluxtrail.reports.plan import Content, Subject
from fluxtrail.reports.ports import Answer

SHA, CARRIER_SHA = "a1" * 20, "b2" * 20


class FakeClock(StillClock):
    """Stands still until somebody sleeps on it or turns it; who sleeps wakes at once, later."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return (self.time - NOON).total_seconds()

    def turn(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.turn(seconds)
        await asyncio.sleep(0)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def moment(seconds: float, *, estimated_from: float | None = None) -> Moment:
    if estimated_from is not None:
        return bracket(at(estimated_from), at(seconds))
    return exact(at(seconds), Evidence.READY_CONDITION)


TARGET = TrackedTarget(
    id=TargetId(7),
    cluster_uid="uid-1",
    cluster="prod",
    group="kustomize.toolkit.fluxcd.io",
    kind="Kustomization",
    namespace="flux-system",
    name="apps",
    source_kind="GitRepository",
    source_name="manifests",
)


def commit(**given: Any) -> TrackedCommit:
    fields: dict[str, Any] = {
        "id": CommitId(1),
        "sha": SHA,
        "repository": "github.com/acme/shop",
        "repository_url": "https://github.com/acme/shop",
        "branch": "main",
        "subject": "Sell more",
        "pull_request": 12,
        "committed_at": at(0),
        "merged": moment(0),
    }
    return TrackedCommit(**(fields | given))


CARRIER = TrackedCommit(
    id=CommitId(2),
    sha=CARRIER_SHA,
    repository="github.com/acme/manifests",
    repository_url="https://github.com/acme/manifests",
    branch="main",
    is_carrier=True,
    committed_at=at(60),
    merged=moment(60),
)


def sync(**given: Any) -> TrackedSync:
    fields: dict[str, Any] = {
        "id": SyncId(5),
        "revision": f"main@sha1:{CARRIER_SHA}",
        "sha": CARRIER_SHA,
        "outcome": Outcome.SUCCEEDED,
        "reason": "ReconciliationSucceeded",
        "message": "",
        "started": moment(80),
        "applied": moment(130),
        "succeeded": moment(150),
        "failed": None,
        "is_over": True,
    }
    return TrackedSync(**(fields | given))


def delivery(**given: Any) -> DeliveryTelling:
    """A source commit that was exported, fetched, applied and found healthy: 60, 15, 55 and 20 s."""
    fields: dict[str, Any] = {
        "commit": commit(),
        "target": TARGET,
        "sync": sync(),
        "verdict": Verdict.DEPLOYED,
        "carrier": CARRIER,
        "stated_at": at(0),
        "applied_sync": SyncId(5),
        "healthy_sync": SyncId(5),
        "fetched": moment(75),
        "applied": moment(130),
        "healthy": moment(150),
        "succeeded": moment(150),
    }
    return DeliveryTelling(**(fields | given))


def content(verdict: Verdict | None = Verdict.DEPLOYED, **given: Any) -> Content:
    fields: dict[str, Any] = {
        "about": Subject.VERDICT,
        "commit": CommitId(1),
        "target": TargetId(7),
        "sync": SyncId(5),
        "verdict": verdict,
        "at": at(150),
    }
    return Content(**(fields | given))


def values(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Return attributes as Python has them."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    return getattr(value, kind)


class ScriptedOutput:
    """Keeps what it takes. `refuses` is asked before each attempt: an error of its is raised."""

    def __init__(self, sink: str = "otlp.traces") -> None:
        self.sink = sink
        self.taken: list[list[bytes]] = []
        self.attempts: list[int] = []
        """How many items each attempt had."""
        self.refuses: Callable[[Sequence[bytes]], FluxtrailError | None] = lambda _: None
        self.answer: Answer = Taken()
        self.waits_until: dict[str, datetime] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.hangs = False

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        done = Rendering()
        for report in reports:
            if report.key in self.waits_until:
                done.waiting.append((report, self.waits_until[report.key]))
            elif report.key in self.silent:
                done.silent.append(report)
            elif report.key in self.broken:
                done.broken.append((report, "cannot be read"))
            else:
                done.ready.append(Ready(report, [report.key.encode()]))
        return done

    async def send(self, items: Sequence[bytes]) -> Answer:
        self.attempts.append(len(items))
        if self.hangs:
            await asyncio.Event().wait()
        error = self.refuses(items)
        if error is not None:
            raise error
        self.taken.append(list(items))
        return self.answer

    @property
    def keys(self) -> list[str]:
        return [item.decode() for batch in self.taken for item in batch]
