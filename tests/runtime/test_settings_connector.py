"""gitops-connector's variables and its folder of subscribers: what they are here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from fluxtrail.cli.main import cli
from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.templates import Text
from fluxtrail.runtime.settings.connector import CONNECTOR_NAMES, OWN_TOKENS, tell_of_connector
from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.runtime.settings.subscribers import MOST_SUBSCRIBERS, read_folder
from fluxtrail.runtime.settings.templates import template_values

TOKEN = "hunter2-hunter2-hunter2"
PAGE = "https://ops.example.com/gitops?x={{y}}"
GITHUB = {
    "GITOPS_APP_URL": PAGE,
    "PAT": TOKEN,
    "GIT_REPOSITORY_TYPE": "GITHUB",
    "CICD_ORCHESTRATOR_TYPE": "GITHUB",
    "GITHUB_ORG_URL": "https://api.github.com/repos/Acme",
    "GITHUB_GITOPS_MANIFEST_REPO_NAME": "manifests",
    "GITHUB_GITOPS_REPO_NAME": "shop",
}
AZURE = {
    "GITOPS_APP_URL": "https://ops.example.com",
    "PAT": TOKEN,
    "AZDO_ORG_URL": "https://dev.azure.com/Acme/Shop",
    "AZDO_GITOPS_REPO_NAME": "manifests",
}


def load(environ: dict[str, str], folder: Path, text: str = "") -> Settings:
    path = folder / "fluxtrail.yaml"
    path.write_text(f"gitops_connector: {{subscribers: {folder / 'subscribers'}}}\n{text}", encoding="utf-8")
    return load_settings(path=path, flags={}, environ=environ)


def refusal(environ: dict[str, str], folder: Path, text: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ, folder, text)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


def shown(settings: Settings) -> list[tuple[str, str, tuple[str, ...], str | None]]:
    return [(route.name, route.to.value, route.repositories, route.repository) for route in settings.routes]


def test_without_its_switch_nothing_of_it_counts(tmp_path: Path) -> None:
    environ = {name: "nonsense" for name in CONNECTOR_NAMES if name != "GITOPS_APP_URL"}
    found = load(environ, tmp_path)
    assert (found.routes, found.credentials, found.forges, found.hooks.listen) == ((), (), (), "")


def test_github_on_both_sides(tmp_path: Path) -> None:
    found = load(GITHUB, tmp_path)
    manifests = ("github.com/acme/manifests",)
    assert shown(found) == [
        ("gitops-connector", "github_status", manifests, None),
        ("gitops-connector-dispatch", "github_dispatch", manifests, "github.com/acme/shop"),
    ]
    assert found.routes[1].event_type == "sync-success"
    assert found.credentials == ({"host": "github.com", "owner": "acme", "token": TOKEN},)
    assert (found.forges, found.hooks.listen) == ((), ":9292")
    assert (found.gitops_connector.app_url, found.public_url) == (PAGE, "")


def test_a_status_links_to_the_stated_page_as_it_stands(tmp_path: Path) -> None:
    url = load(GITHUB, tmp_path).routes[0].url
    assert url is not None
    assert Text(url, example=template_values(), subject="url").fill(template_values()) == PAGE


def test_azure_devops_on_both_sides_is_the_default(tmp_path: Path) -> None:
    found = load(AZURE, tmp_path)
    manifests = "dev.azure.com/acme/shop/manifests"
    assert shown(found) == [
        ("gitops-connector", "azure_devops_status", (manifests,), None),
        ("gitops-connector-task", "azure_devops_task", (manifests,), manifests),
    ]
    assert found.credentials == ({"host": "dev.azure.com", "owner": "acme/shop", "token": TOKEN},)
    task = found.routes[1]
    assert (task.interval_seconds, task.abandoned_hours) == (30.0, 72.0)


def test_pull_requests_may_be_in_another_repository(tmp_path: Path) -> None:
    found = load({**AZURE, "AZDO_PR_REPO_NAME": "deployments"}, tmp_path)
    assert found.routes[1].repository == "dev.azure.com/acme/shop/deployments"


def test_manifests_on_github_and_pipelines_on_azure_devops_work_together(tmp_path: Path) -> None:
    environ = {**AZURE, **GITHUB, "CICD_ORCHESTRATOR_TYPE": "AZDO", "AZDO_PR_REPO_NAME": "deployments"}
    found = load(environ, tmp_path)
    assert shown(found) == [
        ("gitops-connector", "github_status", ("github.com/acme/manifests",), None),
        (
            "gitops-connector-task",
            "azure_devops_task",
            ("github.com/acme/manifests",),
            "dev.azure.com/acme/shop/deployments",
        ),
    ]
    assert [entry["host"] for entry in found.credentials] == ["github.com", "dev.azure.com"]


def test_each_side_may_have_its_own_token(tmp_path: Path) -> None:
    environ = {**AZURE, **GITHUB, "CICD_ORCHESTRATOR_TYPE": "AZDO", "AZDO_PAT": "of-azure", "GITHUB_PAT": "of-github"}
    del environ["PAT"]
    tokens = {entry["host"]: entry["token"] for entry in load(environ, tmp_path).credentials}
    assert tokens == {"github.com": "of-github", "dev.azure.com": "of-azure"}
    assert set(OWN_TOKENS.values()) == {"AZDO_PAT", "GITHUB_PAT"}


def test_a_host_with_a_credential_needs_no_token(tmp_path: Path) -> None:
    environ = {**GITHUB, "PAT": ""}
    assert "PAT: is missing or empty: set it, or GITHUB_PAT for github.com alone" in refusal(environ, tmp_path)
    stated = "credentials: [{host: github.com, token_file: /etc/token}]"
    assert load(environ, tmp_path, stated).credentials == ({"host": "github.com", "token_file": "/etc/token"},)


@pytest.mark.parametrize(
    ("environ", "forge", "repository"),
    [
        (
            {**GITHUB, "GITHUB_ORG_URL": "https://git.example.com/api/v3/repos/Acme/"},
            ("git.example.com", "github", "https://git.example.com/api/v3"),
            "git.example.com/Acme/manifests",
        ),
        (
            {**AZURE, "AZDO_ORG_URL": "https://tfs.example.com:8443/tfs/Acme/My%20Shop"},
            ("tfs.example.com:8443", "azure_devops", "https://tfs.example.com:8443/tfs"),
            "tfs.example.com/tfs/Acme/My Shop/_git/manifests",
        ),
    ],
    ids=["enterprise-server", "azure-server"],
)
def test_a_forge_of_ones_own_becomes_known(
    environ: dict[str, str], forge: tuple[str, ...], repository: str, tmp_path: Path
) -> None:
    found = load(environ, tmp_path)
    assert [(item.host, item.kind, item.api_url) for item in found.forges] == [forge]
    assert found.routes[0].repositories == (repository,)
    assert found.credentials[0]["host"] == forge[0]


def test_the_old_name_of_azure_devops_is_the_same_place(tmp_path: Path) -> None:
    found = load({**AZURE, "AZDO_ORG_URL": "https://acme.visualstudio.com/Shop"}, tmp_path)
    assert found.routes[0].repositories == ("dev.azure.com/acme/shop/manifests",)
    assert (found.forges, found.credentials[0]["owner"]) == ((), "acme/shop")


REQUIRED = [(GITHUB, name) for name in GITHUB if not name.endswith("_TYPE") and name != "GITOPS_APP_URL"] + [
    (AZURE, name) for name in AZURE if name != "GITOPS_APP_URL"
]


@pytest.mark.parametrize("value", ["", " ", None], ids=["empty", "blank", "missing"])
@pytest.mark.parametrize(("environ", "name"), REQUIRED, ids=[f"{row[0] is GITHUB}-{row[1]}" for row in REQUIRED])
def test_what_is_required_is_asked_for_by_name(
    environ: dict[str, str], name: str, value: str | None, tmp_path: Path
) -> None:
    rest = {key: text for key, text in environ.items() if key != name}
    said = refusal(rest if value is None else {**rest, name: value}, tmp_path)
    assert said.startswith(f"{name}: is ")


def test_an_empty_switch_is_asked_for(tmp_path: Path) -> None:
    assert refusal({**GITHUB, "GITOPS_APP_URL": ""}, tmp_path).startswith("GITOPS_APP_URL: is empty")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GITOPS_OPERATOR_TYPE", "FLEET", "'FLEET' is not known; write FLUX or ARGOCD"),
        ("GIT_REPOSITORY_TYPE", "", "is empty; write AZDO or GITHUB"),
        ("CICD_ORCHESTRATOR_TYPE", "github", "'github' is not known; write AZDO or GITHUB"),
        ("GITHUB_ORG_URL", "https://github.com/acme", "is no organisation of a GitHub; write https://api.github.com"),
        ("GITHUB_ORG_URL", f"https://x:{TOKEN}@api.github.com/acme", "'https://api.github.com/acme' is no organ"),
        ("GITHUB_GITOPS_REPO_NAME", "acme/shop", "'acme/shop' is no name of a repository; write the bare name"),
        ("PREDICTIVE_UNIT_SERVICE_PORT", "http", "'http' is no port; write one such as 8080"),
        ("PREDICTIVE_UNIT_SERVICE_PORT", "99999999", "'99999999' is no port"),
        ("GITOPS_APP_URL", "ops.example.com", "'ops.example.com' is no URL; write https://host/path"),
    ],
)
def test_an_unknown_value_is_refused_by_name(name: str, value: str, said: str, tmp_path: Path) -> None:
    message = refusal({**GITHUB, name: value}, tmp_path)
    assert message.startswith(f"{name}: ")
    assert said in message


@pytest.mark.parametrize("url", ["https://dev.azure.com/acme", "https://tfs.example.com/tfs", "dev.azure.com/a/b"])
def test_an_organisation_without_a_project_is_refused(url: str, tmp_path: Path) -> None:
    assert "AZDO_ORG_URL: " in refusal({**AZURE, "AZDO_ORG_URL": url}, tmp_path)


def test_the_connectors_port_is_where_hooks_are_taken(tmp_path: Path) -> None:
    environ = {**GITHUB, "PREDICTIVE_UNIT_SERVICE_PORT": "8080"}
    assert load(environ, tmp_path).hooks.listen == ":8080"
    assert load(environ, tmp_path, "hooks: {listen: '127.0.0.1:9000'}").hooks.listen == "127.0.0.1:9000"


def test_an_own_route_of_the_same_name_takes_its_place(tmp_path: Path) -> None:
    stated = "routes: [{name: gitops-connector, to: github_status, context: mine}]"
    found = load(GITHUB, tmp_path, stated)
    assert [(route.name, route.context) for route in found.routes] == [
        ("gitops-connector", "mine"),
        ("gitops-connector-dispatch", None),
    ]


@pytest.mark.parametrize(
    "stated",
    [
        "routes: [{name: mine, to: github_status}]",
        "routes: [{name: mine, to: github_status, repositories: ['github.com/acme/*'], commits: manifests}]",
    ],
)
def test_an_own_route_that_would_write_the_same_statuses_is_refused_by_name(stated: str, tmp_path: Path) -> None:
    said = refusal(GITHUB, tmp_path, stated)
    assert "setting routes" in said
    assert "'mine' and 'gitops-connector' would overwrite each other's statuses" in said
    assert "GITOPS_APP_URL" in said


@pytest.mark.parametrize(
    "stated",
    [
        "routes: [{name: mine, to: github_status, context: 'mine/{{ environment }}'}]",
        "routes: [{name: mine, to: github_status, repositories: [github.com/acme/other]}]",
        "routes: [{name: mine, to: github_deployment}]",
    ],
)
def test_own_routes_beside_the_connectors_are_welcome(stated: str, tmp_path: Path) -> None:
    found = load(GITHUB, tmp_path, stated)
    assert [route.name for route in found.routes] == ["mine", "gitops-connector", "gitops-connector-dispatch"]


def subscribers(folder: Path, **files: str) -> None:
    """A mounted ConfigMap: the files are links into a hidden folder, which is swapped when it changes."""
    mounted = folder / "subscribers"
    data = mounted / "..2026_01_01"
    data.mkdir(parents=True)
    (mounted / "..data").symlink_to(data.name)
    for name, text in files.items():
        (data / name).write_text(text, encoding="utf-8")
        (mounted / name).symlink_to(Path("..data") / name)
    (mounted / "folder").mkdir()


def test_each_file_of_the_folder_is_a_subscriber(tmp_path: Path) -> None:
    subscribers(tmp_path, Audit_Log="https://a.example.com/x?key=1\nignored", task=" http://b.tools:8080 \r\n")
    found = load(GITHUB, tmp_path).routes[2:]
    addresses = [route.address.get_secret_value() for route in found if route.address is not None]
    assert [route.name for route in found] == ["gitops-connector-audit-log", "gitops-connector-task-1"]
    assert addresses == ["https://a.example.com/x?key=1", "http://b.tools:8080"]
    assert {route.to for route in found} == {RouteKind.SUBSCRIBER}
    assert {route.source for route in found} == {"state"}


@pytest.mark.parametrize(
    ("settings", "operator", "source"),
    [
        ("hooks: {senders: [{name: f, secret_file: /x, hooks: [flux]}]}", "FLUX", "state"),
        ("hooks: {senders: [{name: f, secret_file: /x, hooks: [gitopsphase]}]}", "FLUX", "phases"),
        ("hooks: {senders: [{name: f, secret_file: /x}]}", "FLUX", "phases"),
        ("", "ARGOCD", "phases"),
    ],
)
def test_subscribers_are_told_steps_where_somebody_signs_them(
    settings: str, operator: str, source: str, tmp_path: Path
) -> None:
    subscribers(tmp_path, one="https://a.example.com")
    found: Any = load({**GITHUB, "GITOPS_OPERATOR_TYPE": operator}, tmp_path, settings)
    assert found.routes[2].source == source


def test_two_files_that_read_alike_have_two_names(tmp_path: Path) -> None:
    subscribers(
        tmp_path, **{"a.b": "https://a.example.com", "a_b": "https://b.example.com", "_": "https://c.example.com"}
    )
    names = [route.name for route in load(GITHUB, tmp_path).routes[2:]]
    assert sorted(names) == ["gitops-connector-a-b", "gitops-connector-a-b-2", "gitops-connector-subscriber"]


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", f"not-a-url-{TOKEN}", "ftp://a.example.com", "a.example.com/hook", "https:///hook",
        "https://a.example.com:99999/", "https://[a/hook", "https://a.example.com/two words",
    ],
)  # fmt: skip
def test_a_file_that_is_no_subscriber_is_named_and_keeps_nothing_from_the_others(text: str, tmp_path: Path) -> None:
    subscribers(tmp_path, audit=text, board="https://b.example.com")
    assert [route.name for route in load(GITHUB, tmp_path).routes[2:]] == ["gitops-connector-board"]
    with capture_logs() as logs:
        tell_of_connector(tmp_path / "subscribers", GITHUB)
        tell_of_connector(tmp_path / "subscribers", {})
    (said,) = logs
    assert said["event"] == "subscriber_left_out"
    assert said["file"] == f"{tmp_path}/subscribers/audit"
    assert said["problem"].startswith("the first line is no URL")
    assert TOKEN not in str(logs)


def test_names_are_those_of_a_config_map(tmp_path: Path) -> None:
    subscribers(tmp_path, **{"two words": "https://a.example.com", "-a.b_c": "https://b.example.com"})
    found = read_folder(tmp_path / "subscribers")
    assert [subscriber.name for subscriber in found.subscribers] == ["-a.b_c"]
    assert [(file.name, "rename it" in file.problem) for file in found.left_out] == [("two words", True)]


def test_there_are_only_so_many_subscribers(tmp_path: Path) -> None:
    subscribers(tmp_path, **{f"s{number:03}": "https://a.example.com" for number in range(MOST_SUBSCRIBERS + 2)})
    found = read_folder(tmp_path / "subscribers")
    assert len(found.subscribers) == MOST_SUBSCRIBERS
    assert [file.name for file in found.left_out] == ["s050", "s051"]


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "subscribers").write_text("a file in its place")
    assert refusal(GITHUB, tmp_path).startswith(f"{tmp_path}/subscribers: cannot be read")


def test_a_missing_variable_ends_run_with_code_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {name: None for name in os.environ if name.startswith("FLUXTRAIL")} | {**GITHUB, "PAT": ""}
    done = CliRunner().invoke(cli, ["run"], env=environ)
    assert (done.exit_code, "Error: PAT: is missing or empty" in done.stderr) == (2, True)
