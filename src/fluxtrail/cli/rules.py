"""`fluxtrail rules`: recording and alert rules for Prometheus."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import click

from fluxtrail.cli.wait import Duration
from fluxtrail.monitoring.objective import objective_of
from fluxtrail.monitoring.rules import RUNBOOKS, prometheus_file, prometheus_rule
from fluxtrail.monitoring.ruleset import alerts, all_rules

_TEMPLATE = re.compile(r"\{\{.*?\}\}")
"""What Prometheus fills in when an alert fires."""


@click.group()
def rules() -> None:
    """List alerts, or export them as rules for Prometheus."""


@rules.command("list")
def list_() -> None:
    """List the alerts: their names, severities, for how long they must hold, and what they say."""
    found = alerts(all_rules(objective_of()))
    width = max(len(one.name) for one in found)
    for one in found:
        said = _TEMPLATE.sub("…", one.description)
        click.echo(f"{one.name:{width}}  {one.severity:8}  {one.lasts:>4}  {said}")


@rules.command()
@click.option("--objective", metavar="SHARE", type=float, default=0.99, show_default=True, help="How many, of all.")
@click.option("--threshold", type=Duration(), default="15m", show_default=True, help="How long a delivery may take.")
@click.option("--window", type=Duration(), default="28d", show_default=True, help="Over what the share is reckoned.")
@click.option(
    "--stage",
    type=click.Choice(["applied", "running"]),
    default="applied",
    show_default=True,
    help="Where a delivery is to arrive, from merged.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["prometheus", "prometheusrule"]),
    default="prometheus",
    show_default=True,
    help="A file for rule_files, or an object for the Prometheus operator.",
)
@click.option("--runbooks", metavar="URL", default=RUNBOOKS, show_default=True, help="Where docs/alerts.md is read.")
@click.option("-n", "--namespace", metavar="NAME", help="The PrometheusRule's namespace.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a file; else to stdout.",
)
def export(
    *,
    objective: float,
    threshold: timedelta,
    window: timedelta,
    stage: str,
    form: str,
    runbooks: str,
    namespace: str | None,
    output: Path | None,
) -> None:
    """Print the rules: OBJECTIVE of all deliveries reach the stage within THRESHOLD, over WINDOW.

    fluxtrail rules export --format prometheusrule -n monitoring | kubectl apply -f -
    """
    from fluxtrail.cli.dashboards import write
    from fluxtrail.monitoring.documents import yaml_text

    if namespace and form != "prometheusrule":
        raise click.UsageError("--namespace is of a PrometheusRule; add --format prometheusrule")
    groups = all_rules(objective_of(share=objective, threshold=threshold, window=window, stage=stage))
    if form == "prometheus":
        text = yaml_text([prometheus_file(groups, runbooks=runbooks)])
    else:
        text = yaml_text([prometheus_rule(groups, runbooks=runbooks, namespace=namespace)])
    if output is None:
        click.echo(text, nl=False)
    else:
        write(output, text)
