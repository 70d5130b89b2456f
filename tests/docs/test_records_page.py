"""docs/deployment-records.md against the rules of the code."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.docs.pages import blocks, page, spans, table

from fluxtrail.model import deployment
from fluxtrail.model.deployment import RISKS, UNKNOWN_LIMIT, UNKNOWN_WAITS, DeploymentStatus, Told
from fluxtrail.model.workloads import NOTE_PREFIX
from fluxtrail.remotes.github.artifact_wire import CLUSTER_LIMIT, JOB_LIMIT
from fluxtrail.runtime.settings.records import destinations
from fluxtrail.runtime.settings.settings import load_settings
from fluxtrail.trail.workloads.view import MAX_CUSTOM_KINDS

PAGE = page("deployment-records.md")


def test_every_word_has_its_place() -> None:
    assert {spans(row[0])[0] for row in table(PAGE, "told")} == {told.value for told in Told}
    assert {status.value for status in DeploymentStatus} <= set(spans(PAGE))
    assert set(RISKS) <= set(spans(PAGE))
    assert f"{NOTE_PREFIX}runtime-risks" in spans(PAGE)


def words(wait: timedelta) -> str:
    minutes = int(wait.total_seconds()) // 60
    number, unit = (minutes // 60, "hour") if minutes >= 60 else (minutes, "minute")
    return f"{number} {unit}{'s' if number > 1 else ''}"


def test_the_schedule_of_unknown_artifacts_is_that_of_the_code() -> None:
    *waits, last = UNKNOWN_WAITS
    assert f"after {', '.join(map(words, waits))}, and then daily, until {UNKNOWN_LIMIT.days} days have passed" in PAGE
    assert last == timedelta(days=1)


def test_the_limits_are_those_of_the_code() -> None:
    names = ("MAX_NAME_LENGTH", "MAX_VERSION_LENGTH", "MAX_ENVIRONMENT_LENGTH")
    name, version, environment = (getattr(deployment, limit) for limit in names)
    assert (
        f"a name of {name} characters, a version of {version}, environments and cluster names of {environment}" in PAGE
    )
    assert f"jobs of {JOB_LIMIT:,} at most" in PAGE
    assert f"more than {CLUSTER_LIMIT:,} wait" in PAGE
    assert f"more than {MAX_CUSTOM_KINDS} kinds" in PAGE


def test_the_examples_are_settings(tmp_path: Path) -> None:
    for example in blocks(PAGE, "yaml"):
        file = tmp_path / "fluxtrail.yaml"
        file.write_text(example, encoding="utf-8")
        found = load_settings(path=file, flags={"deployment_records.enabled": True}, environ={}).deployment_records
        names = list(found.environments) or ["prod-eu"]
        assert len({item.text for item in destinations(found, names).values()}) == len(names)
