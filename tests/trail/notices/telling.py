"""A world that is told by events what a Flux that nobody watches does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from tests.trail.following import World

from fluxtrail.model.notices import FluxNotice, Hook, KeptNotice, NoticeId
from fluxtrail.model.observation import ObjectKey, told_cluster
from fluxtrail.model.records import DeliveryRecord, TargetRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.trail.notices.evidence import EvidenceTaker, Speaker

SENDER, CLUSTER = "flux-edge", "edge"
GROUP = "kustomize.toolkit.fluxcd.io"
APPS = ObjectKey(GROUP, "Kustomization", "flux-system", "apps")


class ToldWorld(World):
    """`World`, whose cluster `edge` is known by what `flux-edge` tells. Make an origin `fleet` first."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.watched: set[str] = set()
        self.path = "apps"
        self._number = 0

    def taker(self) -> EvidenceTaker:
        """Return one that remembers nothing, as after a start."""
        speaker = Speaker(
            name=SENDER,
            cluster=CLUSTER,
            repository=parse_repository(self.origins["fleet"].url).canonical,
            path=self.path,
        )
        return EvidenceTaker(
            self.registry,
            self.ledger,
            self.follower.observe,
            speakers=[speaker],
            is_watched=self.watched.__contains__,
        )

    def event(
        self,
        reason: str,
        sha: str,
        at: datetime,
        *,
        name: str = "apps",
        kind: str = "Kustomization",
        severity: str = "",
        sender: str = SENDER,
        message: str = "",
        **metadata: str,
    ) -> KeptNotice:
        self._number += 1
        said = FluxNotice(
            kind=kind,
            namespace="flux-system",
            name=name,
            uid=f"uid-{name}",
            api_version=f"{GROUP}/v1",
            severity=severity or ("error" if "Failed" in reason else "info"),
            reason=reason,
            message=message or f"{reason} of {name}",
            metadata={"revision": f"main@sha1:{sha}", **metadata},
            at=at,
        )
        return KeptNotice(
            id=NoticeId(self._number), hook=Hook.FLUX, sender=sender, received_at=self.clock.time, said=said
        )

    def told_target(self, key: ObjectKey = APPS) -> TargetRecord | None:
        return self.registry.find_target(told_cluster(CLUSTER), key)

    async def told_rows(self, shas: Sequence[str], key: ObjectKey = APPS) -> list[DeliveryRecord | None]:
        target = self.told_target(key)
        assert target is not None
        found = []
        for sha in shas:
            commit = await self.record(sha)
            async with self.ledger.unit() as unit:
                found.append((await unit.deliveries(target.id, [commit.id])).get(commit.id))
        return found

    async def told_verdicts(self, shas: Sequence[str]) -> list[str]:
        return [row.verdict.value if row is not None else "-" for row in await self.told_rows(shas)]

    @staticmethod
    def after(begin: datetime, seconds: float) -> datetime:
        return begin + timedelta(seconds=seconds)

    async def summary(self, shas: Sequence[str]) -> tuple[list[str], list[object], object]:
        """Verdicts, the moments of what was delivered, and how the target stands."""
        target = self.told_target()
        assert target is not None
        facts = sorted(await self.facts(), key=lambda item: item.commit_id)
        moments: list[object] = [(item.fetched, item.applied, item.succeeded) for item in facts]
        sync = await self.sync(target.sync_id)
        return await self.told_verdicts(shas), moments, (target.applied, target.phase, sync.outcome, sync.failed)
