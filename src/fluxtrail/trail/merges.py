"""Asks a forge when commits were merged, and what a squash or a rebase left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
import structlog

from fluxtrail.model.commit import CommitFacts
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.records import RepositoryRecord
from fluxtrail.trail.ports import Forge, Forges

log = structlog.get_logger(__name__)

FORGE_LOOKUPS = 50
"""Commits of one move that a forge is asked about; older ones of a longer move keep git's evidence."""
FORGE_CONCURRENCY = 4
ALIAS_LIMIT = 500


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """The pull request that a commit merged, with the commits that a squash or rebase left behind."""

    number: int
    merged_at: datetime
    commits: tuple[str, ...] = ()


async def find_merges(forges: Forges, repository: RepositoryRecord, commits: Sequence[CommitFacts]) -> dict[str, Merge]:
    """Return the merged pull request of each commit that has one. A failing forge costs evidence, not commits."""
    forge = forges.find(repository.canonical)
    if forge is None:
        return {}
    found: dict[str, Merge] = {}
    gate = asyncio.Semaphore(FORGE_CONCURRENCY)

    is_down = False

    async def ask(facts: CommitFacts) -> None:
        nonlocal is_down
        async with gate:
            if is_down:
                return
            try:
                merge = await find_merge(forge, facts)
            except FluxtrailError as exc:
                is_down = exc.retryable  # the next one would only wait as long for the same answer
                log.warning("pull request unknown", repository=repository.canonical, sha=facts.sha, error=str(exc))
                return
        if merge is not None:
            found[facts.sha] = merge

    async with asyncio.TaskGroup() as group:
        for facts in commits[-FORGE_LOOKUPS:]:
            group.create_task(ask(facts), name=f"pull request of {facts.sha}")
    return found


async def find_merge(forge: Forge, facts: CommitFacts) -> Merge | None:
    for request in await forge.find_pull_requests(facts.sha):
        if request.merged_at is not None and request.merge_commit_sha == facts.sha:
            commits = [] if facts.is_merge else await forge.pull_request_commits(request.number)
            return Merge(number=request.number, merged_at=request.merged_at, commits=tuple(commits[:ALIAS_LIMIT]))
    return None
