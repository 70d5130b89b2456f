"""What the tests of statuses share: one to say, and the forges that are told it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tests.remotes.azure_devops import keeping as azure_devops
from tests.remotes.bitbucket import keeping as bitbucket
from tests.remotes.forges import SECRET, FakeForge, Times
from tests.remotes.gitea import keeping as gitea
from tests.remotes.github import keeping as github
from tests.remotes.gitlab import keeping as gitlab

from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.azure_devops.statuses import AzureStatuses
from fluxtrail.remotes.bitbucket.cloud import BitbucketCloudStatuses
from fluxtrail.remotes.bitbucket.server import BitbucketServerStatuses
from fluxtrail.remotes.gitea.statuses import GiteaStatuses
from fluxtrail.remotes.github.statuses import GitHubStatuses
from fluxtrail.remotes.gitlab.statuses import GitLabStatuses

PAGE = "https://trail.example.com/commits/0123"
P, R, S, F, E, N = StatusState  # in their order: pending, running, success, failure, error, neutral


def status(state: StatusState = S, **more: Any) -> CommitStatus:
    return CommitStatus(**{"state": state, "context": "fluxtrail/prod", "description": "deployed", "url": PAGE, **more})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A forge that is told how commits stand, and how it differs from the others.

    Args:
        keeping: has the forge's `Keeper` and `clients`.
        where: what is asked: the host's name and the repository on it.
        right: what a refusal says that the token needs.
        not_there: what is no repository there, and what is said of it.
    """

    keeping: ModuleType
    writer: Callable[..., Any]
    where: tuple[str, str]
    right: str
    not_there: tuple[str, ...]
    refusal: str
    audited: str = "commit status success fluxtrail/prod"
    options: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""
    """Of the API, below the fake forge, where it is another than its clients' own."""

    def clients(self, forge: FakeForge, times: Times) -> AbstractAsyncContextManager[Callable[..., Any]]:
        made: AbstractAsyncContextManager[Callable[..., Any]] = self.keeping.clients(forge, times)
        return made


_TWO_NAMES = ("acme", "acme/", "acme/..", "a/b/c", "a/b\nc", "x/" + "y" * 2_000)
_BITBUCKET_RIGHT = "build statuses need a token that may read"
PLACES = {
    "github": Place(
        keeping=github,
        writer=GitHubStatuses,
        where=("github.test", "acme/shop"),
        right="'Commit statuses: write' .*repo:status",
        not_there=("acme", "acme/", "/shop", "acme/../shop", "acme/..", "a/b/c", "acme/sh op", "a\n/b"),
        refusal="not a GitHub",
        options={"host": "github.test", "credentials": [{"host": "github.test", "owner": "acme", "token": SECRET}]},
    ),
    "gitlab": Place(
        keeping=gitlab,
        writer=GitLabStatuses,
        where=("gitlab.test", "acme/shop/cart"),
        right="writing needs a token with the scope api",
        not_there=("acme", "acme/", "acme/../cart", "a//b", "a/b\nc", "x/" + "y" * 2_000),
        refusal="not a GitLab project",
    ),
    "azure_devops": Place(
        keeping=azure_devops,
        writer=AzureStatuses,
        where=("ado.test", f"tfs/{azure_devops.REPOSITORY}"),
        right=r"statuses need a token with the scope Code \(status\)",
        not_there=("acme", "acme/shop", "acme/../cart", "a/b\nc/d", "a/b/" + "y" * 2_000),
        refusal="is no repository of Azure DevOps",
        audited="commit status succeeded fluxtrail/prod",
    ),
    "gitea": Place(
        keeping=gitea,
        writer=GiteaStatuses,
        where=("git.test", gitea.REPOSITORY),
        right="statuses need a token with the scope write:repository",
        not_there=_TWO_NAMES,
        refusal="not a repository such as",
    ),
    "bitbucket_cloud": Place(
        keeping=bitbucket,
        writer=BitbucketCloudStatuses,
        where=("bit.test", "acme/shop"),
        right=_BITBUCKET_RIGHT,
        not_there=_TWO_NAMES,
        refusal="not a repository such as",
        audited="build status SUCCESSFUL fluxtrail/prod",
    ),
    "bitbucket_server": Place(
        keeping=bitbucket,
        writer=BitbucketServerStatuses,
        where=("bit.test", "scm/ACME/shop"),
        right=_BITBUCKET_RIGHT,
        not_there=_TWO_NAMES,
        refusal="not a repository such as",
        audited="build status SUCCESSFUL fluxtrail/prod",
        root="/rest",
    ),
}
