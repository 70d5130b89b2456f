from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import structlog
from tests.gitops.doctor.clinic import HELM, Clinic
from tests.model.doctor.wards import NOW

from fluxtrail.clusters.connection import Connection
from fluxtrail.gitops.doctor.controller import DoctorController

ROUNDS = 4


class Paced:
    """A clock that lets so many rounds through, each 10 minutes after the last, and then stops the process."""

    def __init__(self, clinic: Clinic, on_sleep: Callable[[int], None] = lambda _: None) -> None:
        self._clinic = clinic
        self._on_sleep = on_sleep
        self.slept: list[float] = []

    def now(self) -> Any:
        return self._clinic.now

    def monotonic(self) -> float:
        return (self._clinic.now - NOW).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._on_sleep(len(self.slept))
        self._clinic.now += timedelta(minutes=10)
        if len(self.slept) >= ROUNDS:
            raise asyncio.CancelledError


async def run(clinic: Clinic, clock: Paced, **more: Any) -> DoctorController:
    @asynccontextmanager
    async def connect() -> AsyncIterator[Connection]:
        yield clinic.connection

    controller = DoctorController(
        "clinic",
        open_connection=connect,
        open_rounds=lambda _: clinic.rounds(),
        interval_seconds=60.0,
        clock=clock,
        **more,
    )
    with suppress(asyncio.CancelledError):
        await controller.run()
    return controller


async def test_what_is_found_is_said_once_and_when_it_is_gone(clinic: Clinic) -> None:
    clinic.put_exhausted()

    def heal(count: int) -> None:
        if count == 2:
            clinic.server.store.patch_status(HELM, "api", "apps", {"conditions": []})

    with structlog.testing.capture_logs() as logs:
        controller = await run(clinic, Paced(clinic, heal))
    told = [(line["event"], line["code"]) for line in logs if line["event"].startswith("finding")]
    assert told == [("finding", "retries_exhausted"), ("finding gone", "retries_exhausted")]
    assert controller.acts == {("reset", "acted"): 1}
    assert controller.report is not None
    assert controller.report.findings == ()


async def test_who_does_not_lead_looks_and_does_not_act(clinic: Clinic) -> None:
    before = clinic.put_exhausted()
    controller = await run(clinic, Paced(clinic), is_leading=lambda: False)
    assert controller.report is not None
    assert [each.outcome for each in controller.report.treated] == ["dry_run"]
    assert clinic.read() == before
    assert controller.acts == {}


async def test_a_cluster_that_does_not_answer_is_asked_again_ever_more_seldom(clinic: Clinic) -> None:
    clinic.server.faults.fail_requests(500, "helmreleases", verbs=("list",), count=3)
    clock = Paced(clinic)
    controller = await run(clinic, clock)
    assert clock.slept == [60.0, 120.0, 240.0, 60.0]
    assert controller.failures == 3
    assert controller.problem == ""
    assert controller.report is not None
