"""The application's CI: every merged commit ends in an image, in batches and after a while."""

from __future__ import annotations

import random
from collections.abc import Callable

from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.duty import Duty
from fluxtrail.simulator.images.building import build_image
from fluxtrail.simulator.images.layout import FIRST_VERSION, IMAGE
from fluxtrail.simulator.images.registry import ImageRegistry
from fluxtrail.simulator.repositories import Commit, Repository
from fluxtrail.simulator.truth import Truth


class ImagePipeline:
    """Builds one image of what was merged since the last one.

    Args:
        on_image: called with the tag and the commits that are new in it, oldest first.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        registry: ImageRegistry,
        clock: SimulatedClock,
        truth: Truth,
        dice: random.Random,
        delay_seconds: tuple[float, float],
        on_image: Callable[[str, list[Commit]], None],
    ) -> None:
        self.duty = Duty(clock)
        self.is_busy = False
        self._repository = repository
        self._registry = registry
        self._clock = clock
        self._truth = truth
        self._dice = dice
        self._delay_seconds = delay_seconds
        self._on_image = on_image
        self._waiting: list[Commit] = []
        self._number = 0

    def is_settled(self) -> bool:
        return not (self._waiting or self.is_busy)

    def add(self, commit: Commit) -> None:
        """A commit was merged."""
        self._waiting.append(commit)
        self.duty.poke()

    async def run(self) -> None:
        while True:
            while self._waiting:
                self.is_busy = True
                await self._clock.sleep(self._dice.uniform(*self._delay_seconds))
                batch, self._waiting = self._waiting, []
                self._number += 1
                self._on_image(self.build(batch[-1], f"1.{self._number}.0"), batch)
                self.is_busy = False
            await self.duty.wait(None)

    def build(self, commit: Commit, tag: str = FIRST_VERSION) -> str:
        """Build and push the image of a commit; return its tag."""
        image = build_image(source=self._repository.url, revision=commit.sha, version=tag, at=self._clock.now())
        digest = self._registry.push(IMAGE, tag, image)
        platforms = {platform: content.digest for platform, content in image.manifests.items()}
        self._truth.note("image", tag=tag, digest=digest, platforms=platforms, sha=commit.sha)
        return tag
