"""Every query of every dashboard and rule, asked of a real Prometheus that scrapes sample series."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.pages import ROOT
from tests.monitoring.queries import panel_queries, rule_queries
from tests.monitoring.samples import served

from fluxtrail.monitoring.objective import objective_of
from fluxtrail.monitoring.rules import prometheus_file
from fluxtrail.monitoring.ruleset import all_rules

pytestmark = [pytest.mark.requires("prometheus"), pytest.mark.timeout(90)]
DEADLINE_SECONDS = 40
FIXTURES = Path(os.environ.get("FLUXTRAIL_TEST_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "monitoring"
OFFICIAL = {"$operator_namespace": ".*", "$namespace": "flux-system"}
Ask = Callable[..., Any]


def api(url: str, path: str, **parameters: str) -> Any:
    """Return `data` of an answer; a query that is refused is an error with Prometheus' words."""
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as exc:
        raise AssertionError(exc.read().decode()) from exc


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if condition():
                return
        except (OSError, AssertionError):
            pass
        time.sleep(0.2)
    pytest.fail(f"not within {DEADLINE_SECONDS} s: {log.read_text()[-2000:]}")


def configuration(folder: Path, samples: str) -> Path:
    (folder / "rules.yaml").write_text(yaml.safe_dump(prometheus_file(all_rules(objective_of()))))
    path = folder / "prometheus.yml"
    jobs = [{"job_name": "samples", "honor_labels": True, "static_configs": [{"targets": [samples]}]}]
    path.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                "rule_files": ["rules.yaml"],
                "scrape_configs": jobs,
            }
        )
    )
    return path


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Yield the API of a Prometheus that has scraped a few times, and evaluated every rule."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus (Debian: prometheus) is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    log = folder / "log"
    with served() as samples, log.open("wb") as output:
        words = [program, f"--config.file={configuration(folder, samples)}", f"--storage.tsdb.path={folder / 'data'}"]
        process = subprocess.Popen([*words, f"--web.listen-address={address}"], stdout=output, stderr=output)
        try:
            url = f"http://{address}"

            def is_ready() -> bool:
                scraped = api(url, "query", query="count_over_time(fluxtrail_build_info[1h]) >= 4")["result"]
                evaluated = api(url, "query", query='{__name__="fluxtrail:budget_remaining:ratio"}')["result"]
                groups = api(url, "rules")["groups"]
                return bool(
                    scraped and evaluated and all(rule["health"] != "unknown" for g in groups for rule in g["rules"])
                )

            wait_for(is_ready, process, log)
            yield lambda path, **parameters: api(url, path, **parameters)
        finally:
            process.terminate()
            process.wait(timeout=20)


def test_every_panel_shows_something(ask: Ask) -> None:
    empty = [where for where, expr in panel_queries() if not ask("query", query=expr)["result"]]
    assert empty == []


def test_every_rule_is_evaluated_without_an_error(ask: Ask) -> None:
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(list(rule_queries()))
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}


def test_rules_record_what_was_slow(ask: Ask) -> None:
    (ratio,) = ask("query", query="fluxtrail:deliveries_slow:ratio28d")["result"]
    assert ratio["metric"]["cluster"] == "prod-eu"
    assert float(ratio["value"][1]) == pytest.approx(0.5)


def test_alerts_are_on_their_way(ask: Ask) -> None:
    """One whose condition is met by the samples is at least pending."""
    alerts = {item["labels"]["alertname"] for item in ask("alerts")["alerts"]}
    assert {"ResourceNotReady", "SourceStale", "SuspendedTooLong", "ChangeStuckInStage", "ClusterDark"} <= alerts
    assert {"LeadTimeBurnFast", "RouteDown", "DeadLetters", "AppliedNotRunning", "SCMRateLimitLow"} <= alerts
    assert not {"FluxtrailAbsent", "FluxControllerAbsent"} & alerts


def test_figures_are_those_of_the_samples(ask: Ask) -> None:
    values = {
        where: float(ask("query", query=expr)["result"][0]["value"][1])
        for where, expr in panel_queries()
        if where.endswith("/A")
    }
    assert values["flux-cluster/Cluster Reconcilers/A"] == 6
    assert values["flux-cluster/Failing Reconcilers/A"] == 2
    assert values["flux-cluster/Kubernetes Manifests Sources/A"] == 12
    assert values["flux-cluster/Failing Sources/A"] == 4
    assert values["flux-control-plane/Controllers/A"] == 3
    assert values["deliveries/In flight/A"] == 2
    assert values["deliveries/Share within 15 minutes/A"] == pytest.approx(0.5)
    assert values["flux-cluster/Reconciler ops avg. duration/A"] == pytest.approx(550)


@pytest.mark.requires("official dashboards")
@pytest.mark.parametrize("name", ["dashboard-cluster.json", "dashboard-control-plane.json"])
def test_the_official_dashboards_work_too(name: str, ask: Ask) -> None:
    path = FIXTURES / name
    if not path.is_file():
        pytest.skip("the official dashboards are not beside the project; FLUXTRAIL_TEST_FIXTURES names their folder")
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    exprs = [target["expr"] for panel in panels for target in panel.get("targets", []) if target.get("expr")]
    assert len(exprs) >= 11
    for expr in exprs:
        asked = expr
        for variable, value in OFFICIAL.items():
            asked = asked.replace(variable, value)
        assert ask("query", query=asked)["result"], asked
