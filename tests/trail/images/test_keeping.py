"""Which digest runs where: as pods say, written when it changes, through restarts and in whatever order it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.world import fresh_place
from tests.trail.workloads.cluster import CRON_JOB, DEPLOYMENT, JOB, Cluster, Json, digest, kind_of

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.image_records import ImageRun, ImageState
from fluxtrail.trail.images.keeper import LINGER, ImageKeeper
from fluxtrail.trail.workloads.anchors import FAMILIAR
from fluxtrail.trail.workloads.view import WorkloadView


class Watched:
    """A cluster that is watched, and the keeper of its images; `restart` begins anew over the same ledger."""

    def __init__(self, cluster: Cluster, ledger: SqlLedger) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.told: list[tuple[set[str], bool]] = []
        self.restart()

    def restart(self) -> None:
        self.view = WorkloadView(self.cluster.uid, clock=self.cluster.clock, on_kind=lambda group, kind: None)
        self.keeper = ImageKeeper(
            self.view,
            ledger=self.ledger,
            clock=self.cluster.clock,
            on_digests=lambda digests, is_applied: self.told.append((set(digests), is_applied)),
        )
        for kind in sorted(FAMILIAR):
            self.cluster.watch(kind)

    async def hear(self) -> None:
        """Hear all there is to hear, and keep it."""
        for stream in self.cluster.streams.values():
            while stream:
                await self.view.observe([stream.popleft()])
        await self.keeper.work()

    async def linger(self) -> None:
        await self.hear()
        self.cluster.clock.turn(LINGER.total_seconds() + 1)
        await self.keeper.work()

    async def live(self) -> set[tuple[str, str, str]]:
        return {(run.workload, run.container, run.digest) for run in await self.runs()}

    async def runs(self) -> list[ImageRun]:
        async with self.ledger.unit() as unit:
            return await unit.image_runs(self.cluster.uid)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    cluster = Cluster()
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=cluster.clock)
    yield Watched(cluster, ledger)
    await ledger.close()


async def test_digest_runs_since_its_first_container_started(watched: Watched) -> None:
    cluster = watched.cluster
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1, pods=3)
    first = min(
        pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        for pod in cluster.objects.values()
        if kind_of(pod)[1] == "Pod"
    )
    cluster.clock.turn(100)
    await watched.hear()

    runs = await watched.runs()
    assert [(run.kind, run.workload, run.container, run.digest) for run in runs] == [
        ("Deployment", "web", "app", digest(1))
    ]
    assert runs[0].image == "ghcr.io/acme/app:v1"
    assert runs[0].since.strftime("%Y-%m-%dT%H:%M:%SZ") == first
    async with watched.ledger.unit() as unit:
        image = (await unit.images([digest(1)]))[digest(1)]
    assert (image.state, image.repository, image.image) == (
        ImageState.PENDING,
        "ghcr.io/acme/app",
        "ghcr.io/acme/app:v1",
    )
    assert ({digest(1)}, False) in watched.told


async def test_nothing_is_said_before_everything_was_listed(watched: Watched) -> None:
    cluster = watched.cluster
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1)
    pods = cluster.streams[("", "Pod")]
    while pods:
        await watched.view.observe([pods.popleft()])
    await watched.keeper.work()
    assert await watched.live() == set()
    await watched.hear()
    assert await watched.live() == {("web", "app", digest(1))}


async def test_run_ends_when_its_last_container_is_gone(watched: Watched) -> None:
    cluster = watched.cluster
    web = cluster.make(DEPLOYMENT, "web")
    old = cluster.roll_out(web, 1, revision=1, pods=2)
    await watched.hear()
    cluster.roll_out(web, 2, revision=2, pods=2)
    pods = cluster.pods_of(old)
    cluster.delete(pods[0])
    await watched.linger()
    assert await watched.live() == {("web", "app", digest(1)), ("web", "app", digest(2))}
    cluster.delete(pods[1])
    await watched.hear()
    gone_at = cluster.now
    await watched.linger()
    assert await watched.live() == {("web", "app", digest(2))}
    async with watched.ledger.unit() as unit:
        ended = [run for run in await unit.image_runs_at(cluster.uid, "prod", "Deployment", "web", 10) if run.until]
    assert [run.digest for run in ended] == [digest(1)]
    assert ended[0].until is not None
    assert abs(ended[0].until - gone_at) <= timedelta(seconds=2)


async def test_pods_that_are_made_anew_write_nothing(watched: Watched) -> None:
    cluster = watched.cluster
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    await watched.hear()
    before = await watched.runs()
    told = len(watched.told)
    for _ in range(5):
        cluster.delete(*cluster.pods_of(made))
        await watched.hear()
        cluster.add_pod(made, 1)
        await watched.hear()
    await watched.linger()
    assert await watched.runs() == before
    assert len(watched.told) == told


async def test_cron_job_runs_its_image_between_its_jobs(watched: Watched) -> None:
    cluster = watched.cluster
    cron = cluster.make(CRON_JOB, "report")
    job = cluster.make(JOB, "report-1", owner=cron)
    pod = cluster.pod("report-1-x", owner=job)
    await watched.hear()
    pod["status"]["phase"] = "Succeeded"
    cluster.put(pod)
    await watched.linger()
    assert await watched.live() == {("report", "app", digest(1))}
    cluster.delete(pod, job, cron)
    await watched.linger()
    assert await watched.live() == set()


async def test_restart_keeps_what_runs_and_ends_what_went_meanwhile(watched: Watched) -> None:
    cluster = watched.cluster
    web, gone = cluster.make(DEPLOYMENT, "web"), cluster.make(DEPLOYMENT, "gone")
    cluster.roll_out(web, 1, revision=1)
    old = cluster.roll_out(gone, 2, revision=1)
    await watched.hear()
    since = {run.workload: run.since for run in await watched.runs()}
    cluster.delete(*cluster.pods_of(old), old, gone)
    cluster.clock.turn(3600)
    watched.restart()
    await watched.linger()
    runs = await watched.runs()
    assert {run.workload: run.since for run in runs} == {"web": since["web"]}


async def test_what_flux_applied_is_told_first(watched: Watched) -> None:
    cluster = watched.cluster
    web = cluster.make(DEPLOYMENT, "web")
    web["metadata"]["labels"] = {
        "kustomize.toolkit.fluxcd.io/name": "apps",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    }
    cluster.put(web)
    cluster.roll_out(web, 1, revision=1)
    other = cluster.make(DEPLOYMENT, "other")
    cluster.roll_out(other, 2, revision=1)
    await watched.hear()
    assert watched.told == [({digest(1)}, True), ({digest(2)}, False)]


async def test_many_pods_of_few_images_are_few_rows(watched: Watched) -> None:
    cluster = watched.cluster
    for number in range(20):
        web = cluster.make(DEPLOYMENT, f"web-{number}")
        cluster.roll_out(web, 1 + number % 3, revision=1, pods=20)
    await watched.hear()
    assert watched.keeper.live == len(await watched.runs()) == 20
    async with watched.ledger.unit() as unit:
        assert len(await unit.images([digest(1), digest(2), digest(3)])) == 3


Step = tuple[str, int, int]
_STEPS = st.lists(
    st.tuples(st.sampled_from(["roll", "shrink", "restart", "hear", "wait"]), st.integers(0, 1), st.integers(1, 3)),
    max_size=14,
)


@pytest.mark.timeout(90)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_what_is_live_is_what_runs_whatever_happened(
    steps: list[Step], tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_live_is_what_runs(steps, tmp_path_factory.mktemp("ledger")))


async def _live_is_what_runs(steps: list[Step], folder: Path) -> None:
    cluster = Cluster()
    ledger = await SqlLedger.open(await fresh_place(folder / "ledger.sqlite"), clock=cluster.clock)
    try:
        watched = Watched(cluster, ledger)
        owners = [cluster.make(DEPLOYMENT, name) for name in ("web", "worker")]
        sets: list[list[Json]] = [[], []]
        for count, (what, which, version) in enumerate(steps):
            if what == "roll":
                sets[which].append(cluster.roll_out(owners[which], version, revision=count + 1))
            elif what == "shrink" and sets[which]:
                old = sets[which].pop(0)
                cluster.delete(*cluster.pods_of(old), old)
            elif what == "restart":
                watched.restart()
            elif what == "hear":
                await watched.hear()
            else:
                cluster.clock.turn(20)
        await watched.linger()
        expected = {
            (name, "app", pod["status"]["containerStatuses"][0]["imageID"].partition("@")[2])
            for name, mine in zip(("web", "worker"), sets, strict=True)
            for made in mine
            for pod in cluster.pods_of(made)
        }
        assert await watched.live() == expected
        assert watched.keeper.live == len(expected)
    finally:
        await ledger.close()
