"""Whom the settings let us ask about CI, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.azure_devops.builds import AzureBuilds, AzureProjectBuilds
from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.github.actions import GitHubActions
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.gitlab.client import GitLabClient
from fluxtrail.remotes.gitlab.pipelines import GitLabPipelines
from fluxtrail.runtime.ci import ForgeReaders, to_rule
from fluxtrail.runtime.forges import AzureDevOpsForge, AzureDevOpsHost, ForgeHost, GitHubForge, GitLabForge
from fluxtrail.runtime.settings.ci import CiRepositorySetting, CiSetting
from fluxtrail.runtime.settings.settings import load_settings
from fluxtrail.runtime.stated import names_of
from fluxtrail.trail.ci.roles import CiRule, rule_of
from fluxtrail.trail.ports import Forge

NOBODY = CredentialSource.from_settings([])


class OneForge:
    def __init__(self, forge: Forge | None, host: ForgeHost | None = None) -> None:
        self._forge = forge
        self._host = host

    def find_host(self, name: str) -> ForgeHost | None:
        return self._host if name == "dev.azure.com" else None

    def find(self, canonical: str) -> Forge | None:
        return self._forge


async def test_each_forge_has_its_reader_and_its_own_path() -> None:
    async with aiohttp.ClientSession() as session:
        github = GitHubForge(GitHubClient(session, credentials=NOBODY), "acme", "shop")
        gitlab = GitLabForge(GitLabClient(session, credentials=NOBODY), "acme/web/shop")
        azure_client = AzureDevOpsClient(session, credentials=NOBODY)
        named = AzureRepository(organisation="acme", project="web", name="shop", owner="acme/web")
        azure = AzureDevOpsForge(azure_client, named)
        asked = [ForgeReaders(OneForge(forge)).find("forge.test/acme/shop") for forge in (github, gitlab, azure, None)]
        elsewhere = CiRepositorySetting(repository="github.com/acme/*", azure_pipelines="DEV.azure.com/acme/Store/")
        both = ForgeReaders(OneForge(github, AzureDevOpsHost(azure_client)), [elsewhere])
        found = [(type(place.reader), place.path) for place in both.find("github.com/acme/shop")]
        assert found == [(GitHubActions, "acme/shop"), (AzureProjectBuilds, "acme/Store")]
        assert len(both.find("github.com/other/shop")) == 1
        assert azure_client.repository_of("acme/web/shop") == named
    assert [[(type(place.reader), place.path) for place in places] for places in asked] == [
        [(GitHubActions, "acme/shop")],
        [(GitLabPipelines, "acme/web/shop")],
        [(AzureBuilds, "acme/web/shop")],
        [],
    ]


@pytest.mark.parametrize(
    "name", ["acme", "dev.azure.com/acme", "https://dev.azure.com/acme/x", "a/b/_git/c", "x@y/a/b"]
)
def test_what_is_no_project_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="azure_pipelines"):
        CiRepositorySetting(azure_pipelines=name)


def test_what_a_forge_calls_otherwise_is_known() -> None:
    forge = {"kind": "github", "host": "ghe.test:8443", "owner": "Acme", "repo": "Shop"}
    repository = {"url": "https://git.test/acme/shop.git", "branch": "main", "forge": forge}
    stated = {"repositories": [repository], "forges": [{"host": "ghe.test:8443", "kind": "github"}]}
    settings = load_settings(path=None, flags=stated, environ={})
    assert names_of(settings) == {"ghe.test/acme/shop": "git.test/acme/shop"}
    assert names_of(load_settings(path=None, flags={}, environ={})) == {}


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
