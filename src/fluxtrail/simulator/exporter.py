"""The pipeline between the two repositories: batches of merged commits become one manifests commit each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

import structlog

from fluxtrail.simulator.building_runs import ExportRuns
from fluxtrail.simulator.clock import SimulatedClock, wire_time
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.rendering import render
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.truth import Truth

log = structlog.get_logger(__name__)

EXPORTER_INFO = "exporter-info.json"
EXPORTER = Person("Exporter", "exporter@acme.example")


class Exporter:
    """Exports every commit of the source branch, in order, with a delay.

    Its own memory says what it has exported, not the manifests repository: a branch that is moved back does
    not bring old commits again.

    Args:
        runs: notes what it does as runs of CI; None: no CI is simulated.
    """

    def __init__(
        self,
        *,
        manifests: Repository,
        clock: SimulatedClock,
        truth: Truth,
        dice: random.Random,
        delay_seconds: tuple[float, float],
        on_push: Callable[[Commit], None],
        runs: ExportRuns | None = None,
    ) -> None:
        self.duty = Duty(clock)
        self.is_busy = False
        self.is_paused = False
        self._manifests = manifests
        self._clock = clock
        self._truth = truth
        self._dice = dice
        self._delay_seconds = delay_seconds
        self._on_push = on_push
        self._runs = runs
        self._waiting: list[Commit] = []
        self._exported: Commit | None = None

    def is_settled(self) -> bool:
        return not (self._waiting or self.is_busy)

    def add(self, commit: Commit) -> None:
        """A commit was merged."""
        self._waiting.append(commit)
        self.duty.poke()

    async def run(self) -> None:
        while True:
            while self._waiting and not self.is_paused:
                self.is_busy = True
                # What is merged while the build runs goes with the next export.
                batch, self._waiting = self._waiting, []
                run = self._runs.begin(batch[-1]) if self._runs else None
                await self._clock.sleep(self._dice.uniform(*self._delay_seconds))
                await self.export(batch, link=self._runs.page_of(run) if self._runs and run else "")
                if self._runs and run:
                    self._runs.end(run)
                self.is_busy = False
            await self.duty.wait(None)

    async def export(self, batch: Sequence[Commit], *, link: str = "") -> Commit:
        """Push one manifests commit made from `batch`, oldest first.

        Args:
            link: the page of the run that does it, where CI is simulated.
        """
        newest = batch[-1]
        present = self._manifests.head_commit.files
        rendered = render(newest.files)
        # Only what the batch changed is written: what people changed by hand since stays.
        before = render(self._exported.files) if self._exported else {}
        changes: dict[str, str | None] = {path: text for path, text in rendered.items() if before.get(path) != text}
        changes = {path: text for path, text in changes.items() if present.get(path) != text}
        changes[EXPORTER_INFO] = self._info(batch, link)
        subject = f"Export {newest.sha[:9]}" + (f" and {len(batch) - 1} more" if len(batch) > 1 else "")
        made = await self._manifests.commit(changes, subject, author=EXPORTER, at=self._clock.now())
        self._exported = newest
        self._truth.export(made, list(batch))
        self._truth.push(self._manifests, made, is_export=True)
        self._on_push(made)
        log.debug("exported", sha=made.sha, sources=len(batch))
        return made

    def _info(self, batch: Sequence[Commit], link: str) -> str:
        info = {
            "commit": batch[-1].sha,
            "commits_since_last_export": [
                {
                    "hash": commit.sha,
                    "summary": commit.subject,
                    "author": commit.author.name,
                    "email": commit.author.email,
                    "time": wire_time(commit.committed_at),
                }
                for commit in batch
            ],
            "export_build_link": link or f"https://ci.example/builds/{len(self._truth.exports) + 1}",
        }
        return json.dumps(info, indent=2) + "\n"
