"""Plays the script: does what the steps say, one after the other, and waits for the world where a step needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Protocol

import structlog

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.exporter import Exporter
from fluxtrail.simulator.flux import FluxCluster
from fluxtrail.simulator.forge import Forge
from fluxtrail.simulator.healing import Stuck
from fluxtrail.simulator.helm.charts import chart_files
from fluxtrail.simulator.helm.layout import CLUSTERS as RELEASE_CLUSTERS
from fluxtrail.simulator.helm.layout import GIT_CHART, RELEASES, release_file, release_path
from fluxtrail.simulator.images.automation import ImageAutomation
from fluxtrail.simulator.images.layout import application_file
from fluxtrail.simulator.layout import cluster_file, config_map, delivers, values_file
from fluxtrail.simulator.repositories import Commit
from fluxtrail.simulator.script import EVERYWHERE, Action, Step, Style
from fluxtrail.simulator.truth import Truth

log = structlog.get_logger(__name__)

_BROKEN = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [unclosed\n"
_POLL_SECONDS = 0.05
"""Real seconds between two looks at the world."""


class Stage(Protocol):
    """The world, as the player sees it."""

    clock: SimulatedClock
    truth: Truth
    source: Forge
    manifests: Forge
    application: Forge
    exporter: Exporter
    automation: ImageAutomation
    clusters: dict[str, FluxCluster]

    def is_settled(self) -> bool: ...

    def announce(self) -> None:
        """Let the clusters know that the manifests branch moved."""


class Player:
    """Plays one script on one world.

    Args:
        hold_seconds: real seconds for which a state that will be undone stays, so that an observer that was
            away for a moment can still see it.
        doctor_seconds: real seconds that a doctor is given for what is stuck, before a person sees to it.
    """

    def __init__(self, world: Stage, script: list[Step], *, hold_seconds: float, doctor_seconds: float = 0.0) -> None:
        self.done = 0
        """Steps finished."""
        self.changes_done = 0
        self.is_finished = False
        self.script = script
        self.is_webhook_off = False
        """While two pushes happen at once."""
        self._world = world
        self._hold_seconds = hold_seconds
        self._doctor_seconds = doctor_seconds
        self._version = 10
        self._actions: dict[Action, Callable[[Step], Awaitable[None]]] = {
            Action.FEATURE: self._feature,
            Action.DOCS: self._docs,
            Action.SETTINGS: self._settings,
            Action.BASE: self._base,
            Action.ASIDE: self._aside,
            Action.NOTES: self._notes,
            Action.BURST: self._burst,
            Action.BAD_BUILD: self._bad_build,
            Action.BAD_HEALTH: self._bad_health,
            Action.REVERT: self._revert,
            Action.ROLLBACK: self._rollback,
            Action.LOST: self._lost,
            Action.SUSPEND: self._suspend,
            Action.EXPORT_ROLLBACK: self._export_rollback,
            Action.RELEASE: self._release,
            Action.CHART: self._chart,
            Action.IMAGE: self._image,
            Action.BAD_ROLLOUT: self._bad_rollout,
            Action.BAD_RELEASE: self._bad_release,
            Action.STUCK_RELEASE: self._stuck_release,
            Action.LASTING_BLOCK: self._lasting_block,
            Action.LASTING_FAILURE: self._lasting_failure,
        }

    async def play(self) -> None:
        self._world.truth.begin_script()
        for step in self.script:
            await self._world.clock.sleep(step.pause_seconds)
            self._world.truth.note("step", number=self.done, **asdict(step))
            await self._actions[step.action](step)
            self.done += 1
            self.changes_done += step.changes
        await self._settle()
        self.is_finished = True
        self._world.truth.note("script_ends", steps=self.done, changes=self.changes_done)

    # Ordinary changes.

    async def _feature(self, step: Step) -> None:
        await self._change_app(step, f"Roll {step.app} forward")

    async def _change_app(self, step: Step, subject: str, *, health: str = "good") -> Commit:
        self._version += 1
        where = "" if step.folder == EVERYWHERE else f" in {step.folder}"
        if step.folder == EVERYWHERE:
            changes = {f"apps/{step.app}/values.yaml": values_file(self._version, health=health)}
        else:
            text = cluster_file(self._version, health=health)
            changes = {f"apps/{step.app}/clusters/{step.folder}.yaml": text}
        if step.style is Style.MERGE:
            changes[f"apps/{step.app}/CHANGES.md"] = f"{self._version}: {subject}{where}\n"
        return await self._world.source.bring(changes, f"{subject}{where}", style=step.style)

    async def _docs(self, step: Step) -> None:
        self._version += 1
        await self._world.source.bring({"README.md": f"# Shop\n\nNote {self._version}\n"}, "Say more", style=step.style)

    async def _settings(self, step: Step) -> None:
        await self._push_settings(self._folder(step))

    async def _push_settings(self, folder: str) -> Commit:
        self._version += 1
        path = f"clusters/{folder}/apps/settings.yaml"
        text = config_map("settings", {"level": str(self._version)})
        return await self._world.manifests.bring({path: text}, f"Set level {self._version} in {folder}")

    async def _base(self, step: Step) -> None:
        self._version += 1
        text = config_map("common", {"theme": f"theme-{self._version}"})
        await self._world.manifests.bring({"base/common/config.yaml": text}, f"Change the theme for {step.app}")

    async def _aside(self, step: Step) -> None:
        self._version += 1
        text = f"# Manifests\n\nNote {self._version}\n"
        await self._world.manifests.bring({"README.md": text}, "Explain the manifests", style=step.style)

    async def _notes(self, step: Step) -> None:
        self._version += 1
        folder = self._folder(step)
        path = f"clusters/{folder}/apps/NOTES.md"
        await self._world.manifests.bring({path: f"Note {self._version}\n"}, f"Take a note on {folder}")

    async def _release(self, step: Step) -> None:
        cluster, name = self._release_of(step)
        await self._change_release(cluster, name, f"Turn {name} up in {cluster}")

    async def _change_release(self, cluster: str, name: str, subject: str, *, health: str = "good") -> Commit:
        self._version += 1
        text = release_file(name, self._version, health=health)
        return await self._world.manifests.bring({release_path(cluster, name): text}, subject)

    async def _chart(self, step: Step) -> None:
        self._version += 1
        changes = chart_files(GIT_CHART, f"0.{self._version}.0")
        await self._world.manifests.bring(changes, f"Publish {GIT_CHART} 0.{self._version}.0", style=step.style)

    async def _image(self, step: Step) -> None:
        self._version += 1
        changes = {"main.go": application_file(self._version)}
        await self._world.application.bring(changes, f"Answer {self._version} better", style=step.style)

    # Episodes.

    async def _bad_rollout(self, step: Step) -> None:
        """Seen until it is what it will be, and then repaired."""
        bad = Step(step.action, app="storefront", folder="staging", style=Style.SQUASH)
        commit = await self._change_app(bad, "Let the storefront shine", health=step.trouble or "image_pull")
        await self._until_exported(commit)
        await self._settle()
        await self._hold()
        await self._change_app(bad, "Let the storefront be as it was")
        await self._settle()

    async def _bad_release(self, step: Step) -> None:
        """Rolled back by Helm, and then repaired."""
        cluster, _ = self._release_of(step)
        await self._change_release(cluster, "mailer", f"Hurry mailer in {cluster}", health="crash_loop")
        await self._settle()
        await self._hold()
        await self._change_release(cluster, "mailer", f"Calm mailer in {cluster}")
        await self._settle()

    async def _stuck_release(self, step: Step) -> None:
        """Given up by Flux at once, and there is nothing to repair in git."""
        cluster, _ = self._release_of(step)
        await self._settle()
        stuck = Stuck(self._world.clusters[cluster], "mailer", truth=self._world.truth)
        with stuck.fault():
            await self._change_release(cluster, "mailer", f"Let mailer in {cluster} speak")
            await self._until(stuck.has_failed)
        await self._settle()
        try:
            async with asyncio.timeout(self._doctor_seconds):
                await self._until(stuck.is_healed)
        except TimeoutError:
            stuck.reset()
            await self._until(stuck.is_healed)
        await self._settle()

    async def _burst(self, step: Step) -> None:
        folder = self._folder(step)
        with self._quiet_webhook():
            await self._push_settings(folder)
        await self._push_settings(folder)

    async def _bad_build(self, step: Step) -> None:
        del step
        path = "clusters/prod-us/infra/extra.yaml"
        bad = await self._world.manifests.bring({path: _BROKEN}, "Add more infrastructure")
        await self._until_failed("prod-us", "infra", bad)
        await self._hold()
        self._version += 1
        text = config_map("extra", {"level": str(self._version)})
        await self._world.manifests.bring({path: text}, "Repair the infrastructure")
        await self._settle()

    async def _bad_health(self, step: Step) -> None:
        del step
        bad = Step(Action.BAD_HEALTH, app="payments", folder="staging", style=Style.SQUASH)
        commit = await self._change_app(bad, "Speed up payments", health="failing")
        await self._until_failed("staging", "backend", await self._until_exported(commit))
        await self._hold()
        await self._change_app(bad, "Slow payments down again")
        await self._settle()

    async def _revert(self, step: Step) -> None:
        before = self._world.source.repository.head_commit
        bad = await self._change_app(step, f"Try something with {step.app}")
        await self._settle()
        await self._hold()
        await self._revert_commit(bad, before)
        await self._settle()

    async def _revert_commit(self, bad: Commit, before: Commit) -> Commit:
        changes = {path: before.files.get(path) for path in bad.paths}
        return await self._world.source.bring(changes, f'Revert "{bad.subject}"', reverts=bad)

    async def _rollback(self, step: Step) -> None:
        async with self._exporter_paused():
            before = self._world.manifests.repository.head_commit
            for _ in range(2):
                await self._push_settings(self._folder(step))
                await self._settle()
            await self._hold()
            await self._move_back(before)
            await self._settle()
            await self._hold()

    async def _lost(self, step: Step) -> None:
        async with self._exporter_paused():
            before = self._world.manifests.repository.head_commit
            self._set_network(is_down=True)
            for _ in range(2):
                await self._push_settings(self._folder(step))
            await self._hold()
            await self._move_back(before)
            await self._hold()
            self._set_network(is_down=False)
            self._world.announce()
            await self._settle()

    async def _suspend(self, step: Step) -> None:
        del step
        cluster = self._world.clusters["staging"]
        self._world.truth.note("suspend", cluster=cluster.name, target="apps")
        cluster.suspend("apps")
        for _ in range(2):
            await self._push_settings("staging")
            await self._world.clock.sleep(2)
        await self._hold()
        self._world.truth.note("resume", cluster=cluster.name, target="apps")
        cluster.suspend("apps", is_suspended=False)
        await self._settle()

    async def _export_rollback(self, step: Step) -> None:
        await self._settle()
        before_source = self._world.source.repository.head_commit
        before = self._world.manifests.repository.head_commit
        bad = await self._change_app(step, f"Release {step.app} too early")
        await self._until_exported(bad)
        async with self._exporter_paused():
            await self._hold()
            await self._move_back(before)
            await self._settle()
            await self._hold()
        await self._revert_commit(bad, before_source)
        await self._settle()

    async def _lasting_failure(self, step: Step) -> None:
        del step
        bad = await self._world.manifests.bring({"clusters/staging/infra/broken.yaml": _BROKEN}, "Try a shortcut")
        await self._until_failed("staging", "infra", bad)

    async def _lasting_block(self, step: Step) -> None:
        bad = Step(step.action, app="cart", folder="prod-us", style=Style.SQUASH)
        await self._change_app(bad, "Give the cart another wheel", health="image_pull")

    # What steps wait for.

    async def _move_back(self, commit: Commit) -> None:
        await self._world.manifests.force_push(commit)
        self._world.announce()

    async def _until(self, condition: Callable[[], bool]) -> None:
        # The conditions are spread over the whole world; an event for each would say less than a look.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    async def _until_failed(self, cluster: str, name: str, commit: Commit) -> None:
        target = next(
            t for t in self._world.truth.targets if t.cluster == cluster and t.name.rpartition("/")[2] == name
        )
        await self._until(lambda: any(a.failed_at and a.commit.contains(commit) for a in target.attempts[-3:]))

    async def _until_exported(self, commit: Commit) -> Commit:
        exports = self._world.truth.exports
        await self._until(lambda: commit.sha in exports)
        return self._world.manifests.repository.commits[exports[commit.sha][0]]

    async def _settle(self) -> None:
        await self._until(self._world.is_settled)

    async def _hold(self) -> None:
        await asyncio.sleep(self._hold_seconds)

    def _exporter_paused(self) -> _Pause:
        return _Pause(self._world, self._settle)

    @contextmanager
    def _quiet_webhook(self) -> Iterator[None]:
        """Nobody tells the clusters about what is pushed meanwhile; the next push does."""
        self._world.truth.note("webhook_off")
        self.is_webhook_off = True
        try:
            yield
        finally:
            self.is_webhook_off = False

    def _set_network(self, *, is_down: bool) -> None:
        self._world.truth.note("network", is_down=is_down)
        for cluster in self._world.clusters.values():
            cluster.network.is_down = is_down

    def _release_of(self, step: Step) -> tuple[str, str]:
        """Return (cluster, release) of a step: another one with each version."""
        known = [name for name in RELEASE_CLUSTERS if name in self._world.clusters]
        cluster = step.folder if step.folder in known else (known or RELEASE_CLUSTERS)[0]
        return cluster, RELEASES[self._version % len(RELEASES)]

    def _folder(self, step: Step) -> str:
        is_usable = step.folder != EVERYWHERE and delivers(step.app, step.folder)
        return step.folder if is_usable else "prod-eu"


class _Pause:
    """Exporter and automation rest while the manifests branch is moved back and forth."""

    def __init__(self, world: Stage, settle: Callable[[], Awaitable[None]]) -> None:
        self._machines = (world.exporter, world.automation)
        self._settle = settle

    async def __aenter__(self) -> None:
        await self._settle()
        for machine in self._machines:
            machine.is_paused = True

    async def __aexit__(self, *error: object) -> None:
        for machine in self._machines:
            machine.is_paused = False
            machine.duty.poke()
