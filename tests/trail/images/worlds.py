"""An application's repository, its images, a fleet that deploys them, and what runs: all but the cluster is real."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from tests.trail.following import World
from tests.trail.transcripts import CLUSTER, Controller

from fluxtrail.model.image_records import ImageRecord, ImageRun, ImageState
from fluxtrail.model.moment import Evidence, observed
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.records import DeliveryRecord
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.running_records import RolloutRecord, WorkloadId, WorkloadRecord
from fluxtrail.trail.images.bumps import RECHECK_SECONDS, ImageBumps
from fluxtrail.trail.images.readers import SourceReaders

replace = msgspec.structs.replace
SHOP = "registry.local/acme/shop"


def digest(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"


class Shop:
    """A world with the application `shop` and the target `apps` of the repository `fleet`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.flux: Controller = world.kustomization()
        self._workloads: dict[str, WorkloadRecord] = {}
        self.reset()

    def reset(self) -> None:
        """Build the job anew, as a restart does."""
        readers = SourceReaders(self.world.registry, self.world.store)
        self.bumps = ImageBumps(
            ledger=self.world.ledger, registry=self.world.registry, find_reader=readers.find, clock=self.world.clock
        )

    @property
    def source(self) -> str:
        return parse_repository(self.world.origins["shop"].url).canonical

    async def begin(self) -> None:
        """Deploy a first revision, which is the baseline."""
        sha = self.world.commit("fleet", apps__shop="0")
        await self.world.deliver(self.flux, "fleet", sha, "d0")

    async def bump(self, name: str, *, made: str, carrier: bool = True, finish: bool = True) -> str:
        """Commit an image to the fleet and let Flux apply it; returns the commit."""
        world = self.world
        sha = world.commit("fleet", f"image {name}", apps__shop=made)
        await world.fetch("fleet", sha)
        flux = world.now(self.flux)
        if finish:
            flux.succeed(f"main@sha1:{sha}", made)
        else:
            flux.apply(f"main@sha1:{sha}")
        await world.play(flux)
        await world.settle()
        return sha

    async def image(
        self, name: str, sha: str | None, *, state: ImageState = ImageState.KNOWN, **fields: Any
    ) -> ImageRecord:
        """Describe the image `name` as built from `sha`."""
        record = ImageRecord(
            digest=digest(name),
            repository=SHOP,
            image=f"{SHOP}:{name}",
            state=state,
            source=self.source if sha else None,
            revision=sha,
            created_at=self.world.clock.time - timedelta(seconds=30),
        )
        record = replace(record, **fields)
        async with self.world.ledger.unit() as unit:
            await unit.put_images([record])
        return record

    async def roll(
        self,
        before: str | Mapping[str, str],
        after: str | Mapping[str, str],
        *,
        workload: str = "shop",
        flux: Controller | None = None,
        runs: bool = True,
        sync_id: Any = None,
    ) -> RolloutRecord:
        """Note that the newest sync changed a workload's images; with `runs`, that its pods run the new ones."""
        was = {"shop": before} if isinstance(before, str) else dict(before)
        now = {"shop": after} if isinstance(after, str) else dict(after)
        target = self.world.target(flux or self.flux)
        sync = await self.world.sync(sync_id or target.sync_id)
        record = await self._record(workload, target.id, now if runs else {}, now)
        row = RolloutRecord(
            sync_id=sync.id,
            workload_id=record.id,
            generation=2,
            images_before={name: _image(tag) for name, tag in was.items()},
            images={name: _image(tag) for name, tag in now.items()},
            digests_before={name: digest(tag) for name, tag in was.items()},
        )
        async with self.world.ledger.unit() as unit:
            await unit.put_rollouts([row])
        return row

    async def _record(
        self, workload: str, target_id: Any, digests: Mapping[str, str], images: Mapping[str, str]
    ) -> WorkloadRecord:
        now = self.world.clock.time
        known = self._workloads.get(workload)
        record = WorkloadRecord(
            id=known.id if known else WorkloadId(0),
            cluster=CLUSTER,
            key=ObjectKey("apps", "Deployment", "prod", workload),
            uid=ObjectUid(f"uid-{workload}"),
            target_id=target_id,
            generation=2,
            touched_at=now,
            images={name: _image(tag) for name, tag in images.items()},
            digests={name: digest(tag) for name, tag in digests.items()},
            state=RolloutState.ROLLED_OUT,
            since=now,
            rolled_generation=2,
            rolled=observed(now, Evidence.ROLLOUT_OBSERVED),
            observed_at=now,
        )
        async with self.world.ledger.unit() as unit:
            record = (await unit.put_workloads([record]))[0]
        self._workloads[workload] = record
        return record

    async def run_image(
        self,
        name: str,
        since: datetime,
        *,
        image: str | None = None,
        until: datetime | None = None,
        workload: str = "shop",
    ) -> None:
        """Note that a pod runs an image there."""
        run = ImageRun(
            cluster=CLUSTER,
            namespace="prod",
            kind="Deployment",
            workload=workload,
            container="shop",
            digest=digest(name),
            image=image or f"{SHOP}:{name}",
            since=since,
        )
        async with self.world.ledger.unit() as unit:
            await unit.put_image_runs([run])
            if until is not None:
                await unit.put_image_runs([replace(run, until=until)])

    async def trace(self) -> None:
        """Let the job work until there is nothing to do."""
        self.world.clock.forward(RECHECK_SECONDS)
        self.bumps.wake()
        for _ in range(20):
            if not await self.bumps.work():
                return
        raise AssertionError("tracing never rests")

    async def untraced(self) -> int:
        async with self.world.ledger.unit() as unit:
            return len(await unit.untraced_rollouts(100))

    async def find(self, sha: str) -> DeliveryRecord | None:
        """Return the delivery of a commit of the application; None where there is none, or no such commit."""
        async with self.world.ledger.unit() as unit:
            for repository in await unit.repositories():
                if repository.canonical == self.source:
                    commit = (await unit.commits_by_sha(repository.id, [sha])).get(sha)
                    if commit is not None:
                        target = self.world.target(self.flux)
                        return (await unit.deliveries(target.id, [commit.id])).get(commit.id)
        return None

    async def verdicts(self, shas: list[str]) -> list[str]:
        return [row.verdict.value if (row := await self.find(sha)) else "-" for sha in shas]


def _image(tag: str) -> str:
    return tag if "/" in tag else f"{SHOP}:{tag}"
