from __future__ import annotations

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
