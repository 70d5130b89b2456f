"""The section `deployment_records`, and what stays of deployment-tracker's environment."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.records import DeploymentRecordsSetting, destinations
from fluxtrail.runtime.settings.settings import Settings, load_settings
from fluxtrail.runtime.settings.tracker import TRACKER_NAMES, read_credentials, tell_of_tracker

TRACKER = {"GITHUB_ORG": "acme", "LOGICAL_ENVIRONMENT": "production", "CLUSTER": "prod-eu"}
ON: dict[str, Any] = {"deployment_records.enabled": True}
ON_BY_NO_FLAG: dict[str, Any] = {}
SECRET = "hunter2-hunter2-hunter2"

REPLACED: list[tuple[str, str, str, Any]] = [
    ("GITHUB_ORG", "my_org-1", "organization", "my_org-1"),
    ("LOGICAL_ENVIRONMENT", "staging", "logical_environment", "staging"),
    ("PHYSICAL_ENVIRONMENT", "iad", "physical_environment", "iad"),
    ("CLUSTER", "test-cluster", "cluster", "test-cluster"),
    ("BASE_URL", "ghe.example.com/api/v3/", "api_url", "https://ghe.example.com/api/v3"),
    ("DN_TEMPLATE", "{{namespace}}-{{deploymentName}}", "name_template", "{{namespace}}-{{deploymentName}}"),
    ("BULK_CLUSTER_SYNC", "True", "bulk", True),
    ("BULK_CLUSTER_SYNC", "1", "bulk", False),
    ("BULK_CLUSTER_SYNC", "false", "bulk", False),
]


def load(
    environ: dict[str, str] | None = None, *, text: str = "", folder: Path | None = None, **flags: Any
) -> Settings:
    path = None
    if folder is not None:
        path = folder / "fluxtrail.yaml"
        path.write_text(text)
    return load_settings(path=path, flags=flags, environ=TRACKER if environ is None else environ)


def refusal(environ: dict[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ, **flags)
    return str(caught.value)


def one(field: str, value: Any) -> dict[str, Any]:
    """A flag of this section."""
    return {f"deployment_records.{field}": value}


def section(**known: Any) -> DeploymentRecordsSetting:
    base = {"enabled": True, "organization": "acme", "logical_environment": "production"}
    return DeploymentRecordsSetting.model_validate(base | known)


# -- deployment-tracker's environment -----------------------------------------------------------------------------


def test_every_variable_is_in_the_table_of_this_test() -> None:
    assert {name for name, *_ in REPLACED} | {"ORG"} == set(TRACKER_NAMES)


@pytest.mark.parametrize(("name", "text", "field", "value"), REPLACED, ids=[f"{row[0]}={row[1]}" for row in REPLACED])
def test_variable_of_the_tracker_sets_its_setting(name: str, text: str, field: str, value: Any) -> None:
    found = load({**TRACKER, name: text}, **ON).deployment_records
    assert getattr(found, field) == value


def test_the_trackers_defaults_are_ours() -> None:
    found = load(**ON).deployment_records
    assert (found.api_url, found.bulk, found.workers) == ("https://api.github.com", True, 2)
    assert found.name_template == "{{namespace}}/{{deploymentName}}/{{containerName}}"
    assert (found.physical_environment, found.namespaces, found.exclude_namespaces) == ("", (), ())


def test_the_readmes_name_of_the_organisation_is_taken() -> None:
    environ = {"ORG": "acme", "LOGICAL_ENVIRONMENT": "p", "CLUSTER": "c"}
    assert load(environ, **ON).deployment_records.organization == "acme"
    assert load({**environ, "GITHUB_ORG": "acme"}, **ON).deployment_records.organization == "acme"


def test_two_names_with_different_values_are_refused() -> None:
    said = refusal({**TRACKER, "ORG": "other"}, **ON)
    assert said.startswith("GITHUB_ORG, ORG:")


def test_its_variables_do_not_count_where_records_are_off() -> None:
    stray = {**TRACKER, "ORG": "other", "BASE_URL": "http://example.com", "DN_TEMPLATE": "none", "CLUSTER": "x" * 500}
    found = load(stray).deployment_records
    assert found == DeploymentRecordsSetting()


@pytest.mark.parametrize("place", ["flag", "variable", "json", "file"])
def test_every_place_of_the_switch_makes_them_count(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "variable":
        monkeypatch.setenv("FLUXTRAIL_DEPLOYMENT_RECORDS__ENABLED", "true")
        monkeypatch.setenv("FLUXTRAIL_DEPLOYMENT_RECORDS__EXCLUDE_NAMESPACES", "a, b,a,")
    elif place == "json":
        monkeypatch.setenv("FLUXTRAIL_DEPLOYMENT_RECORDS", '{"enabled": true, "namespaces": ["a"]}')
    text = "deployment_records: {enabled: true}" if place == "file" else ""
    found = load(text=text, folder=tmp_path, **(ON if place == "flag" else ON_BY_NO_FLAG)).deployment_records
    assert (found.enabled, found.organization) == (True, "acme")
    if place == "variable":
        assert found.exclude_namespaces == ("a", "b")


def test_a_flag_turns_them_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXTRAIL_DEPLOYMENT_RECORDS__ENABLED", "true")
    found = load({**TRACKER, "ORG": "other"}, **one("enabled", False))
    assert not found.deployment_records.enabled


def test_own_name_wins_over_the_trackers_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "deployment_records: {enabled: true, organization: file, cluster: file, physical_environment: file}"
    monkeypatch.setenv("FLUXTRAIL_DEPLOYMENT_RECORDS__CLUSTER", "own")
    found = load(text=text, folder=tmp_path).deployment_records
    assert (found.organization, found.cluster, found.physical_environment) == ("acme", "own", "file")


@pytest.mark.parametrize(("level", "shown"), [("loud", "INFO"), ("warn", "WARNING"), ("", "INFO")])
def test_unknown_log_level_is_info_with_a_warning_as_it_was(level: str, shown: str) -> None:
    environ = {**TRACKER, "LOG_LEVEL": level}
    settings = load(environ, **ON)
    assert settings.log_level == shown
    with capture_logs() as lines:
        tell_of_tracker(settings.deployment_records, environ, log_level=settings.log_level)
    assert [line["given"] for line in lines] == (["loud"] if level == "loud" else [])


def test_unknown_log_level_is_refused_without_records() -> None:
    assert "loud" in refusal({**TRACKER, "LOG_LEVEL": "loud"})


def test_one_line_hints_at_the_flag() -> None:
    with capture_logs() as lines:
        tell_of_tracker(load().deployment_records, TRACKER, log_level="INFO")
        tell_of_tracker(load(**ON).deployment_records, TRACKER, log_level="INFO")
        tell_of_tracker(load({}).deployment_records, {"CLUSTER": "c"}, log_level="INFO")
    (line,) = lines
    assert "--deployment-records" in line["remedy"]


# -- what is refused at the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GITHUB_ORG": "a", "CLUSTER": "c"}, "Logical environment is required"),
        ({"LOGICAL_ENVIRONMENT": "p", "CLUSTER": "c"}, "Organization is required"),
        ({**TRACKER, "DN_TEMPLATE": "static-deployment-name"}, "Template must contain at least one placeholder"),
        ({**TRACKER, "DN_TEMPLATE": "{{ namespace }}"}, "Template must contain at least one placeholder"),
        ({**TRACKER, "GITHUB_ORG": "my org"}, "invalid organization name"),
        ({**TRACKER, "GITHUB_ORG": "my-org/../other"}, "invalid organization name"),
        ({**TRACKER, "GITHUB_ORG": "has.dot"}, "invalid organization name"),
        ({**TRACKER, "BASE_URL": "http://example.com"}, "insecure URL not allowed"),
        ({**TRACKER, "BASE_URL": "http://localhost.evil.example"}, "insecure URL not allowed"),
        ({**TRACKER, "BASE_URL": "http://x.svc.cluster.local.evil.example"}, "insecure URL not allowed"),
        ({**TRACKER, "LOGICAL_ENVIRONMENT": "x" * 129}, "deployment_records.logical_environment"),
        ({**TRACKER, "PHYSICAL_ENVIRONMENT": "x" * 129}, "deployment_records.physical_environment"),
        ({**TRACKER, "CLUSTER": "x" * 129}, "deployment_records.cluster"),
    ],
)
def test_what_the_tracker_refused_is_refused_in_its_words(environ: dict[str, str], said: str) -> None:
    assert said in refusal(environ, **ON)


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1:9", "http://x.y.svc.cluster.local:8080"])
def test_plain_http_is_for_this_machine_and_cluster(url: str) -> None:
    assert load({**TRACKER, "BASE_URL": url}, **ON).deployment_records.api_url == url


def test_the_trackers_name_is_in_what_is_said_of_its_value() -> None:
    said = refusal({**TRACKER, "DN_TEMPLATE": "static"}, **ON)
    assert said.startswith("setting deployment_records.name_template (DN_TEMPLATE): Template must contain")


def test_flags_of_both_namespaces_exclude_each_other() -> None:
    both: dict[str, Any] = {"deployment_records.namespaces": "a", "deployment_records.exclude_namespaces": "b"}
    assert "Cannot set both -namespace and -exclude-namespaces" in refusal(**ON, **both)


@pytest.mark.parametrize("count", [0, -1, 101])
def test_worker_count_has_limits(count: int) -> None:
    said = refusal(**ON, **one("workers", count))
    assert "Invalid worker count, must be between 1 and 100" in said
    assert str(count) in said


@pytest.mark.parametrize(
    ("field", "value"),
    [("namespaces", "Apps"), ("exclude_namespaces", "a,b c"), ("metrics_port", "99999"), ("metrics_port", "http")],
)
def test_wrong_names_and_ports_are_refused(field: str, value: str) -> None:
    assert f"deployment_records.{field}" in refusal(**ON, **one(field, value))


# -- where records go ---------------------------------------------------------------------------------------------


def test_each_cluster_is_told_under_its_own_name() -> None:
    found = destinations(section(physical_environment="dc1"), ["prod-eu", "prod-us"])
    assert {name: item.text for name, item in found.items()} == {
        "prod-eu": "acme/production/dc1/prod-eu",
        "prod-us": "acme/production/dc1/prod-us",
    }


def test_environments_state_what_is_a_clusters_own() -> None:
    setting = section(
        physical_environment="dc1",
        environments={
            "dev": {"logical_environment": "development", "cluster": "kind", "physical_environment": ""},
            "prod-us": {"physical_environment": "dc2"},
        },
    )
    found = destinations(setting, ["prod-eu", "prod-us", "dev"])
    assert [item.text for item in found.values()] == [
        "acme/production/dc1/prod-eu",
        "acme/production/dc2/prod-us",
        "acme/development//kind",
    ]


@pytest.mark.parametrize(
    ("known", "clusters", "said"),
    [
        ({}, ["in-cluster"], "Cluster is required"),
        ({"cluster": "one"}, ["prod-eu", "prod-us"], "overwrite each other's records"),
        ({"environments": {"prod-ue": {}}}, ["prod-eu"], "no followed cluster is named 'prod-ue'"),
        ({"logical_environment": "", "environments": {"a": {"logical_environment": "x"}}}, ["a", "b"],
         "environments.b.logical_environment"),
        ({}, ["x" * 129], "1 to 128 characters"),
        ({"cluster": ".."}, ["a"], "'..' cannot be a cluster's name"),
    ],
)  # fmt: skip
def test_destinations_that_cannot_be_are_refused(known: dict[str, Any], clusters: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        destinations(section(**known), clusters)
    assert said in str(caught.value)


def test_blanks_around_a_name_are_none_of_it() -> None:
    found = destinations(section(logical_environment=" production\n", cluster="prod-eu\n"), ["a"])
    assert found["a"].text == "acme/production//prod-eu"
    with pytest.raises(ConfigError, match="Logical environment is required"):
        destinations(section(logical_environment="  "), ["a"])


def test_the_pods_own_cluster_is_told_under_the_stated_name() -> None:
    assert destinations(section(cluster="prod-eu"), ["in-cluster"])["in-cluster"].cluster == "prod-eu"


# -- credentials --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def key_file(tmp_path: Path, pem: str) -> Path:
    path = tmp_path / "app.pem"
    path.write_text(pem)
    return path


def test_a_token_is_taken() -> None:
    found = read_credentials(section(), {"API_TOKEN": f" {SECRET}\n"})
    assert (found.token, found.app) == (SECRET, None)
    assert SECRET not in repr(found)


@pytest.mark.parametrize("name", ["GH_APP_PRIV_KEY_PATH", "GH_APP_PRIV_KEY"])
def test_an_app_is_taken_by_the_path_of_its_key(name: str, key_file: Path) -> None:
    environ = {"GH_APP_ID": "123", "GH_INSTALL_ID": "456", name: str(key_file), "API_TOKEN": SECRET}
    found = read_credentials(section(), environ)
    assert found.app is not None
    assert (found.app.app_id, found.app.installation_id, found.app.key.file) == ("123", 456, key_file)


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_app_is_taken_by_its_key_in_base64(pem: str, wrapped: bool) -> None:
    text = encoded(pem)
    if wrapped:
        text = "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n"
    found = read_credentials(section(), {"GH_APP_ID": "123", "GH_APP_PRIVATE_KEY": text})
    assert found.app is not None
    assert found.app.installation_id is None
    assert found.app.key.read() == pem.strip()
    assert "PRIVATE KEY-" not in repr(found)


def test_an_app_in_part_is_left_out_where_there_is_a_token(key_file: Path) -> None:
    with capture_logs() as lines:
        found = read_credentials(section(), {"GH_APP_PRIV_KEY": str(key_file), "API_TOKEN": SECRET})
    assert (found.app, found.token) == (None, SECRET)
    assert [line["missing"] for line in lines] == ["GH_APP_ID"]


def test_own_token_file_wins_over_the_trackers_credentials(key_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "token"
    environ = {"GH_APP_ID": "1", "GH_APP_PRIV_KEY": str(key_file), "API_TOKEN": SECRET}
    found = read_credentials(section(token_file=file), environ)
    assert (found.token_file, found.app, found.token) == (file, None, "")


@pytest.mark.parametrize(
    ("environ", "subject"),
    [
        ({"GH_APP_PRIVATE_KEY": f"{SECRET}%%", "GH_APP_ID": "1"}, "GH_APP_PRIVATE_KEY"),
        ({"GH_APP_PRIVATE_KEY": encoded(SECRET), "GH_APP_ID": "1"}, "GH_APP_PRIVATE_KEY"),
        ({"GH_APP_PRIVATE_KEY": encoded(f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}"), "GH_APP_ID": "1"},
         "GH_APP_PRIVATE_KEY"),
        ({"GH_APP_PRIV_KEY": f"/absent/{SECRET}", "GH_APP_ID": "1"}, "GH_APP_PRIV_KEY"),
        ({"GH_APP_PRIV_KEY_PATH": "KEY", "GH_APP_ID": SECRET}, "GH_APP_ID"),
        ({"GH_APP_PRIV_KEY_PATH": "KEY", "GH_APP_ID": "1", "GH_INSTALL_ID": "x"}, "GH_INSTALL_ID"),
        ({"GH_APP_PRIV_KEY_PATH": "KEY"}, "GH_APP_ID"),
        ({"GH_APP_ID": "1", "GH_INSTALL_ID": "2"}, "GH_APP_PRIVATE_KEY"),
        ({"GH_APP_PRIV_KEY_PATH": "KEY", "GH_APP_PRIV_KEY": "/other", "GH_APP_ID": "1"},
         "GH_APP_PRIV_KEY_PATH, GH_APP_PRIV_KEY"),
        ({"GH_APP_PRIV_KEY_PATH": "KEY", "GH_APP_PRIVATE_KEY": SECRET, "GH_APP_ID": "1"},
         "GH_APP_PRIVATE_KEY, GH_APP_PRIV_KEY_PATH"),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be_used_name_their_variable(
    environ: dict[str, str], subject: str, key_file: Path
) -> None:
    environ = {name: str(key_file) if value == "KEY" else value for name, value in environ.items()}
    with pytest.raises(ConfigError) as caught:
        read_credentials(section(), environ)
    assert caught.value.subject == subject
    if subject != "GH_APP_ID":
        assert SECRET not in str(caught.value)


def test_both_keys_are_refused_in_the_trackers_words(key_file: Path) -> None:
    environ = {"GH_APP_ID": "1", "GH_APP_PRIV_KEY_PATH": str(key_file), "GH_APP_PRIVATE_KEY": "eA=="}
    with pytest.raises(ConfigError, match="Both GH_APP_PRIVATE_KEY and GH_APP_PRIV_KEY_PATH are set"):
        read_credentials(section(), environ)
