"""`fluxtrail run` as a command: its flags are flux-commit-tracker's, and what it refuses is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fluxtrail.cli import run as command
from fluxtrail.runtime.settings.settings import Settings

TRACKER_FLAGS: list[tuple[str, str, str, Any]] = [
    ("--kube-context", "prod", "kube_contexts", ("prod",)),
    ("--metrics-addr", ":1", "metrics.listen", ":1"),
    ("--health-addr", ":2", "health.listen", ":2"),
    ("--telemetry-mode", "stdout-all", "telemetry.mode", "stdout-all"),
    ("--telemetry-endpoint", "collector:4317", "telemetry.endpoint", "collector:4317"),
    ("--log-level", "Trace", "log_level", "DEBUG"),
]
OWN_FLAGS: list[tuple[str, str, str, Any]] = [
    ("--kubeconfig", "a:b", "kubeconfig", "a:b"),
    ("--namespace", "apps", "namespaces", ("apps",)),
    ("-n", "apps", "namespaces", ("apps",)),
    ("--ledger", "some.sqlite", "ledger.path", Path("some.sqlite")),
    ("--api-addr", "127.0.0.1:1", "api.listen", "127.0.0.1:1"),
]


class Outcome:
    def __init__(self, result: Result, settings: Settings | None) -> None:
        self.code = result.exit_code
        self.err = result.stderr
        self.out = result.stdout
        self._settings = settings

    def read(self, dotted: str) -> Any:
        value: Any = self._settings
        assert value is not None, self.err
        for name in dotted.split("."):
            value = getattr(value, name)
        return value


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command up to where it would begin to serve."""

    def run(*arguments: str, **environ: str) -> Outcome:
        taken: list[Settings] = []
        monkeypatch.setattr(command, "_run", taken.append)
        result = CliRunner().invoke(command.run, arguments, env=environ)
        return Outcome(result, taken[0] if taken else None)

    return run


@pytest.mark.parametrize(("flag", "text", "field", "value"), TRACKER_FLAGS + OWN_FLAGS)
def test_flag_sets_its_setting(flag: str, text: str, field: str, value: Any, call: Any) -> None:
    assert call(flag, text).read(field) == value
    if flag.startswith("--"):
        assert call(f"{flag}={text}").read(field) == value


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ((), True),
        (("--telemetry-insecure",), True),
        (("--telemetry-insecure=true",), True),
        (("--telemetry-insecure=false",), False),
        (("--telemetry-insecure", "--log-level", "info"), True),
    ],
)
def test_insecure_is_the_default_and_is_turned_off_by_false(arguments: tuple[str, ...], value: bool, call: Any) -> None:
    assert call(*arguments).read("telemetry.insecure") is value


def test_flag_wins_over_the_variable_of_the_replaced_tool_and_over_our_own(call: Any) -> None:
    environ = {"METRICS_ADDR": ":1", "FLUXTRAIL_METRICS__LISTEN": ":2", "TELEMETRY_INSECURE": "false"}
    outcome = call("--metrics-addr", ":3", **environ)
    assert outcome.read("metrics.listen") == ":3"
    assert outcome.read("telemetry.insecure") is False


def test_command_of_the_replaced_tool_is_taken_as_it_stands(call: Any) -> None:
    outcome = call(
        "--kube-context=dev", "--metrics-addr=:8888", "--health-addr=:9440", "--telemetry-mode=stdout-logs+otlp",
        "--telemetry-endpoint=alloy:4317", "--telemetry-insecure=false", "--log-level=WARN",
    )  # fmt: skip
    assert outcome.code == 0
    assert outcome.read("kube_contexts") == ("dev",)
    assert outcome.read("telemetry").model_dump() == {
        "mode": "stdout-logs+otlp",
        "endpoint": "alloy:4317",
        "insecure": False,
        "own_logs": False,
    }


def test_repeated_flags_are_several_clusters_and_namespaces(call: Any) -> None:
    outcome = call("--kube-context", "a", "--kube-context", "b", "-n", "x", "-n", "y")
    assert (outcome.read("kube_contexts"), outcome.read("namespaces")) == (("a", "b"), ("x", "y"))


def test_settings_file_is_named_by_flag_or_variable(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "fluxtrail.yaml"
    path.write_text("metrics: {listen: ':7'}")
    assert call("--config", str(path)).read("metrics.listen") == ":7"
    assert call(FLUXTRAIL_CONFIG=str(path)).read("metrics.listen") == ":7"


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (("--log-level", "loud"), {}, ["log_level", "'loud'", "TRACE, DEBUG, INFO, WARN, ERROR"]),
        (("--telemetry-mode", "all"), {}, ["--telemetry-mode", "all", "stdout-logs"]),
        ((), {"TELEMETRY_MODE": "all"}, ["telemetry.mode", "'all'", "stdout-logs"]),
        (("--telemetry-insecure=maybe",), {}, ["--telemetry-insecure", "maybe"]),
        (("--config", "absent.yaml"), {}, ["absent.yaml", "cannot be read"]),
    ],
)
def test_wrong_value_ends_the_command_with_usage_code_and_its_name(
    arguments: tuple[str, ...], environ: dict[str, str], words: list[str], call: Any
) -> None:
    outcome = call(*arguments, **environ)
    assert outcome.code == 2
    assert outcome.out == ""
    for word in words:
        assert word in outcome.err
