from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.cli.golden import Golden
from tests.deploy.documents import render
from tests.deploy.test_local_stack import labels_of
from tests.docs.pages import ROOT, page, spans
from tests.docs.test_metrics_page import named
from tests.monitoring.queries import metrics_in, panel_queries, panels, rule_queries
from tests.monitoring.samples import exposition

from fluxtrail.cli.main import cli
from fluxtrail.monitoring.dashboards import DASHBOARDS, Dashboard, dashboard_json
from fluxtrail.monitoring.flux import CONTROLLER_METRICS
from fluxtrail.monitoring.grafana import WIDTH

PROVISIONED = ROOT / "local" / "grafana" / "dashboards" / "generated"
PANELS_OF_OLD = {
    "flux-cluster": [
        "Cluster Reconcilers",
        "Failing Reconcilers",
        "Kubernetes Manifests Sources",
        "Failing Sources",
        "Reconciler ops avg. duration",
        "Source ops avg. duration",
        "Cluster reconciliation readiness",
        "Source acquisition readiness",
        "Suspended Objects",
        "Cluster reconciliation duration",
        "Source acquisition duration",
    ],
    "flux-control-plane": [
        "Controllers",
        "Max Work Queue",
        "Memory",
        "API Requests",
        "Kubernetes API Requests",
        "CPU Usage",
        "Memory Usage",
        "Cluster Reconciliation Duration",
        "Cluster Reconciliations ops/min",
        "Git Repos ops/min",
        "OCI Repos ops/min",
        "Helm Repos ops/min",
        "Buckets ops/min",
        "Helm Release Duration",
        "Helm Releases ops/min",
        "Helm Charts ops/min",
    ],
}
"""Of fluxcd/flux2-monitoring-example."""
EACH = pytest.mark.parametrize("one", DASHBOARDS, ids=lambda one: one.name)


@EACH
def test_the_local_stack_has_what_is_generated(one: Dashboard, golden: Golden) -> None:
    golden.check(PROVISIONED / f"{one.name}.json", dashboard_json(one))


def test_the_local_stack_has_nothing_else() -> None:
    assert {path.stem for path in PROVISIONED.iterdir()} == {one.name for one in DASHBOARDS}


def test_the_component_has_what_is_generated(golden: Golden) -> None:
    done = CliRunner().invoke(cli, ["dashboards", "export", "--all", "--configmap", "-n", "fluxtrail"])
    golden.check(ROOT / "deploy" / "components" / "dashboards" / "dashboards.yaml", done.stdout)


@pytest.mark.requires("kubectl")
def test_the_component_renders_what_the_sidecar_looks_for() -> None:
    found = [item for item in render(ROOT / "deploy" / "components" / "dashboards") if item["kind"] == "ConfigMap"]
    assert {(name, text) for item in found for name, text in item["data"].items()} == {
        (f"{one.name}.json", dashboard_json(one)) for one in DASHBOARDS
    }
    for item in found:
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        # `kubectl apply` keeps a copy in an annotation, and all of them together have 256 KiB.
        assert len(json.dumps(item)) < 200 * 1024


@pytest.mark.parametrize("name", PANELS_OF_OLD)
def test_the_panels_of_the_official_dashboards_are_there_in_their_order(name: str) -> None:
    (one,) = (one for one in DASHBOARDS if one.name == name)
    assert [panel["title"] for panel in panels(one.make())] == PANELS_OF_OLD[name]


@EACH
def test_panels_neither_overlap_nor_stick_out(one: Dashboard) -> None:
    taken = set[tuple[int, int]]()
    for panel in one.make()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@EACH
def test_every_panel_has_unit_and_a_word_for_nothing_and_asks_the_chosen_source(one: Dashboard) -> None:
    made = one.make()
    assert made["schemaVersion"] >= 38
    assert [item["name"] for item in made["__inputs"]] == ["DS_PROMETHEUS"]
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    for panel in panels(made):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${DS_PROMETHEUS}"}


@EACH
def test_every_variable_is_used_and_every_used_one_is_there(one: Dashboard) -> None:
    made = one.make()
    there = {variable["name"] for variable in made["templating"]["list"]} - {"DS_PROMETHEUS"}
    exprs = " ".join(target["expr"] for panel in panels(made) for target in panel["targets"])
    assert set(re.findall(r"\$([a-z]\w*)", exprs)) == there
    for variable in made["templating"]["list"]:
        assert variable["name"] == "DS_PROMETHEUS" or (variable["includeAll"] and variable["allValue"] == ".*")


def test_uids_are_fixed_and_differ() -> None:
    assert [one.make()["uid"] for one in DASHBOARDS] == [
        "flux-cluster",
        "flux-control-plane",
        "fluxtrail-deliveries",
        "fluxtrail-itself",
    ]


def documented() -> set[str]:
    words = {re.sub(r"\{.*", "", span) for span in spans(page("metrics.md"))}
    return named(page("metrics.md")) | words | {"process_cpu_seconds_total", "process_resident_memory_bytes"}


@pytest.mark.parametrize(("where", "expr"), [*panel_queries(), *rule_queries()], ids=lambda text: text[:60])
def test_every_metric_is_documented_or_flux_own(where: str, expr: str) -> None:
    known = documented() | {name.removesuffix("_total") for name in documented()} | set(CONTROLLER_METRICS)
    read = {name for name in metrics_in(expr) if not name.startswith("fluxtrail:")}
    read -= {"process_open_fds"} if "process_*" in documented() else set()
    assert read <= known
    assert read or "fluxtrail:" in expr or expr.startswith("vector(")


def test_names_of_metrics_are_found_in_queries() -> None:
    expr = 'sum by (a) (rate(x_sum{a="b and c"}[5m])) / on (a) group_left (b) count(y_total) or time() - max(z:y)'
    assert metrics_in(expr) == {"x", "y_total", "z:y"}


class TestCommand:
    def test_list_names_them_all(self) -> None:
        done = CliRunner().invoke(cli, ["dashboards", "list"])
        assert [line.split()[0] for line in done.stdout.splitlines()] == [one.name for one in DASHBOARDS]

    def test_export_prints_one(self) -> None:
        done = CliRunner().invoke(cli, ["dashboards", "export", "deliveries"])
        assert json.loads(done.stdout)["title"] == "Deliveries"

    def test_export_all_writes_files(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(cli, ["dashboards", "export", "--all", "-o", str(tmp_path / "new")])
        assert done.exit_code == 0, done.output
        for one in DASHBOARDS:
            assert (tmp_path / "new" / f"{one.name}.json").read_text() == dashboard_json(one)

    def test_config_maps_hold_the_same_and_bear_the_sidecar_label(self) -> None:
        done = CliRunner().invoke(cli, ["dashboards", "export", "--all", "--configmap", "-n", "monitoring"])
        found = list(yaml.safe_load_all(done.stdout))
        assert len(found) == len(DASHBOARDS)
        for one, document in zip(DASHBOARDS, found, strict=True):
            assert document["metadata"]["labels"] == {"grafana_dashboard": "1"}
            assert document["metadata"]["namespace"] == "monitoring"
            assert document["data"] == {f"{one.name}.json": dashboard_json(one)}
        assert "\n  deliveries.json: |\n" in done.stdout

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "--all"),
            (["deliveries", "--all"], "--all"),
            (["--all"], "-o"),
            (["no-such"], "there is no dashboard 'no-such'; choose from flux-cluster"),
            (["deliveries", "-n", "x"], "--configmap"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )
    def test_usage_errors_say_what_to_do(self, words: list[str], said: str) -> None:
        done = CliRunner().invoke(cli, ["dashboards", "export", *words])
        assert done.exit_code == 2
        assert said in done.stderr

    def test_a_folder_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = CliRunner().invoke(cli, ["dashboards", "export", "fluxtrail", "-o", str(tmp_path / "file" / "below")])
        assert done.exit_code == 2
        assert "cannot be written" in done.stderr


_SELECTOR = re.compile(r"(fluxtrail_\w+)\{([^}]*)\}")


def selected() -> list[tuple[str, str]]:
    """Every selector of ours, in queries and in the sample series: the metric, and the labels it goes by."""
    texts = [expr for _, expr in (*panel_queries(), *rule_queries())]
    return sorted({found for text in (*texts, exposition(1)) for found in _SELECTOR.findall(text)})


@pytest.mark.parametrize(("metric", "matchers"), selected())
def test_selectors_go_by_labels_that_the_metric_has(metric: str, matchers: str) -> None:
    (family,) = named(metric)
    used = set(re.findall(r'(\w+)[=!]~?"', matchers)) - {"le"}
    assert used <= labels_of()[family]
