"""The image cannot be built here; what its recipe relies on can be looked at."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.deploy.documents import DEPLOY, ROOT, find, manifests

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LINES = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8")).splitlines()


def instructions(name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(f"{name} ")]


def copied() -> list[str]:
    """What is copied from this repository, not from another stage."""
    return [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]


def is_ignored(path: str) -> bool:
    """By the last line of .dockerignore that matches the path or a folder above it, as Docker decides it."""
    found = False
    parents = [path, *(str(parent) for parent in Path(path).parents)][:-1]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            bare = pattern.removeprefix("!").removeprefix("**/")
            if any(fnmatch.fnmatchcase(name, bare) for name in parents):
                found = not pattern.startswith("!")
    return found


@pytest.mark.parametrize("path", copied())
def test_what_is_copied_is_there_and_sent_to_the_builder(path: str) -> None:
    assert (ROOT / path).exists()
    assert not is_ignored(path)


@pytest.mark.parametrize("path", ["tests", ".git", ".venv", "deploy", "fluxtrail.sqlite", "docs"])
def test_what_the_image_does_not_need_stays_behind(path: str) -> None:
    assert is_ignored(path)


def test_wheel_has_all_it_is_built_from() -> None:
    needed = [PROJECT["project"]["readme"], *PROJECT["project"]["license-files"], "pyproject.toml"]
    needed += [
        package.partition("/")[0] for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    assert set(needed) <= set(copied())


def test_entry_point_is_the_projects_command_and_runs() -> None:
    (entry,) = instructions("ENTRYPOINT")
    command = entry.strip("[]").replace('"', "").split(", ")[-1]
    module, _, function = PROJECT["project"]["scripts"][command].partition(":")
    code = f"from {module} import {function} as main; main()"
    for arguments, said in (["--version"], "fluxtrail"), (["run", "--help"], "--config"):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


def test_it_runs_as_the_user_of_the_deployment() -> None:
    context = find(list(manifests()), "Deployment")["spec"]["template"]["spec"]["securityContext"]
    assert instructions("USER") == [f"{context['runAsUser']}:{context['runAsGroup']}"]


def test_it_speaks_the_python_that_is_tested() -> None:
    python = next(line for line in instructions("ARG") if line.startswith("PYTHON=")).removeprefix("PYTHON=")
    assert python.startswith(PROJECT["project"]["requires-python"].removeprefix(">="))
    assert "-slim" in python
    assert all(line.startswith("python:${PYTHON}") for line in instructions("FROM"))


def test_programs_that_are_called_are_installed() -> None:
    (install,) = [line for line in instructions("RUN") if "apt-get install" in line]
    assert {"git", "openssh-client", "ca-certificates", "tini"} <= set(install.split())


def test_deployment_calls_the_command_that_there_is() -> None:
    only = find(list(manifests(DEPLOY / "base")), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert "command" not in only
    assert only["args"][0] == "run"
