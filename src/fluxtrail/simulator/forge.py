"""People at work: how a change reaches a branch: pushed, merged or squashed; and what is noted of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping

from fluxtrail.simulator.clock import SimulatedClock, parse_precise_time, seconds
from fluxtrail.simulator.github import GitHub
from fluxtrail.simulator.repositories import Commit, Person, Repository
from fluxtrail.simulator.script import Style
from fluxtrail.simulator.truth import Truth

PEOPLE = (
    Person("Ada Marsh", "ada@acme.example"),
    Person("Bela Ortiz", "bela@acme.example"),
    Person("Chidi Okoro", "chidi@acme.example"),
    Person("Dana Weiss", "dana@acme.example"),
)

Changes = Mapping[str, str | None]


class Forge:
    """Brings changes to one repository's branch.

    Args:
        on_push: called with each commit that came to the branch.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        github: GitHub,
        clock: SimulatedClock,
        truth: Truth,
        dice: random.Random,
        on_push: Callable[[Commit], None],
    ) -> None:
        self.repository = repository
        self._github = github
        self._clock = clock
        self._truth = truth
        self._dice = dice
        self._on_push = on_push
        self._number = 100

    async def bring(
        self, changes: Changes, subject: str, *, style: Style = Style.DIRECT, reverts: Commit | None = None
    ) -> Commit:
        """Bring one change to the branch and return the commit that stands there."""
        body = f"\n\nThis reverts commit {reverts.sha}.\n" if reverts else "\n"
        reverted = (reverts.sha,) if reverts else ()
        if style is Style.DIRECT:
            # Committed on somebody's machine, a little before it is pushed.
            at = self._clock.now() - seconds(self._dice.uniform(0.0, 3.0))
            made = await self.repository.commit(changes, subject + body, author=self._person(), at=at)
            self._truth.push(self.repository, made, reverts=reverted)
        else:
            made = await self._merge(changes, subject, body, is_squash=style is Style.SQUASH, reverted=reverted)
        self._on_push(made)
        return made

    async def force_push(self, commit: Commit) -> None:
        before = self.repository.head_commit
        await self.repository.force_push(commit.sha)
        self._truth.force_push(self.repository, before=before, after=commit)

    async def _merge(
        self, changes: Changes, subject: str, body: str, *, is_squash: bool, reverted: tuple[str, ...]
    ) -> Commit:
        self._number += 1
        now = self._clock.now()
        if is_squash:
            message = f"{subject} (#{self._number}){body}"
            made = await self.repository.commit(changes, message, author=self._person(), at=now)
            heads = tuple(_unknown_sha(made.sha, index) for index in range(2))
        else:
            message = f"Merge pull request #{self._number} from acme/change-{self._number}\n\n{subject}{body}"
            items = sorted(changes.items())
            halves = [dict(items[0::2]), dict(items[1::2])]
            parts = [(half, f"{subject}, part {index + 1}\n") for index, half in enumerate(halves) if half]
            made, own = await self.repository.merge(parts, message, number=self._number, author=self._person(), at=now)
            heads = tuple(commit.sha for commit in own)
        pull = self._github.add_pull_request(self.repository, made, number=self._number, head_shas=heads)
        self._truth.note("pull_request", number=pull.number, sha=made.sha, heads=heads)
        self._truth.push(self.repository, made, merged_at=parse_precise_time(pull.merged_at), reverts=reverted)
        return made

    def _person(self) -> Person:
        return self._dice.choice(PEOPLE)


def _unknown_sha(sha: str, index: int) -> str:
    """Return the sha of a commit that git does not have (any more): the forge alone knows it."""
    return hashlib.sha1(f"{sha} {index}".encode(), usedforsecurity=False).hexdigest()
