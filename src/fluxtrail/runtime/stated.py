"""CI runs as the web side takes and shows them: the ledger behind the port `CiKeeper`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from fluxtrail.model.ci import CiRun
from fluxtrail.model.ci_views import SyncLine
from fluxtrail.model.repository import parse_repository
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.trail.ci.finding import may_carry
from fluxtrail.trail.ci.stating import check_carrier, take_statements
from fluxtrail.trail.ports import Clock
from fluxtrail.web.ci import RATE_PER_MINUTE
from fluxtrail.web.hooks.pace import Pace
from fluxtrail.web.ports import Listing


class StatedRuns:
    """Satisfies the web side's `CiKeeper`."""

    def __init__(
        self,
        ledger: FoldedLedger,
        clock: Clock,
        *,
        per_minute: int = RATE_PER_MINUTE,
        names: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Args:
        names: by what forges call repositories, the names under which these are followed.
        """
        self._ledger = ledger
        self._clock = clock
        self._names = names
        self.pace = Pace(per_minute, clock.monotonic)

    def name_of(self, repository: str) -> str:
        return self._names.get(repository.lower(), repository)

    async def may_carry(self, repository: str, carrier: str) -> bool:
        async with self._ledger.unit() as unit:
            return await may_carry(unit, repository, carrier)

    async def take_run(self, run: CiRun, *, allow_unfollowed: bool = False) -> bool:
        async with self._ledger.unit() as unit:
            await check_carrier(unit, run, allow_unfollowed=allow_unfollowed)
            changed = await take_statements(unit, [run], now=self._clock.now())
        return bool(changed)

    async def list_runs(
        self,
        *,
        repository: str | None,
        sha: str | None,
        state: str | None,
        role: str | None,
        system: str | None,
        limit: int,
        cursor: str | None,
    ) -> Listing[CiRun]:
        return await self._ledger.store.list_ci_runs(
            repository=repository, sha=sha, state=state, role=role, system=system, limit=limit, cursor=cursor
        )

    async def recent_syncs(self, *, since: datetime, limit: int) -> Sequence[SyncLine]:
        return await self._ledger.store.recent_syncs(since=since, limit=limit)


def names_of(settings: Settings) -> dict[str, str]:
    """Return how forges call repositories that are fetched under another host: by that, the canonical name."""
    stated = [(item.url, item.forge) for item in settings.repositories if item.forge is not None]
    if not stated:
        return {}
    from fluxtrail.runtime.forges import default_hosts  # noqa: PLC0415 - it brings all clients of forges

    hosts, found = default_hosts(settings), dict[str, str]()
    for url, forge in stated:
        host = (forge.host or hosts[forge.kind]).partition(":")[0]
        found[f"{host}/{forge.owner}/{forge.repo}".lower()] = parse_repository(url).canonical
    return found
