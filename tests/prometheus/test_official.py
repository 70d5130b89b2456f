"""The table of official queries is what the official files say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.prometheus.official import CLUSTER, CONTROL_PLANE, filled

FIXTURES = Path(os.environ.get("FLUXTRAIL_TEST_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "monitoring"


@pytest.mark.requires("official dashboards")
@pytest.mark.parametrize(
    ("name", "table"), [("dashboard-cluster.json", CLUSTER), ("dashboard-control-plane.json", CONTROL_PLANE)]
)
def test_the_table_is_the_files_own(name: str, table: dict[str, str]) -> None:
    path = FIXTURES / name
    if not path.is_file():
        pytest.skip("the official dashboards are not beside the project; FLUXTRAIL_TEST_FIXTURES names their folder")
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    found = {
        f"{panel['title'].strip()}/{target['refId']}": target["expr"]
        for panel in panels
        for target in panel.get("targets", [])
        if target.get("expr")
    }
    assert found == table


def test_variables_are_filled_in_as_grafana_does() -> None:
    assert filled('x{a=~"$one"}', one=["a.b"]) == 'x{a=~"a.b"}'
    assert filled('x{a=~"$one"}', one=["a.b", "c"]) == r'x{a=~"(a\\.b|c)"}'
