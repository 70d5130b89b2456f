from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.resource_metrics.flux import Extra, LabelSet
from fluxtrail.runtime.settings.settings import load_settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("labels", "all", "'full' or 'basic'"),
        ("extra_labels", ("sha",), "no label that can be added"),
        ("without_labels", ("name",), "has to stay"),
        ("prefix", "a-b", "letters, digits"),
        ("namespaces", ("Apps",), "no namespace"),
        ("keep", ("a/b/c/d",), "no rule"),
        ("drop", ("",), "no rule"),
        ("max_series", 0, "greater than or equal to 1"),
        ("shard", 1, "below total_shards"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as failure:
        load_settings(path=None, flags={f"resources.{name}": value}, environ={})
    assert "resources" in str(failure.value)


def test_what_is_right_is_taken() -> None:
    flags: dict[str, Any] = {
        "resources.labels": "basic",
        "resources.extra_labels": "reason,webhook_path",
        "resources.without_labels": "url",
        "resources.prefix": "flux",
        "resources.keep": "Kustomization,HelmRelease/apps",
        "resources.drop": "*/preview-*/*",
        "resources.shard": 1,
        "resources.total_shards": 2,
    }
    found = load_settings(path=None, flags=flags, environ={}).resources
    assert found.labels is LabelSet.BASIC
    assert found.extra_labels == (Extra.REASON, Extra.WEBHOOK_PATH)
    assert found.keep == ("Kustomization", "HelmRelease/apps")
    assert (found.shard, found.total_shards) == (1, 2)


TEXT = "spec: {resources: []}"


@pytest.mark.parametrize(
    ("flags", "environ", "config"),
    [
        ({"resources.config": TEXT}, {}, TEXT),
        ({}, {"FLUXTRAIL_RESOURCES__CONFIG": TEXT}, TEXT),
        ({}, {"FLUXTRAIL_RESOURCES__CONFIG": '{"spec": {}}'}, {"spec": {}}),
        ({"resources.config_file": "metrics.yaml"}, {}, ""),
        ({}, {"FLUXTRAIL_RESOURCES__CONFIG_FILE": "metrics.yaml"}, ""),
    ],
)
def test_a_configuration_is_enough(
    flags: dict[str, Any], environ: dict[str, str], config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = load_settings(path=None, flags=flags).resources
    assert found.enabled
    assert found.config == config
    assert found.config_file == ("" if config else "metrics.yaml")


def test_a_configuration_may_stand_in_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "fluxtrail.yaml"
    path.write_text("resources: {enabled: false, config: {spec: {resources: [{metrics: []}]}}}")
    found = load_settings(path=path, flags={}, environ={}).resources
    assert found.config == {"spec": {"resources": [{"metrics": []}]}}
    assert not found.enabled


@pytest.mark.parametrize(
    ("name", "value"), [("labels", "basic"), ("extra_labels", "reason"), ("without_labels", "url"), ("prefix", "flux")]
)
def test_what_would_do_nothing_beside_a_configuration_is_refused(name: str, value: str) -> None:
    flags = {"resources.config_file": "metrics.yaml", f"resources.{name}": value}
    with pytest.raises(ConfigError, match=f"{name} counts for the metrics that come with Fluxtrail"):
        load_settings(path=None, flags=flags, environ={})
