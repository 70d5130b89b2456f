"""`fluxtrail run` takes deployment-tracker's flags, with one dash and two."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from fluxtrail.cli import run as command
from fluxtrail.runtime.settings.settings import Settings

TRACKER = {"GITHUB_ORG": "acme", "LOGICAL_ENVIRONMENT": "production", "CLUSTER": "prod-eu"}


class Outcome:
    def __init__(self, result: Result, settings: Settings | None) -> None:
        self.code, self.err = result.exit_code, result.stderr
        self._settings = settings

    @property
    def settings(self) -> Settings:
        assert self._settings is not None, self.err
        return self._settings


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command up to where it would begin to serve."""

    def run(*arguments: str, **environ: str) -> Outcome:
        taken: list[Settings] = []
        monkeypatch.setattr(command, "_run", taken.append)
        result = CliRunner().invoke(command.run, arguments, env={**TRACKER, **environ})
        return Outcome(result, taken[0] if taken else None)

    return run


@pytest.mark.parametrize(
    ("flag", "text", "field", "value"),
    [
        ("-namespace", "apps", "namespaces", ("apps",)),
        ("-namespace", "", "namespaces", ()),
        ("-exclude-namespaces", "a, b,,a", "exclude_namespaces", ("a", "b")),
        ("--exclude-namespaces", "a", "exclude_namespaces", ("a",)),
        ("-workers", "7", "workers", 7),
        ("--workers", "100", "workers", 100),
        ("-metrics-port", "9090", "metrics_port", "9090"),
        ("--metrics-port", "9091", "metrics_port", "9091"),
    ],
)
def test_flags_of_the_tracker_are_taken(flag: str, text: str, field: str, value: Any, call: Any) -> None:
    for arguments in ((flag, text), (f"{flag}={text}",)):
        found = call("--deployment-records", *arguments).settings
        assert getattr(found.deployment_records, field) == value
        assert found.namespaces == ()


@pytest.mark.parametrize("arguments", [("-kubeconfig", "a:b"), ("-kubeconfig=a:b",), ("--kubeconfig", "a:b")])
def test_kubeconfig_has_one_dash_or_two(arguments: tuple[str, ...], call: Any) -> None:
    assert call(*arguments).settings.kubeconfig == "a:b"


def test_namespace_with_one_dash_leaves_the_other_two_alone(call: Any) -> None:
    found = call("--deployment-records", "-namespace", "r", "-n", "a", "-nb", "--namespace=c").settings
    assert (found.namespaces, found.deployment_records.namespaces) == (("a", "b", "c"), ("r",))


def test_the_chart_s_command_line_is_taken_as_it_stands(call: Any) -> None:
    environ = {
        "BASE_URL": "api.github.com",
        "DN_TEMPLATE": "{{namespace}}/{{deploymentName}}/{{containerName}}",
        "BULK_CLUSTER_SYNC": "true",
        "API_TOKEN": "t",
    }
    found = call("--deployment-records", "-namespace=apps", "-workers=5", "-metrics-port=9095", **environ).settings
    assert found.deployment_records.model_dump(exclude_defaults=True) == {
        "enabled": True, "organization": "acme", "logical_environment": "production", "cluster": "prod-eu",
        "base_url": "api.github.com", "namespaces": ("apps",), "workers": 5, "metrics_port": "9095",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "value"),
    [((), False), (("--deployment-records",), True), (("--deployment-records", "--no-deployment-records"), False)],
)
def test_records_are_off_by_default(arguments: tuple[str, ...], value: bool, call: Any) -> None:
    assert call(*arguments).settings.deployment_records.enabled is value


def test_the_flag_wins_over_the_variable(call: Any) -> None:
    on = {"FLUXTRAIL_DEPLOYMENT_RECORDS__ENABLED": "true", "FLUXTRAIL_DEPLOYMENT_RECORDS__DRY_RUN": "true"}
    assert call(**on).settings.deployment_records.dry_run is True
    assert call("--no-deployment-records", **on).settings.deployment_records.enabled is False


def test_dry_run_is_a_setting(call: Any) -> None:
    assert call("--deployment-records", "--dry-run").settings.deployment_records.dry_run is True
    assert call("--deployment-records").settings.deployment_records.dry_run is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-namespace", "apps"), ["-namespace", "--deployment-records", "--namespace"]),
        (("-exclude-namespaces=a",), ["--exclude-namespaces", "--deployment-records"]),
        (("--dry-run",), ["--dry-run", "--deployment-records"]),
        (("--deployment-records", "-workers", "0"), ["Invalid worker count, must be between 1 and 100", "0"]),
        (("--deployment-records", "-workers", "many"), ["many"]),
        (("--deployment-records", "-namespace", "a", "-exclude-namespaces", "b"),
         ["Cannot set both -namespace and -exclude-namespaces"]),
        (("-names", "a"), ["unexpected extra argument"]),
        (("-namespaces=a",), ["amespaces=a", "-namespace"]),
    ],
)  # fmt: skip
def test_wrong_flags_end_the_command_with_usage_code(arguments: tuple[str, ...], words: list[str], call: Any) -> None:
    outcome = call(*arguments)
    assert outcome.code == 2
    for word in words:
        assert word in outcome.err


def test_what_is_missing_is_said_in_the_trackers_words(call: Any) -> None:
    for name, said in {"GITHUB_ORG": "Organization", "LOGICAL_ENVIRONMENT": "Logical environment"}.items():
        outcome = call("--deployment-records", **{name: ""})
        assert outcome.code == 2
        assert f"{said} is required" in outcome.err
        assert name in outcome.err
