"""The local stack: every file it names is there, and the dashboard asks for what exists."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tests.deploy.documents import ROOT, Document, load
from tests.docs.pages import page, spans, tables
from tests.docs.test_metrics_page import NAMES, named

from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.web.server import parse_address

LOCAL = ROOT / "local"
(STACK,) = load(ROOT / "docker-compose.yml")
(COLLECTOR,) = load(LOCAL / "otel-collector.yaml")
(PROMETHEUS,) = load(LOCAL / "prometheus.yml")
SOURCES = {
    item["uid"]: item for item in load(LOCAL / "grafana/provisioning/datasources/datasources.yaml")[0]["datasources"]
}
DASHBOARDS = sorted((LOCAL / "grafana" / "dashboards").glob("*.json"))
OF_OLD = {"grafana": 3000, "tempo": 3200, "loki": 3100, "collector": 4317}
"""Ports of flux-commit-tracker's stack."""
_VARIABLE = re.compile(r"\$\{?__?\w+\}?")


def services() -> dict[str, Document]:
    return dict(STACK["services"])


def published(name: str) -> set[int]:
    return {int(port.split(":")[1]) for port in services()[name]["ports"]}


def panels(dashboard: Path) -> list[Document]:
    return list(json.loads(dashboard.read_text(encoding="utf-8"))["panels"])


def uids(node: Any) -> Iterator[str]:
    """Every data source that is referred to, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "datasource" and isinstance(value, dict):
                yield value["uid"]
            elif key.lower() == "datasourceuid":
                yield value
            else:
                yield from uids(value)
    elif isinstance(node, list):
        for item in node:
            yield from uids(item)


def queries() -> list[str]:
    """The PromQL of all dashboards, with values in the place of Grafana's variables."""
    found = []
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                if target["datasource"]["uid"] == "prometheus":
                    expr = target["expr"].replace("$cluster", ".+")
                    found.append(_VARIABLE.sub("1h", expr))
    return found


@pytest.mark.parametrize("name", services())
def test_images_are_pinned_ports_are_on_loopback_and_files_are_there(name: str) -> None:
    service = services()[name]
    tag = service["image"].rpartition(":")[2]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for volume in service["volumes"]:
        source, _, _ = volume.partition(":")
        assert (ROOT / source).exists() if source.startswith(".") else source in STACK["volumes"]
    assert set(service.get("depends_on", [])) <= set(services())


def test_ports_are_those_of_the_replaced_stack() -> None:
    assert {name for name, port in OF_OLD.items() if port in published(name)} == set(OF_OLD)
    assert published("collector") == {4317, 4318}


def test_defaults_of_the_command_fit_the_stack() -> None:
    endpoint = Settings.model_fields["telemetry"].default.endpoint
    assert int(endpoint.rpartition(":")[2]) in published("collector")
    metrics = parse_address(Settings.model_fields["metrics"].default.listen, subject="metrics")[1]
    (scrape,) = PROMETHEUS["scrape_configs"]
    assert scrape["honor_labels"]
    assert [f"host.docker.internal:{metrics}"] == scrape["static_configs"][0]["targets"]


def test_collector_sends_every_signal_to_a_service_of_the_stack() -> None:
    assert set(COLLECTOR["service"]["pipelines"]) == {"traces", "logs", "metrics"}
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for part in ("receivers", "processors", "exporters"):
            assert set(pipeline[part]) <= set(COLLECTOR[part])
        for exporter in pipeline["exporters"]:
            endpoint = COLLECTOR["exporters"][exporter]["endpoint"]
            assert (urlsplit(endpoint).hostname or endpoint.partition(":")[0]) in services()
    assert "--web.enable-otlp-receiver" in services()["prometheus"]["command"]


def test_data_sources_are_services_of_the_stack() -> None:
    assert set(SOURCES) == {"prometheus", "tempo", "loki"}
    for source in SOURCES.values():
        url = urlsplit(source["url"])
        assert url.port in published(str(url.hostname))
        assert set(uids(source)) <= set(SOURCES)
    assert [uid for uid, source in SOURCES.items() if source.get("isDefault")] == ["prometheus"]


@pytest.mark.parametrize("path", sorted(LOCAL.rglob("*.y*ml")), ids=lambda path: path.name)
def test_configuration_is_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_dashboard_is_provisioned_and_its_panels_stand_in_order(dashboard: Path) -> None:
    document = json.loads(dashboard.read_text(encoding="utf-8"))
    (provider,) = load(LOCAL / "grafana/provisioning/dashboards/dashboards.yaml")[0]["providers"]
    mounts = [volume.split(":") for volume in services()["grafana"]["volumes"]]
    assert [f"./{dashboard.parent.relative_to(ROOT)}", provider["options"]["path"], "ro"] in mounts
    assert set(uids(document)) <= set(SOURCES)
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(numbers) == len(set(numbers))


def test_home_of_grafana_is_a_dashboard_that_there_is() -> None:
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).name in [path.name for path in DASHBOARDS]


@pytest.mark.parametrize("query", queries())
def test_query_names_metrics_that_exist(query: str) -> None:
    found = named(query)
    assert found <= set(NAMES)
    assert found or "process_" in query


def labels_of() -> dict[str, set[str]]:
    """The labels of each metric, as docs/metrics.md has them."""
    found: dict[str, set[str]] = {}
    for rows in tables(page("metrics.md")):
        if rows[0][0] != "metric":
            continue
        column, last = rows[0].index("labels"), set[str]()
        for row in rows[1:]:
            last = last if row[column] == "the same" else set(spans(row[column]))
            found |= dict.fromkeys(named(row[0]), last)
    return found


@pytest.mark.parametrize("query", [query for query in queries() if "process_" not in query])
def test_query_goes_by_labels_that_its_metrics_have(query: str) -> None:
    known = set.intersection(*(labels_of()[name] for name in named(query)))
    used = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
    used |= {label for selector in re.findall(r"{([^}]*)}", query) for label in re.findall(r"(\w+)[=!]", selector)}
    assert used <= known | {"le"}


@pytest.mark.requires("prometheus")
def test_queries_are_promql(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.requires("prometheus")
def test_scrape_configuration_is_understood(tmp_path: Path) -> None:
    """Without `otlp`, which Debian's Prometheus is too old for."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump({key: value for key, value in PROMETHEUS.items() if key != "otlp"}))
    for name in PROMETHEUS["rule_files"]:
        shutil.copy(LOCAL / name, tmp_path)
    done = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
