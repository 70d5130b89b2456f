from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, page, spans, strings, table

from fluxtrail.model.figures import COUNTERS, HISTOGRAMS
from fluxtrail.web.measures import watch_measures
from fluxtrail.web.tracker_metrics import BUCKETS_SECONDS, EVENT_TYPES
from fluxtrail.web.tracker_metrics import NAMES as TRACKER_NAMES

_NAME = re.compile(r"(?:fluxtrail|flux_commit_tracker)(?:_[a-z0-9]+)+")
_SUFFIX = re.compile(r"_(?:total|bucket|count|sum|info|created)$")

_CODE = ("model", "web", "runtime", "trail")
# What every process that collects tests parses at once had better be little.
_LITERALS = strings(*_CODE, near="fluxtrail_") | strings(*_CODE, near="flux_commit_tracker_")

NAMES = sorted(
    {family.name for family in (*HISTOGRAMS, *COUNTERS)}
    | {measure.name for measure in watch_measures([])}
    | {text for text in _LITERALS if _NAME.fullmatch(text)}
)


def named(text: str) -> set[str]:
    """Names of metrics in a text, as the code has them. `fluxtrail_watch_*` names a family, not a metric."""
    found = {match.group() for match in _NAME.finditer(text) if text[match.end() : match.end() + 1] != "_"}
    return {name if name in NAMES else _SUFFIX.sub("", name) for name in found}


def test_the_code_has_metrics() -> None:
    assert {"fluxtrail_lead_time_seconds", "fluxtrail_commits_inflight", "fluxtrail_watch_relists"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_has_its_place_in_the_page(name: str) -> None:
    assert name in named(page("metrics.md"))


def test_the_metrics_of_deployment_tracker_are_listed() -> None:
    section = page("metrics.md").split("## In the place of deployment-tracker", 1)[1].split("\n## ", 1)[0]
    assert {spans(row[0])[0] for row in table(section, "metric")} == set(TRACKER_NAMES)
    assert f"Buckets, in seconds: {', '.join(f'{bound:g}' for bound in BUCKETS_SECONDS)}, +Inf" in section
    assert set(EVENT_TYPES) <= set(spans(section))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name if path.parent != ROOT else f"/{path.name}")
def test_no_page_names_a_metric_that_does_not_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert named(text) <= set(NAMES)
