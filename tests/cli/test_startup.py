from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import QUIET

HEAVY = {
    "aiohttp",
    "sqlalchemy",
    "alembic",
    "pydantic",
    "litestar",
    "structlog",
    "uvicorn",
    "rich",
    "prometheus_client",
    "jinja2",
}
PROBE = """
import sys
from fluxtrail.cli.main import cli
try:
    cli({arguments!r}, prog_name="fluxtrail")
except SystemExit as end:
    code = end.code
print("CODE", code or 0, *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def modules_after(*arguments: str, server: str) -> tuple[int, set[str]]:
    env = {name: value for name, value in QUIET.items() if value is not None} | {"FLUXTRAIL_SERVER": server}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        timeout=15,
        check=True,
        env=env,
    )
    words = done.stderr.rpartition("CODE ")[2].split()
    return int(words[0]), set(words[1:])


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "abcd"],
        ["wait", "abcd"],
        ["get", "commits"],
        [
            "ci",
            "build",
            "--repository",
            "github.com/a/b",
            "--sha",
            "a" * 40,
            "--run-id",
            "1",
            "--state",
            "failed",
            "--timeout",
            "0s",
        ],
        ["records", "list"],
        ["records", "sync"],
        ["get", "reports"],
        ["get", "routes"],
        ["reports", "replay", "--all-dead"],
        ["reports", "test", "chat"],
        ["version"],
        ["completion", "bash"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_client_commands_import_nothing_heavy(arguments: list[str]) -> None:
    _, modules = modules_after(*arguments, server="http://127.0.0.1:1")
    assert "click" in modules
    assert not modules & HEAVY


@pytest.mark.process
def test_version_imports_click_alone() -> None:
    code, modules = modules_after("--version", server="")
    assert code == 0
    assert not modules & (HEAVY | {"msgspec", "http", "yaml"})


@pytest.mark.process
def test_the_installed_command_runs() -> None:
    script = Path(sys.executable).with_name("fluxtrail")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=15, check=True)
    assert done.stdout.startswith("fluxtrail 0.")
