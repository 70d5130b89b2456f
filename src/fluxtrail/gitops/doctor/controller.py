"""The doctor as a controller: round after round through one cluster, for as long as it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog

from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.connection import Connection
from fluxtrail.gitops.doctor.round import Report, Rounds
from fluxtrail.model.doctor.findings import Finding
from fluxtrail.model.errors import ConfigError, UpstreamError, WireError

LONGEST_WAIT_SECONDS = 300.0

log = structlog.get_logger(__name__)


class OpenRounds(Protocol):
    def __call__(self, connection: Connection) -> Rounds: ...


class DoctorController:
    """Goes through one cluster again and again; what it found last is kept, and what it did is counted.

    Args:
        open_connection: called again after each failure: credentials may have changed.
        is_leading: whether this process is the one that may write, asked before each round.
    """

    def __init__(
        self,
        cluster: str,
        *,
        open_connection: Callable[[], AbstractAsyncContextManager[Connection]],
        open_rounds: OpenRounds,
        interval_seconds: float,
        clock: Clock,
        is_leading: Callable[[], bool] = lambda: True,
    ) -> None:
        self.cluster = cluster
        self.report: Report | None = None
        """Of the last round; None before the first."""
        self.problem = ""
        """Why there is no new one."""
        self.acts: Counter[tuple[str, str]] = Counter()
        """By remedy and outcome."""
        self.failures = 0
        self._open_connection = open_connection
        self._open_rounds = open_rounds
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._is_leading = is_leading
        self._known: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Never ends by itself."""
        wait = self._interval_seconds
        while True:
            try:
                async with self._open_connection() as connection:
                    await self._go_on(self._open_rounds(connection))
            except (UpstreamError, ConfigError, WireError) as exc:
                self.problem = str(exc)
                self.failures += 1
                log.warning("doctor's round failed", cluster=self.cluster, error=str(exc), retry_in_seconds=wait)
                await self._clock.sleep(max(wait, exc.retry_after_seconds or 0.0))
                wait = min(wait * 2, max(LONGEST_WAIT_SECONDS, self._interval_seconds))

    async def _go_on(self, rounds: Rounds) -> None:
        may_act = rounds.treater.acts
        while True:
            rounds.treater.acts = may_act and self._is_leading()
            self._note(await rounds.go())
            await self._clock.sleep(self._interval_seconds)

    def _note(self, report: Report) -> None:
        self.report, self.problem = report, ""
        for each in report.treated:
            if each.plan.remedy is not None and each.outcome != "dry_run":
                self.acts[each.plan.remedy.value, each.outcome] += 1
        known = {(str(finding.key), finding.code.value) for finding in report.findings}
        for finding in report.findings:
            if (str(finding.key), finding.code.value) not in self._known:
                _say(self.cluster, finding)
        for name, code in sorted(self._known - known):
            log.info("finding gone", cluster=self.cluster, object=name, code=code)
        self._known = known


def _say(cluster: str, finding: Finding) -> None:
    log.warning(
        "finding",
        cluster=cluster,
        object=str(finding.key),
        code=finding.code.value,
        severity=finding.severity.value,
        cause=finding.cause,
        command=finding.commands[0] if finding.commands else None,
        runbook=finding.runbook,
    )
