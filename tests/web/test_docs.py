"""What is served must be in the docs, and what the docs name must be served."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families as parse_text
from tests.web.conftest import Ask
from tests.web.test_metrics import sources

from fluxtrail.cli.main import cli
from fluxtrail.web.app import describe

__all__ = ["sources"]
DOCS = Path(__file__).parents[2] / "docs"
ELSEWHERE = {
    "fluxtrail_event_lag_seconds",
    "fluxtrail_exporter_info_problems_total",
    "fluxtrail_objects_unfollowed_total",
    "fluxtrail_workloads_unjudged_total",
    "fluxtrail_images_described_total",
    "fluxtrail_images_refused_total",
    "fluxtrail_image_bumps_waiting",
    "fluxtrail_resource_series",
    "fluxtrail_resource_series_over_budget",
    "fluxtrail_resource_refusals_total",
    "fluxtrail_resource_series_overlapping",
}
"""Given by the runtime."""
REPORTS = (
    "fluxtrail_reports_",
    "fluxtrail_hooks_",
    "fluxtrail_ledger_",
    "fluxtrail_forge_",
    "fluxtrail_budget_",
    "fluxtrail_ci_",
    "fluxtrail_doctor_",
    "fluxtrail_token_cache_",
)
"""Given by dispatchers, by the listener of hooks, by the ledger, of forges and their CI, by the doctor, of tokens."""


async def test_every_metric_is_documented_and_served(ask: Ask) -> None:
    text = (DOCS / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(flux\w+)`", text, flags=re.MULTILINE))
    body = (await ask("metrics", "/metrics")).body.decode()
    served = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in parse_text(body)
        if family.name.startswith("flux") and not family.name.endswith("_created")
    }
    own_of_the_test = {name for name in served if name.startswith("fluxtrail_ledger_")}
    elsewhere = {name for name in documented if name in ELSEWHERE or name.startswith(REPORTS)}
    assert served - own_of_the_test == documented - elsewhere


def test_every_path_and_parameter_is_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    for path, item in msgspec.json.decode(describe())["paths"].items():
        assert re.sub(r"\{\w+_id\}", "{id}", path) in text
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                assert parameter["name"].removeprefix("target_") in text


def test_every_command_and_option_is_documented() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    shown = CliRunner().invoke(cli, ["--help"]).output
    commands = re.findall(r"^  (\w+) ", shown.partition("Commands:")[2], flags=re.MULTILINE)
    assert len(commands) == 15
    for command in commands:
        assert f"fluxtrail {command}" in text
    lists = (
        *(["get", name] for name in ("commits", "deliveries", "targets", "reports", "routes")),
        ["records", "list"],
    )
    changes = (
        ["ci", "build"],
        ["ci", "export"],
        ["ci", "record"],
        ["records", "sync"],
        ["reports", "replay"],
        ["reports", "drop"],
        ["reports", "test"],
    )
    for arguments in (["trace"], ["wait"], *lists, *changes, ["version"]):
        help_text = CliRunner().invoke(cli, [*arguments, "--help"]).output
        for option in set(re.findall(r"(--[a-z-]+)", help_text)) - {"--help", "--output", "--quiet"}:
            assert option in text or option in ("--namespace", "--all-namespaces"), f"{arguments} {option}"
