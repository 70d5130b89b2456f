"""A user's `CustomResourceStateMetrics` through the whole service: an API server, watches, and `/metrics`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.runtime.resource_fleet import Fleet
from tests.runtime.worlds import Running, make_environ, make_settings, running, until

from fluxtrail.cli import run as command
from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime import user_kinds
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.simulator.apiserver.resources import FLUX_RESOURCES, ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import StatusError

pytestmark = pytest.mark.timeout(60)

FOO = ResourceDefinition(group="myteam.example.com", versions=("v1", "v1beta1"), kind="Foo", plural="foos")
BAR = ResourceDefinition(group="myteam.example.com", versions=("v1",), kind="Bar", plural="bars", namespaced=False)
NAMES = {"object": ["metadata", "name"], "namespace": ["metadata", "namespace"]}
INFO = {
    "name": "object_info",
    "each": {"type": "Info", "info": {"path": ["metadata"], "labelsFromPath": {"uid": ["uid"]}}},
}


def entry(
    group: str = FOO.group, version: str = "*", kind: str = "*", *metrics: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {
        "groupVersionKind": {"group": group, "version": version, "kind": kind},
        "labelsFromPath": NAMES,
        "metrics": list(metrics or (INFO,)),
        **more,
    }


def text_of(*entries: dict[str, Any]) -> str:
    return yaml.safe_dump({"kind": "CustomResourceStateMetrics", "spec": {"resources": list(entries)}})


def settings_of(folder: Path, *clusters: Fleet, **resources: Any) -> Settings:
    return make_settings(folder, *clusters, workloads={"enabled": False}, resources=resources)


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for kinds often, and let them go at once."""
    monkeypatch.setattr(user_kinds, "DISCOVERY_SECONDS", 0.1)
    monkeypatch.setattr(user_kinds, "MISSING_GRACE", timedelta(seconds=0.2))


async def kinds_of(run: Running, name: str = "kube_customresource_object_info") -> list[str]:
    found = (await run.samples()).get(name, [])
    return sorted(
        f"{labels['customresource_kind']}/{labels['customresource_version']}/{labels['object']}" for labels, _ in found
    )


async def until_kinds(run: Running, *expected: str) -> None:
    async def are_there() -> bool:
        return await kinds_of(run) == sorted(expected)

    await until(are_there, f"the series of {expected}")


async def test_a_file_is_the_whole_configuration(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one", status={"phase": "Pending", "uptime": 43.21})
    cluster.create("kustomizations", "apps")
    path = tmp_path / "metrics.yaml"
    gauge = {"name": "uptime", "each": {"type": "gauge", "gauge": {"path": ["status", "uptime"]}}}
    phase = {
        "type": "StateSet",
        "stateSet": {"labelName": "phase", "path": ["status", "phase"], "list": ["Pending", "Up"]},
    }
    path.write_text(
        text_of(entry(FOO.group, "v1", "Foo", gauge, {"name": "phase", "each": phase}, metricNamePrefix="foo"))
    )
    async with (
        cluster.server,
        running(settings_of(tmp_path, cluster, config_file=str(path)), make_environ(tmp_path)) as run,
    ):
        await run.until_ready()
        assert await run.sample("foo_uptime", object="one", customresource_version="v1") == 43.21
        assert await run.sample("foo_phase", phase="Pending") == 1
        assert await run.sample("foo_phase", phase="Up") == 0
        assert "gotk_resource_info" not in await run.samples()
        assert await run.sample("fluxtrail_resource_series", kind="Foo") == 3


async def test_inline_wins_over_the_file(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one")
    resources = {"config": text_of(entry(version="v1")), "config_file": str(tmp_path / "missing")}
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:
        await run.until_ready()
        assert await kinds_of(run) == ["Foo/v1/one"]


async def test_wildcards_follow_what_is_served(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one")
    resources = {"config": text_of(entry())}
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:
        await run.until_ready()
        await until_kinds(run, "Foo/v1/one", "Foo/v1beta1/one")
        cluster.store.install(BAR)
        cluster.create("bars", "two")
        await until_kinds(run, "Bar/v1/two", "Foo/v1/one", "Foo/v1beta1/one")
        cluster.store.set_versions("foos", "v1")
        cluster.store.uninstall("bars")
        await until_kinds(run, "Foo/v1/one")
        assert await run.sample("fluxtrail_resource_series", kind="Foo") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not YAML"),
        ("spec: {resources: [{}]}", r"spec.resources\[0\].groupVersionKind.group: is needed"),
    ],
)
async def test_a_file_that_is_wrong_ends_the_start(tmp_path: Path, text: str | None, said: str) -> None:
    cluster = Fleet()
    path = tmp_path / "metrics.yaml"
    if text is not None:
        path.write_text(text)
    async with cluster.server:
        with pytest.raises(ConfigError, match=said) as failure:
            async with running(settings_of(tmp_path, cluster, config_file=str(path)), make_environ(tmp_path)):
                pass
        assert failure.value.subject == str(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--custom-resource-state-config", "spec: {resources: [{}]}"),
            "Error: setting resources.config: spec.resources[0].",
        ),
        (
            ("--custom-resource-state-config-file", "/nowhere/metrics.yaml"),
            "Error: /nowhere/metrics.yaml: cannot be read",
        ),
        (
            ("--custom-resource-state-config=kind: A", "--custom-resource-state-config-file=/nowhere"),
            "resources.config: kind:",
        ),
    ],
)
def test_the_command_says_what_is_wrong_before_anything_begins(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(command.run, arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_metrics_of_what_is_not_watched_are_refused() -> None:
    environ = {"FLUXTRAIL_WATCH": "false", "FLUXTRAIL_HOOKS__LISTEN": ":0"}
    result = CliRunner().invoke(command.run, ["--custom-resource-state-config", text_of(entry())], env=environ)
    assert result.exit_code == 2
    assert "no cluster is watched" in result.stderr


def test_flags_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.yaml"
    path.write_text(text_of(entry()))
    taken: list[Settings] = []
    monkeypatch.setattr(command, "_run", taken.append)
    result = CliRunner().invoke(command.run, ["--custom-resource-state-config-file", str(path)])
    assert result.exit_code == 0, result.stderr
    assert taken[0].resources.config_file == str(path)
    assert taken[0].resources.enabled


async def test_what_is_no_number_stops_nothing_and_is_counted(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "odd", status={"size": {"a": 1}, "list": "x"})
    cluster.create("foos", "good", status={"size": "5Gi"})
    gauge = {"name": "size", "each": {"type": "Gauge", "gauge": {"path": ["status"], "valueFrom": ["size"]}}}
    async with (
        cluster.server,
        running(
            settings_of(tmp_path, cluster, config=text_of(entry(FOO.group, "v1", "Foo", gauge))), make_environ(tmp_path)
        ) as run,
    ):
        await run.until_ready()
        assert await run.sample("kube_customresource_size", object="good") == 5 * 2**30
        assert await run.sample("fluxtrail_resource_refusals_total", kind="Foo", reason="no_number") == 1


async def test_series_without_names_are_counted(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    for name in ("one", "two", "three"):
        cluster.create("foos", name, lanes=1)
    gauge = {"name": "lanes", "each": {"type": "Gauge", "gauge": {"path": ["spec", "lanes"]}}}
    resources = {"config": text_of({**entry(FOO.group, "v1", "Foo", gauge), "labelsFromPath": {}})}
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:
        await run.until_ready()
        assert await run.sample("fluxtrail_resource_series_overlapping", kind="Foo") == 2


async def test_a_group_that_cannot_be_asked_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one")
    cluster.create("alerts", "one")
    resources = {"config": text_of(entry(version="v1"), entry("notification.toolkit.fluxcd.io", kind="Alert"))}
    catalog, away = cluster.store.catalog, {FOO.group}

    def serve(group: str, version: str) -> Any:
        if group in away:
            raise StatusError(503, "ServiceUnavailable", "not now")
        return type(catalog).served(catalog, group, version)

    monkeypatch.setattr(catalog, "served", serve)
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:

        async def is_half_there() -> bool:
            return [kind.partition("/")[0] for kind in await kinds_of(run)] == ["Alert"]

        await until(is_half_there, "the other group")
        status, text = await run.readiness()
        assert status == 503
        assert "resources/discovery not ready: unreachable" in text
        away.clear()
        await run.until_ready()
        assert "Foo/v1/one" in await kinds_of(run)


async def test_the_later_of_two_entries_of_one_kind_counts(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one")
    resources = {"config": text_of(entry(metricNamePrefix="first"), entry(version="v1", metricNamePrefix="later"))}
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:
        await run.until_ready()
        assert await kinds_of(run, "later_object_info") == ["Foo/v1/one"]
        assert await kinds_of(run, "first_object_info") == ["Foo/v1beta1/one"]


async def test_built_in_kinds_are_kinds(tmp_path: Path) -> None:
    cluster = Fleet()
    cluster.create("configmaps", "one", "apps")
    info = {
        "name": "info",
        "each": {"type": "Info", "info": {"labelsFromPath": {"kind": ["kind"], "of": ["apiVersion"]}}},
    }
    async with (
        cluster.server,
        running(
            settings_of(tmp_path, cluster, config=text_of(entry("", "v1", "ConfigMap", info))), make_environ(tmp_path)
        ) as run,
    ):
        await run.until_ready()
        assert await run.sample("kube_customresource_info", object="one", kind="ConfigMap", of="v1") == 1


async def test_a_file_that_changes_is_taken(tmp_path: Path) -> None:
    cluster = Fleet(resources=[*FLUX_RESOURCES, FOO])
    cluster.create("foos", "one")
    cluster.create("alerts", "one")
    path = tmp_path / "metrics.yaml"
    path.write_text(text_of(entry(version="v1"), entry("notification.toolkit.fluxcd.io", kind="Alert")))
    resources = {"config_file": str(path)}
    async with cluster.server, running(settings_of(tmp_path, cluster, **resources), make_environ(tmp_path)) as run:
        await run.until_ready()
        await until_kinds(run, "Alert/v1beta3/one", "Foo/v1/one")
        path.write_text("{")
        path.write_text(text_of(entry(version="v1beta1")))
        await until_kinds(run, "Foo/v1beta1/one")
        path.write_text(text_of(entry(version="v1beta1", metricNamePrefix="new")))

        async def is_new() -> bool:
            return await kinds_of(run, "new_object_info") == ["Foo/v1beta1/one"]

        await until(is_new, "the new name")
        assert await kinds_of(run) == []
        path.write_text("{")
        cluster.create("foos", "two")

        async def are_two() -> bool:
            return len(await kinds_of(run, "new_object_info")) == 2

        await until(are_two, "what a broken file leaves as it is")
        assert await run.sample("fluxtrail_resource_series", kind="Foo") == 2
