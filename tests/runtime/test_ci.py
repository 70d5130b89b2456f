"""Whom the settings let us ask about CI, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.azure_devops.builds import AzureBuilds
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.github.actions import GitHubActions
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines
from fluxtrail.runtime.ci import ForgeReaders, to_rule
from fluxtrail.runtime.forges import AzureDevOpsForge, GitHubForge, GitLabForge
from fluxtrail.runtime.settings.ci import CiRepositorySetting, CiSetting
from fluxtrail.runtime.settings.settings import load_settings
from fluxtrail.trail.ci.roles import CiRule, rule_of
from fluxtrail.trail.ports import Forge

NOBODY = CredentialSource.from_settings([])


class OneForge:
    def __init__(self, forge: Forge | None) -> None:
        self._forge = forge

    def find(self, canonical: str) -> Forge | None:
        return self._forge


async def test_each_forge_has_its_reader_and_its_own_path() -> None:
    async with aiohttp.ClientSession() as session:
        github = GitHubForge(GitHubClient(session, credentials=NOBODY), "acme", "shop")
        gitlab = GitLabForge(GitLabClient(session, credentials=NOBODY), "acme/web/shop")
        azure_client = AzureDevOpsClient(session, credentials=NOBODY)
        named = AzureRepository(organisation="acme", project="web", name="shop", owner="acme/web")
        azure = AzureDevOpsForge(azure_client, named)
        found = [ForgeReaders(OneForge(forge)).find("forge.test/acme/shop") for forge in (github, gitlab, azure, None)]
        assert azure_client.repository_of("acme/web/shop") == named
    assert [place and (type(place.reader), place.path) for place in found] == [
        (GitHubActions, "acme/shop"),
        (GitLabPipelines, "acme/web/shop"),
        (AzureBuilds, "acme/web/shop"),
        None,
    ]


def test_settings_are_read(tmp_path: Path) -> None:
    assert load_settings(path=None, flags={}, environ={}).ci == CiSetting()
    file = tmp_path / "settings.yaml"
    file.write_text("ci: {poll_seconds: 60, repositories: [{repository: GitHub.com/Acme/*, builds: [image]}]}")
    found = load_settings(path=file, flags={}, environ={}).ci
    assert (found.enabled, found.poll_seconds, found.horizon_hours, found.requests_per_hour) == (True, 60, 24, 2000)
    assert found.repositories == (CiRepositorySetting(repository="github.com/acme/*", builds=("image",)),)


@pytest.mark.parametrize("name", ["https://github.com/acme/shop", "git@github.com:acme/shop", " ", "x" * 201])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises((ConfigError, ValueError), match="repository"):
        CiRepositorySetting(repository=name)


def test_the_first_rule_about_a_repository_counts() -> None:
    rules = [
        to_rule(CiRepositorySetting(repository="github.com/Acme/*", builds=("image",))),
        to_rule(CiRepositorySetting(enabled=False)),
    ]
    assert rule_of(rules, "github.com/acme/shop").builds == ("image",)
    assert not rule_of(rules, "gitlab.com/acme/shop").enabled
    assert rule_of([], "gitlab.com/acme/shop") == CiRule()
