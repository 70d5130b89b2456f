from __future__ import annotations

import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.cli.golden import Golden
from tests.docs.pages import ROOT, page
from tests.docs.test_links import anchor_of
from tests.monitoring.queries import metrics_in

from fluxtrail.cli.main import cli
from fluxtrail.model.errors import ConfigError
from fluxtrail.monitoring.objective import FAST, SLOW, objective_of
from fluxtrail.monitoring.rules import Alert
from fluxtrail.monitoring.ruleset import alerts, all_rules

UNIT_TESTS = tuple(Path(__file__).with_name(name) for name in ("rules_test.yaml", "rules_long_test.yaml"))
ALERTS = alerts(all_rules(objective_of()))
MINIMUM = {
    "FluxControllerAbsent",
    "FluxNotReconciling",
    "ResourceNotReady",
    "SourceStale",
    "SuspendedTooLong",
    "ChangeStuckInStage",
    "LeadTimeBurnFast",
    "LeadTimeBurnSlow",
    "ClusterDark",
    "OutboxBacklog",
    "SCMRateLimitLow",
    "SCMRateLimited",
    "RecordUploadFailing",
    "HelmReleaseRetriesExhausted",
    "RouteDown",
    "DeadLetters",
}


def exported(*words: str) -> str:
    done = CliRunner().invoke(cli, ["rules", "export", *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_local_stack_has_what_is_generated(golden: Golden) -> None:
    golden.check(ROOT / "local" / "rules.yaml", exported())


def test_the_component_has_what_is_generated(golden: Golden) -> None:
    text = exported("--format", "prometheusrule", "-n", "fluxtrail")
    golden.check(ROOT / "deploy" / "components" / "rules" / "rules.yaml", text)


def test_the_alerts_people_expect_are_there() -> None:
    assert {one.name for one in ALERTS} >= MINIMUM
    assert len({one.name for one in ALERTS}) == len(ALERTS)


@pytest.mark.parametrize("one", ALERTS, ids=lambda one: one.name)
def test_every_alert_has_its_runbook(one: Alert) -> None:
    headings = [line.removeprefix("## ") for line in page("alerts.md").splitlines() if line.startswith("## ")]
    assert one.name in headings
    assert anchor_of(one.name) == one.name.lower()
    assert one.severity in {"critical", "warning"}


def test_the_table_of_alerts_is_that_of_the_code() -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in page("alerts.md").splitlines()]
    stated = {row[1].split("](")[0].strip("[`"): (row[2].strip("`"), row[3]) for row in rows if len(row) == 6}
    assert {one.name: (one.severity, one.lasts) for one in ALERTS}.items() <= stated.items()


def test_a_prometheus_rule_holds_the_same_groups() -> None:
    document = yaml.safe_load(exported("--format", "prometheusrule", "-n", "monitoring"))
    assert (document["apiVersion"], document["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert document["metadata"]["namespace"] == "monitoring"
    assert document["spec"] == yaml.safe_load(exported())


def test_runbooks_can_be_elsewhere(tmp_path: Path) -> None:
    exported("--runbooks", "https://wiki.example.com/alerts", "-o", str(tmp_path / "rules.yaml"))
    groups = yaml.safe_load((tmp_path / "rules.yaml").read_text())["groups"]
    urls = {rule["alert"]: rule["annotations"]["runbook_url"] for g in groups for rule in g["rules"] if "alert" in rule}
    assert urls["DeadLetters"] == "https://wiki.example.com/alerts#deadletters"


def limits(**settings: Any) -> list[float]:
    found = objective_of(**settings)
    return [round(found.limit(burn) / (1 - found.share), 6) for burn in (*FAST, *SLOW)]


def test_burn_rates_over_30_days_are_the_usual_ones() -> None:
    assert limits(window=timedelta(days=30)) == [14.4, 6, 3, 1]
    assert limits(window=timedelta(days=28)) == [13.44, 5.6, 2.8, 0.933333]


def test_a_condition_that_cannot_be_met_is_left_out() -> None:
    (fast,) = (one for one in alerts(all_rules(objective_of(share=0.9))) if one.name == "LeadTimeBurnFast")
    assert "ratio1h" not in fast.expr
    assert "ratio6h" in fast.expr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"share": 99}, "99 is no share; write a number between 0 and 1, such as 0.99"),
        ({"share": 1}, "1 is no share"),
        ({"share": 0.5}, "allows so much that no alert can fire"),
        ({"threshold": timedelta(minutes=20)}, "20m is no bucket's bound; choose one of 1s, 5s, 15s, 30s, 1m, 2m, 5m"),
        ({"window": timedelta(hours=100)}, "100h is no window; write 7d to 90d"),
        ({"window": timedelta(days=91)}, "91d is no window"),
        ({"stage": "healthy"}, "'healthy' has no lead time; choose from applied, running"),
    ],
    ids=str,
)
def test_an_objective_that_makes_no_sense_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        objective_of(**settings)


def test_usage_errors_say_what_to_do() -> None:
    done = CliRunner().invoke(cli, ["rules", "export", "--threshold", "20m"])
    assert done.exit_code == 2
    assert "--threshold: 20m is no bucket's bound" in done.stderr
    done = CliRunner().invoke(cli, ["rules", "export", "-n", "x"])
    assert done.exit_code == 2
    assert "--format prometheusrule" in done.stderr


def test_list_names_every_alert() -> None:
    done = CliRunner().invoke(cli, ["rules", "list"])
    assert [line.split()[0] for line in done.stdout.splitlines()] == [one.name for one in ALERTS]


def promtool(*words: str, where: Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian: prometheus) is not installed")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, cwd=where)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.requires("prometheus")
@pytest.mark.parametrize(
    "words",
    [[], ["--stage", "running", "--threshold", "30m", "--objective", "0.95", "--window", "30d"], ["--window", "90d"]],
    ids=" ".join,
)
def test_promtool_has_no_complaint(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(exported(*words))
    assert "rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", where=tmp_path)


@pytest.mark.requires("prometheus")
@pytest.mark.timeout(120)
def test_every_alert_fires_when_it_shall_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(exported())
    for path in UNIT_TESTS:
        shutil.copy(path, tmp_path)
    assert "FAILED" not in promtool("test", "rules", *(path.name for path in UNIT_TESTS), where=tmp_path)


def test_every_alert_is_tested_and_there_is_a_world_where_none_fires() -> None:
    tests = [test for path in UNIT_TESTS for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    cases = [case for test in tests for case in test["promql_expr_test"]]
    expected = " ".join(sample["labels"] for case in cases for sample in case["exp_samples"])
    assert {one.name for one in ALERTS} <= set(re.findall(r'alertname="(\w+)"', expected))
    (silent,) = (test for test in tests if test["name"] == "all is well")
    assert [case["exp_samples"] for case in silent["promql_expr_test"]] == [[]]
    told = {name for series in silent["input_series"] for name in metrics_in(series["series"])}
    needed = {name for one in ALERTS for name in metrics_in(one.expr) if not name.startswith("fluxtrail:")}
    assert needed <= told
