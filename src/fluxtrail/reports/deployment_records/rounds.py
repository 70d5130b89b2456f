"""One claim's records: how far they are, and what becomes of each once GitHub has answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from fluxtrail.model.deployment import Destination
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.reports.deployment_records.counters import RecordCounters
from fluxtrail.reports.deployment_records.noting import Notes, parts_of
from fluxtrail.reports.deployment_records.tellings import Schedule, Telling
from fluxtrail.reports.outputs import Settlement
from fluxtrail.reports.ports import Clock

log = structlog.get_logger(__name__)

ALIKE = 3
"""So many refusals without a single acceptance are not about the records."""
CONTESTED_TRIES = 5
CONTESTED_SECONDS = (15.0, 900.0)
"""How soon, and how late, a record is told again that somebody else is writing."""


class Round:
    """Safe for the tasks of one delivery.

    Args:
        schedules: digests that GitHub is known not to know, and when it is asked again.
    """

    def __init__(
        self,
        settlement: Settlement,
        notes: Notes,
        counters: RecordCounters,
        clock: Clock,
        *,
        schedules: dict[str, Schedule],
    ) -> None:
        self._settlement = settlement
        self._notes = notes
        self._counters = counters
        self._clock = clock
        self._schedules = schedules
        self._refused: list[tuple[Telling, FluxtrailError]] = []
        self._has_taken = False
        self._answers: dict[str, str] = {}
        """By digest."""

    @property
    def is_over(self) -> bool:
        """Nothing more is begun: time is up, or everything is refused."""
        return self._settlement.is_late or (len(self._refused) >= ALIKE and not self._has_taken)

    def is_known_unknown(self, telling: Telling) -> bool:
        return not telling.is_withdrawal and not telling.is_held and telling.digest in self._schedules

    def hear(self, telling: Telling, answer: str) -> None:
        """Remember what GitHub said of a digest that it does not know."""
        self._answers[telling.digest] = answer

    async def accept(self, tellings: Sequence[Telling], destination: Destination) -> None:
        """GitHub holds these now."""
        for part in parts_of(tellings):
            await self._accept(part, destination)

    async def _accept(self, tellings: Sequence[Telling], destination: Destination) -> None:
        self._has_taken = True
        retold = await self._notes.accepted(tellings, destination)
        if retold:
            log.info("unknown_artifacts_became_known", records=retold)
        own = [one.report for one in tellings if not one.is_withdrawal]
        self._counters.told += len(own)
        self._counters.withdrawn += len(tellings) - len(own)
        await self._settlement.acknowledge(own)
        await self.end_unknown([one for one in tellings if one.is_withdrawal])

    async def end_unknown(self, tellings: Sequence[Telling], *, is_asked: bool = True) -> None:
        """GitHub does not know these digests, and nothing else is to be told of them for now.

        Args:
            is_asked: it has said so just now.
        """
        for part in parts_of(tellings):
            await self._notes.unknown(part, self._schedules, self._answers)
            reports = [one.report for one in part]
            if is_asked:
                self._counters.unknown += len(part)
                await self._settlement.acknowledge(reports)
            else:
                self._counters.unknown_artifact_cache_hit += len(part)
                await self._settlement.drop(reports)

    async def contest(self, telling: Telling, error: FluxtrailError) -> None:
        """Somebody else is writing this record: others go on."""
        attempts = telling.report.attempts
        if attempts + 1 >= CONTESTED_TRIES:
            await self._bury(telling, error)
            return
        soon, late = CONTESTED_SECONDS
        await self.postpone([telling], seconds=min(soon * 2.0**attempts, late), answer=str(error))

    async def postpone(self, tellings: Sequence[Telling], *, seconds: float, answer: str = "") -> None:
        if tellings:
            until = self._clock.now() + timedelta(seconds=seconds)
            await self._settlement.postpone([one.report for one in tellings], until=until, answer=answer)

    async def refuse(self, telling: Telling, error: FluxtrailError) -> None:
        """GitHub will not take this one. See `finish`."""
        if not telling.is_withdrawal:
            self._refused.append((telling, error))
            return
        log.warning("withdrawal_refused", deployment_name=telling.record.deployment_name, answer=str(error))
        await self.end_unknown([telling])

    async def finish(self) -> None:
        """Bury what was refused while others were taken.

        Raises:
            FluxtrailError: everything was refused: it is not about the records.
        """
        doubted: FluxtrailError | None = None
        for telling, error in self._refused:
            if self._has_taken or self._settlement.is_stubborn(telling.report):
                await self._bury(telling, error)
            else:
                doubted = error
        if doubted is not None:
            raise doubted

    async def _bury(self, telling: Telling, error: FluxtrailError) -> None:
        self._counters.refused += 1
        await self._notes.refused(telling.record, telling.content, str(error))
        await self._settlement.bury([telling.report], str(error))
