from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.gitops.doctor.clinic import WELL, Clinic, open_clinic
from tests.model.doctor.wards import condition, kustomization, source

from fluxtrail.cli.main import cli
from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig

Run = Callable[..., "asyncio.Future[Result]"]


@pytest.fixture
async def clinic() -> AsyncIterator[Clinic]:
    async with open_clinic() as clinic:
        yield clinic


@pytest.fixture
def run(clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, [clinic.server])
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def invoke(*arguments: str) -> asyncio.Future[Result]:
        command = ["doctor", "--kubeconfig", str(path), "--utc", *arguments]
        return asyncio.ensure_future(asyncio.to_thread(CliRunner().invoke, cli, command))

    return invoke


async def test_nothing_found_is_zero(run: Run) -> None:
    result = await run()
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("✔ nothing found   · 1 objects · clinic · ")


async def test_a_finding_is_one_with_its_cause_and_the_command(clinic: Clinic, run: Run) -> None:
    clinic.put_exhausted()
    result = await run()
    assert result.exit_code == 1
    assert "hr apps/api   retries_exhausted" in result.stdout
    assert "The upgrade failed and its retries are used up" in result.stdout
    assert "► fluxtrail gitops reconcile hr api -n apps --reset" in result.stdout
    assert "The doctor would reset the count of failures." in result.stdout
    assert "annotations" not in clinic.read()["metadata"]


async def test_one_object_is_shown_with_all_that_is_known(clinic: Clinic, run: Run) -> None:
    clinic.put_exhausted()
    clinic.put_exhausted("other")
    result = await run("hr/api", "-n", "apps")
    assert result.exit_code == 1
    assert "other" not in result.stdout
    assert "status.conditions[Stalled]" in result.stdout
    assert "flux reconcile helmrelease api -n apps --reset" in result.stdout
    assert "docs/runbooks/retries_exhausted.md" in result.stdout
    assert (await run("hr/nobody")).exit_code == 0
    assert (await run("hr/api", "-n", "elsewhere")).exit_code == 0


async def test_acting_is_said_and_done_and_not_done_again(clinic: Clinic, run: Run) -> None:
    clinic.put_exhausted()
    result = await run("--act")
    assert "✔ Reset the count of failures." in result.stdout
    (line,) = result.stderr.splitlines()
    written = json.loads(line)
    assert (written["event"], written["what"]) == ("write", "doctor reset")
    assert written["where"] == "clinic HelmRelease/apps/api"
    assert "doctor.fluxtrail.dev/treated" in clinic.read()["metadata"]["annotations"]
    again = await run("--act")
    assert "The doctor does nothing: reset was tried at" in " ".join(again.stdout.split())


async def test_data_is_on_stdout_alone(clinic: Clinic, run: Run) -> None:
    clinic.put_exhausted()
    clinic.put(source("GitRepository", "fleet", WELL))
    clinic.server.access.forbid("", resource="buckets")
    clinic.server.access.forbid("default", resource="buckets")
    result = await run("-o", "json")
    (item,) = json.loads(result.stdout)["items"]
    assert (item["code"], item["severity"], item["cluster"]) == ("retries_exhausted", "critical", "clinic")
    assert item["treatment"]["outcome"] == "dry_run"
    assert "Bucket: not allowed" in result.stderr
    assert yaml.safe_load((await run("-o", "yaml")).stdout)["items"][0]["name"] == "api"
    assert (await run("-o", "name")).stdout == "helmrelease.helm.toolkit.fluxcd.io/api\n"


async def test_where_nothing_may_be_read_nothing_found_is_no_success(clinic: Clinic, run: Run) -> None:
    clinic.server.access.forbid("", resource="helmreleases")
    clinic.server.access.forbid("default", resource="helmreleases")
    assert (await run()).exit_code == 0
    assert (await run("hr")).exit_code == 1
    clinic.server.access.forbid("")
    clinic.server.access.forbid("default")
    result = await run()
    assert result.exit_code == 1
    assert result.stdout.startswith("✗ nothing could be read ")


async def test_a_circle_is_told_whole(clinic: Clinic, run: Run) -> None:
    waits = condition("Ready", "False", "DependencyNotReady", "dependency 'apps/b' is not ready")
    for name, other in ("ab", "ba"):
        clinic.put(kustomization(name, waits, spec={"dependsOn": [{"name": other}]}))
    result = await run("ks")
    assert "Kustomization a → b → a in apps" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pod/x"], "none of Flux's objects"),
        (["-n", "a", "-A"], "exclude each other"),
        (["--patience", "soon"], "no duration"),
        (["--context", "gone"], "gone"),
        (["--context", "clinic", "--context", "clinic"], "twice"),
    ],
)
async def test_what_cannot_be_meant_is_usage(run: Run, arguments: list[str], says: str) -> None:
    result = await run(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize("width", ["40", "80", "200"])
async def test_a_narrow_terminal_is_not_overrun(
    clinic: Clinic, run: Run, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    clinic.put_exhausted("a-release-with-a-very-long-name-indeed-as-people-call-them")
    monkeypatch.setenv("COLUMNS", width)
    result = await run("-o", "wide")
    told = [line for line in result.stdout.splitlines() if "reconcile" not in line and "objects" not in line]
    assert max(map(len, told)) <= int(width)
