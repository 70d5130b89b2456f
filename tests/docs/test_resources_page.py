"""What docs/resource-metrics.md says of a user's configuration is so."""

from __future__ import annotations

import re

import pytest
from tests.docs.pages import page, spans, table

from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.resource_metrics.sampling import Refusal
from fluxtrail.reports.resource_metrics.user_file import parse_configuration

PAGE = page("resource-metrics.md")


def test_every_reason_is_explained() -> None:
    assert [spans(row[0]) for row in table(PAGE, "`reason`")] == [[refusal.value] for refusal in Refusal]


def test_the_example_is_a_configuration() -> None:
    (text,) = re.findall(r"```yaml\n(# metrics.yaml\n.*?)```", PAGE, re.DOTALL)
    (found,) = parse_configuration(text, subject="metrics.yaml")
    assert found.metrics[0].family.name == "kube_customresource_certificate_not_after_seconds"


def test_the_errors_are_as_they_are_printed() -> None:
    (text,) = re.findall(r"```\nError: (metrics.yaml:.*?)```", PAGE, re.DOTALL)
    good = {"name": "n", "each": {"type": "Info", "info": {}}}
    bad = {"name": "n", "each": {"type": "Gauge", "gauge": {"nilIsZero": "maybe"}}}
    kinds = [{"group": "a", "version": version, "kind": "K"} for version in ("v1", "v2")]
    resources = [
        {"groupVersionKind": kinds[0], "metrics": [bad]},
        {"groupVersionKind": kinds[1], "metrics": [good, good, {**good, "name": "a-b"}]},
    ]
    with pytest.raises(ConfigError) as failure:
        parse_configuration({"spec": {"resources": resources}}, subject="metrics.yaml")
    assert [line.rstrip() for line in str(failure.value).splitlines()] == [line.rstrip() for line in text.splitlines()]
