"""Which forge knows a repository: by the settings, or by its host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fluxtrail.model.repository import parse_repository
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.facts import PullRequest
from fluxtrail.runtime.settings import RepositorySetting
from fluxtrail.trail.ports import Forge


class GitHubForge:
    """One repository on a GitHub."""

    def __init__(self, client: GitHubClient, owner: str, repo: str) -> None:
        self._client = client
        self._owner = owner
        self._repo = repo

    async def find_pull_requests(self, sha: str) -> Sequence[PullRequest]:
        return await self._client.find_pull_requests(self._owner, self._repo, sha)

    async def pull_request_commits(self, number: int) -> list[str]:
        return await self._client.pull_request_commits(self._owner, self._repo, number)


class ConfiguredForges:
    """Args:
    client: the GitHub of the settings; repositories on its host are looked up there.
    has_token: without a token GitHub answers 60 questions an hour: only stated repositories are asked about.
    """

    def __init__(self, client: GitHubClient, repositories: Sequence[RepositorySetting], *, has_token: bool) -> None:
        self._client = client
        self._has_token = has_token
        self._stated: Mapping[str, tuple[str, str]] = {
            parse_repository(item.url).canonical: (item.forge.owner, item.forge.repo)
            for item in repositories
            if item.forge is not None
        }

    def find(self, canonical: str) -> Forge | None:
        stated = self._stated.get(canonical)
        if stated is not None:
            return GitHubForge(self._client, *stated)
        host, _, path = canonical.partition("/")
        owner, _, repo = path.partition("/")
        if self._has_token and host == self._client.host and owner and repo and "/" not in repo:
            return GitHubForge(self._client, owner, repo)
        return None
