"""`fluxtrail doctor` at work: a connection to each cluster that was named, and one round through each."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from fluxtrail.cli.gitops_cluster import Place
from fluxtrail.clusters.clock import SystemClock
from fluxtrail.clusters.writing import Writer
from fluxtrail.gitops.doctor.round import Report, Rounds
from fluxtrail.gitops.doctor.treatment import AUDITED, FIELD_MANAGER, Treater
from fluxtrail.model.doctor.budgets import Limits
from fluxtrail.model.doctor.findings import Finding
from fluxtrail.model.doctor.policy import Policy
from fluxtrail.model.errors import ConfigError

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from fluxtrail.cli.doctor import DoctorRequest


@dataclass(frozen=True)
class Practice:
    """All clusters that were asked for, one after the other."""

    rounds: list[Rounds]
    request: DoctorRequest

    async def look(self) -> list[Report]:
        """Raises UpstreamError: a cluster could not be asked."""
        return [await each.go(only=self._is_asked_for) for each in self.rounds]

    def _is_asked_for(self, finding: Finding) -> bool:
        request = self.request
        return (
            (not request.kind or finding.kind == request.kind)
            and (not request.name or finding.name == request.name)
            and (not request.namespace or finding.namespace == request.namespace)
        )


@asynccontextmanager
async def open_practice(request: DoctorRequest) -> AsyncIterator[Practice]:
    """Connect to the contexts that were named, or the current one.

    Raises:
        ConfigError: there is no such context.
    """
    if len(set(request.contexts)) != len(request.contexts):
        raise ConfigError("names a cluster twice", subject="--context")
    if request.acts:
        _write_audit()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        rounds = []
        for context in request.contexts or ("",):
            connection = await stack.enter_async_context(Place(request.kubeconfig, context or None).open())
            writer = Writer(connection, field_manager=FIELD_MANAGER)
            own = request.namespace or connection.namespace
            rounds.append(
                Rounds(
                    connection=connection,
                    treater=Treater(writer=writer, cluster=connection.name, now=clock.now, acts=request.acts),
                    policy=Policy(patience=request.patience, suspended_after=request.suspended_after),
                    limits=Limits(per_hour=request.per_hour, per_namespace_per_hour=request.per_namespace),
                    # What is asked about may wait for what is elsewhere: all is looked at where that is allowed.
                    fallback=(own,) if own else (),
                    reads_locks=request.reads_locks,
                    context=context,
                )
            )
        yield Practice(rounds, request)


def _write_audit() -> None:
    """Each write has its line on stderr before it is sent, as JSON, where that goes to a file or a pipe.

    On a terminal the screen says what was done.
    """
    if sys.stderr.isatty():
        return
    structlog.configure(
        processors=[
            _leave_out_others,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _leave_out_others(_: object, method: str, entry: EventDict) -> EventDict:
    """Let the audit's lines through, and what is wrong."""
    if method == "info" and entry.get("event") != AUDITED:
        raise structlog.DropEvent
    return entry
