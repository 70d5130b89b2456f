"""The whole demo world in one object: repositories, forge, pipeline, clusters, script and truth."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.artifact_metadata import ArtifactMetadata
from fluxtrail.simulator.building_runs import Builds, ExportRuns, note_check
from fluxtrail.simulator.checkout import Checkout
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.compare_records import differences_of_records
from fluxtrail.simulator.compare_statuses import differences_of_statuses
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.exporter import Exporter
from fluxtrail.simulator.flux import FluxCluster
from fluxtrail.simulator.forge import PEOPLE, Forge
from fluxtrail.simulator.forges.commits import WorldCommits
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.forges.settings import ENVIRONMENTS, TOLD_REPOSITORIES
from fluxtrail.simulator.github import GitHub
from fluxtrail.simulator.healing import Treatments
from fluxtrail.simulator.helm.layout import first_releases
from fluxtrail.simulator.images.automation import ImageAutomation
from fluxtrail.simulator.images.building import PLATFORMS
from fluxtrail.simulator.images.layout import (
    APPLICATION_REPOSITORY,
    first_application,
)
from fluxtrail.simulator.images.pipeline import ImagePipeline
from fluxtrail.simulator.images.registry import ImageRegistry
from fluxtrail.simulator.images.seeding import first_images
from fluxtrail.simulator.kustomize_controller import Pace
from fluxtrail.simulator.layout import (
    CLUSTERS,
    MANIFESTS_REPOSITORY,
    ORGANIZATION,
    SOURCE_REPOSITORY,
    ClusterPlan,
    first_manifests,
    source_tree,
)
from fluxtrail.simulator.player import Player
from fluxtrail.simulator.pull_requests import PullRequest
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.revisions import RevisionStyle
from fluxtrail.simulator.script import Step, plan_script
from fluxtrail.simulator.truth import Truth
from fluxtrail.simulator.verdicts import Judge
from fluxtrail.simulator.workloads.images import Registry
from fluxtrail.simulator.workloads.people import People
from fluxtrail.simulator.workloads.tenants import FOREIGN_DIGEST

log = structlog.get_logger(__name__)

_CHANGES_A_ROUND = 50
"""For so many changes people go once through what they do by hand."""
_RECORDS_TOKEN = "simulated-token"  # noqa: S105 - of a simulation
_FORGE_TOKEN = "simulated-forge-token"  # noqa: S105 - of a simulation
_PLATFORMS = {"prod-us": "linux/arm64"}
"""What the nodes of a cluster are; the others are the usual ones."""
_WEBHOOK_CHANCE = 0.85
"""How many pushes a cluster is told of; the others it finds at its interval."""


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """What one world is made from. Everything but wall times follows from these."""

    directory: Path
    seed: int = 1
    changes: int = 50
    rate: float = 0.6
    """Ordinary commits in a simulated second."""
    time_scale: float = 1.0
    hold_seconds: float = 6.0
    """Real seconds for which a state that will be undone stays."""
    export_delay_seconds: tuple[float, float] = (0.5, 3.0)
    clusters: Sequence[ClusterPlan] = CLUSTERS
    legacy: frozenset[str] = frozenset()
    """Clusters with an older Flux: no history, `main/<sha>` revisions, v1beta2."""
    script: Sequence[Step] | None = None
    """Instead of the one the seed gives."""
    pace: Pace = field(default_factory=Pace)
    deployment_records: bool = False
    """Whether more runs on the clusters than Flux delivers, and GitHub takes records of what runs."""
    ci: bool = False
    """Whether CI builds what is pushed, before it is exported or made an image of."""
    doctor_seconds: float | None = None
    """Real seconds that a doctor is given for a release that is stuck, before a person resets it. None: there is no
    doctor, and the seed's script lets no release get stuck."""
    rounds: int | None = None
    """Of what people do to workloads by hand; None: as many as the changes leave time for."""


class World:
    """Start it, play its script, ask it for the truth, stop it.

    `start` brings everything up and lets the clusters apply the first commits; nothing more happens until
    `begin`. Run inside `async with`.
    """

    def __init__(self, options: WorldOptions) -> None:
        self.options = options
        dice = random.Random(options.seed)  # noqa: S311 - delays of a simulation
        self.directory = options.directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.clock = SimulatedClock(scale=options.time_scale)
        self.truth = Truth(self.directory / "truth.jsonl", clock=self.clock)
        git = self.directory / "git" / "acme"
        self.source_repository = Repository(git / "shop.git", name=SOURCE_REPOSITORY)
        self.manifests_repository = Repository(git / "manifests.git", name=MANIFESTS_REPOSITORY)
        self.application_repository = Repository(git / "assistant.git", name=APPLICATION_REPOSITORY)
        repositories = (self.source_repository, self.manifests_repository, self.application_repository)
        self.repositories = {repository.name: repository for repository in repositories}
        self.images = ImageRegistry()
        self.artifact_metadata = ArtifactMetadata(
            clock=self.clock, organization=ORGANIZATION, unattested={FOREIGN_DIGEST}, token=_RECORDS_TOKEN
        )
        self.github = GitHub(
            clock=self.clock,
            repositories=self.repositories,
            artifact_metadata=self.artifact_metadata if options.deployment_records else None,
        )
        self.forges = Forges(self.clock, commits=WorldCommits(self.repositories, is_head=self.github.is_head))
        self.forges.desk.tokens["github"] = _FORGE_TOKEN
        self.github.forges = self.forges
        for repository in repositories:
            repository.on_push = self.forges.pushes.add
        if options.ci:
            self.github.on_pull_request = self._on_pull_request
        self.exporter = Exporter(
            manifests=self.manifests_repository,
            clock=self.clock,
            truth=self.truth,
            dice=self._fork(dice),
            delay_seconds=options.export_delay_seconds,
            on_push=lambda _: self._on_manifests(),
            runs=self._export_runs() if options.ci else None,
        )
        self.source = self._forge(self.source_repository, dice)
        self.manifests = self._forge(self.manifests_repository, dice)
        checkout = Checkout(self.manifests_repository.directory)
        self.clusters = {
            plan.name: FluxCluster(
                plan,
                manifests=self.manifests_repository,
                checkout=checkout,
                clock=self.clock,
                truth=self.truth,
                seed=dice.randrange(2**32),
                pace=options.pace,
                style=RevisionStyle.LEGACY if plan.name in options.legacy else RevisionStyle.PRESENT,
                registry=Registry(self.images, platform=_PLATFORMS.get(plan.name, PLATFORMS[0])),
                has_tenants=options.deployment_records,
            )
            for plan in options.clusters
        }
        self.automation = ImageAutomation(
            (self.clusters.get("staging") or next(iter(self.clusters.values()))).server.store,
            registry=self.images,
            manifests=self.manifests_repository,
            clock=self.clock,
            truth=self.truth,
            dice=self._fork(dice),
            on_push=lambda _: self._on_manifests(),
        )
        self.pipeline = ImagePipeline(
            self.application_repository,
            registry=self.images,
            clock=self.clock,
            truth=self.truth,
            dice=self._fork(dice),
            delay_seconds=options.export_delay_seconds,
            on_image=self.automation.add,
        )
        self.application = self._forge(self.application_repository, dice)
        self.builds = self._builds() if options.ci else {}
        has_doctor = options.doctor_seconds is not None
        script = options.script or plan_script(
            options.seed, changes=options.changes, rate=options.rate, has_doctor=has_doctor
        )
        self.player = Player(
            self, list(script), hold_seconds=options.hold_seconds, doctor_seconds=options.doctor_seconds or 0.0
        )
        self.treatments = Treatments(self.clusters, truth=self.truth) if has_doctor else None
        self.people = [self._people(cluster) for cluster in self.clusters.values() if cluster.has_tenants]
        self.begun = asyncio.Event()
        self._webhook = Duty(self.clock)
        self._webhook_dice = self._fork(dice)
        self._is_announcing = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    async def __aenter__(self) -> World:
        await self.images.start()
        await self._seed_repositories()
        await self.github.start()
        self.forges.ci.pages = self.forges.pushes.pages = self.github.url
        for cluster in self.clusters.values():
            await cluster.server.start()
        write_kubeconfig(self.kubeconfig, [cluster.server for cluster in self.clusters.values()])
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(cluster.run(), name=name) for name, cluster in self.clusters.items()]
        self._tasks += [self._group.create_task(ci.run(), name=f"ci of {name}") for name, ci in self.builds.items()]
        self._tasks.append(self._group.create_task(self.exporter.run(), name="exporter"))
        self._tasks.append(self._group.create_task(self.pipeline.run(), name="image pipeline"))
        self._tasks.append(self._group.create_task(self.automation.run(), name="image automation"))
        self._tasks.append(self._group.create_task(self._announce_pushes(), name="webhook"))
        self._tasks.append(self._group.create_task(self.forges.pushes.run(), name="webhook of GitHub"))
        self._tasks.append(self._group.create_task(self._play(), name="script"))
        self._tasks += [self._group.create_task(self._let_act(people), name="people") for people in self.people]
        if self.treatments is not None:
            self._tasks.append(self._group.create_task(self.treatments.run(), name="treatments"))
        await self.until_settled()
        await self._until_quiet()
        log.info("world is ready", clusters=list(self.clusters), directory=str(self.directory))
        return self

    async def __aexit__(self, *error: object) -> None:
        verdicts = json.dumps({"commits": self.report()}, indent=1)
        (self.directory / "verdicts.json").write_text(verdicts, encoding="utf-8")
        for task in self._tasks:
            task.cancel()
        assert self._group is not None
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            for cluster in self.clusters.values():
                await cluster.server.stop()
            await self.github.stop()
            await self.images.stop()
            self.truth.close()

    def begin(self) -> None:
        """Let the script start."""
        self.begun.set()

    def announce(self) -> None:
        self._webhook.poke()

    def is_settled(self) -> bool:
        """Whether nothing is under way: all is exported, fetched, and applied or failed."""
        machines = (self.exporter, self.pipeline, self.automation)
        is_idle = (
            all(machine.is_settled() for machine in machines) and not self._webhook.is_poked and not self._is_announcing
        )
        is_built = all(builds.is_settled() for builds in self.builds.values())
        return is_built and is_idle and all(cluster.is_settled() for cluster in self.clusters.values())

    async def until_settled(self) -> None:
        while not self.is_settled():
            self._check_tasks()
            await asyncio.sleep(0.02)

    async def until_finished(self) -> None:
        while not (self.is_finished() and self.is_settled() and self.is_quiet()):
            self._check_tasks()
            await asyncio.sleep(0.02)

    def is_finished(self) -> bool:
        """Whether the script is over, and people have done what they wanted."""
        return self.player.is_finished and all(people.is_finished for people in self.people)

    def is_quiet(self) -> bool:
        """Whether no pod comes or goes."""
        return all(cluster.is_quiet() for cluster in self.clusters.values())

    async def _until_quiet(self) -> None:
        while not self.is_quiet():
            self._check_tasks()
            await asyncio.sleep(0.02)

    async def until_failed(self) -> None:
        """Wait for ever, unless a part of the world breaks: then raise what broke it."""
        while True:
            self._check_tasks()
            await asyncio.sleep(0.2)

    def report(self) -> list[dict[str, Any]]:
        """Return the truth about every commit pushed by the script so far."""
        judge = Judge(self.truth, source=self.source_repository, manifests=self.manifests_repository)
        return judge.report()

    def records_truth(self) -> list[dict[str, Any]]:
        """Return what every deployment name of every cluster ends with, as far as things went."""
        unattested = self.artifact_metadata.unattested
        listed = [row for c in self.clusters.values() if c.has_tenants for row in c.workloads.records.listed()]
        return [row | {"is_attested": row["digest"] not in unattested} for row in listed]

    def records_differences(self, *, was_away: bool = False) -> list[str]:
        """Return where GitHub's records are not what is true; see `differences_of_records`."""
        return differences_of_records(self.records_truth(), self.artifact_metadata.listed(), was_away=was_away)

    def statuses_differences(self) -> list[str]:
        """Return where GitHub's statuses of commits are not what is true; see `differences_of_statuses`."""
        told = self.forges.report()["statuses"]
        return differences_of_statuses(self.report(), told, ENVIRONMENTS, repositories=TOLD_REPOSITORIES)

    def describe(self) -> dict[str, Any]:
        """Return what another process needs to know to watch this world."""
        records = {"organization": ORGANIZATION, "token": self.artifact_metadata.token}
        return {
            "deployment_records": records if self.options.deployment_records else None,
            "kubeconfig": str(self.kubeconfig),
            "contexts": list(self.clusters),
            "repositories": {name: repository.url for name, repository in self.repositories.items()},
            "github": self.github.url,
            "forges": {
                "token": self.forges.desk.tokens["github"],
                "environments": list(ENVIRONMENTS),
                "repositories": list(TOLD_REPOSITORIES),
            },
            "registry": self.images.host,
            "ci": self.options.ci,
            "truth": str(self.truth.path),
            "clock": self.clock.text(),
        }

    def status(self) -> dict[str, Any]:
        """Return how far the script is."""
        return {
            "steps": len(self.player.script),
            "steps_done": self.player.done,
            "changes": sum(step.changes for step in self.player.script),
            "changes_done": self.player.changes_done,
            "is_begun": self.begun.is_set(),
            "is_finished": self.is_finished(),
            "is_quiet": self.is_settled() and self.is_quiet(),
            "records": len(self.artifact_metadata.listed()),
            "statuses": len(self.forges.final_statuses()),
            "builds": self._build_states(),
            "treatments": self.treatments.listed() if self.treatments is not None else [],
            "pushed": [{"sha": p.commit.sha, "is_export": p.is_export} for p in self.truth.pushed],
        }

    def _build_states(self) -> dict[str, str]:
        states = {sha: build.state.value for sha, build in self.truth.builds.items()}
        return {p.commit.sha: states[p.commit.sha] for p in self.truth.pushed if p.commit.sha in states}

    def _forge(self, repository: Repository, dice: random.Random) -> Forge:
        return Forge(
            repository,
            github=self.github,
            clock=self.clock,
            truth=self.truth,
            dice=self._fork(dice),
            on_push=self._deal_with_push(repository),
        )

    def _deal_with_push(self, repository: Repository) -> Callable[[Commit], None]:
        """Return what a push sets off: CI, or at once an export, an image, the webhook of the clusters."""
        if repository is self.manifests_repository:
            return lambda _: self._on_manifests()
        if self.options.ci:
            return partial(self._build, repository.name)
        return self._deal_with_built(repository)

    def _build(self, repository: str, commit: Commit) -> None:
        self.builds[repository].add(commit)

    def _deal_with_built(self, repository: Repository) -> Callable[[Commit], None]:
        return self.exporter.add if repository is self.source_repository else self.pipeline.add

    def _builds(self) -> dict[str, Builds]:
        """Return CI of each repository that something is built from; it has dice of its own."""
        return {
            repository.name: Builds(
                repository,
                book=self.forges.ci,
                clock=self.clock,
                truth=self.truth,
                dice=random.Random(f"{self.options.seed} {repository.name} ci"),  # noqa: S311 - of a simulation
                on_built=self._deal_with_built(repository),
            )
            for repository in (self.source_repository, self.application_repository)
        }

    def _export_runs(self) -> ExportRuns:
        return ExportRuns(self.source_repository, book=self.forges.ci, clock=self.clock, truth=self.truth)

    def _on_pull_request(self, repository: str, pull: PullRequest) -> None:
        note_check(self.forges.ci, pull, repository=repository, clock=self.clock)

    def _fork(self, dice: random.Random) -> random.Random:
        return random.Random(dice.random())  # noqa: S311 - delays of a simulation

    def _on_manifests(self) -> None:
        if not self.player.is_webhook_off and self._webhook_dice.random() < _WEBHOOK_CHANCE:
            self.announce()

    def _check_tasks(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def _seed_repositories(self) -> None:
        """The first commits: what everything starts from."""
        for repository in self.repositories.values():
            await repository.create()
        at = self.clock.now()
        first = await self.source_repository.commit(source_tree(), "First shop\n", author=PEOPLE[0], at=at)
        application = await self.application_repository.commit(
            first_application(), "First assistant\n", author=PEOPLE[1], at=at
        )
        tag = self.pipeline.build(application)
        images = first_images(self.images, tag, at=at)
        self.automation.install()
        self.automation.scan()
        self.automation.choose(tag)
        trees = first_manifests() | first_releases(self.images.host) | images
        await self.manifests_repository.commit(trees, "First manifests\n", author=PEOPLE[0], at=at)
        await self.exporter.export([first])

    async def _announce_pushes(self) -> None:
        """The forge's webhook, to a Receiver of each cluster, a moment after the push."""
        while True:
            await self._webhook.wait(None)
            self._is_announcing = True
            await self.clock.sleep(self._webhook_dice.uniform(0.05, 0.6))
            for cluster in self.clusters.values():
                cluster.request_fetch()
            # The controllers hear of it through their watch, in a later turn of the loop.
            await asyncio.sleep(0.01)
            self._is_announcing = False

    async def _play(self) -> None:
        await self.begun.wait()
        await self.player.play()

    def _people(self, cluster: FluxCluster) -> People:
        return People(
            cluster.name,
            cluster.workloads,
            clock=self.clock,
            truth=self.truth,
            attestations=self.artifact_metadata,
            dice=random.Random(f"{self.options.seed} {cluster.name} people"),  # noqa: S311 - delays of a simulation
            is_odd=cluster.name == "staging",
        )

    async def _let_act(self, people: People) -> None:
        await self.begun.wait()
        changes = sum(step.changes for step in self.player.script)
        rounds = self.options.rounds
        await people.play(max(1, changes // _CHANGES_A_ROUND) if rounds is None else rounds)
