"""`fluxtrail get runs`: runs of CI pipelines, as they were asked for or stated."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from fluxtrail.cli.client import client_of
from fluxtrail.cli.lists import limit_option, list_options, show
from fluxtrail.cli.output import Column
from fluxtrail.cli.words import age, short, split_repository
from fluxtrail.model.ci import CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.durations import duration

_STYLES = {
    CiState.SUCCEEDED: "deployed",
    CiState.FAILED: "failed",
    CiState.CANCELLED: "failed",
    CiState.SKIPPED: "dim",
    CiState.UNKNOWN: "warn",
}


@click.command("runs")
@click.option("--repository", metavar="NAME", help="Only of this repository: github.com/acme/shop, or the end of it.")
@click.option("--sha", metavar="SHA", help="Only of this commit; the beginning will do.")
@click.option("--state", type=click.Choice([state.value for state in CiState]), help="Only those that stand so.")
@click.option("--role", type=click.Choice([role.value for role in CiRole]), help="Only what builds, or exports.")
@click.option("--system", type=click.Choice([system.value for system in CiSystem]), help="Only of this CI system.")
@limit_option
@list_options
@click.pass_context
def get_runs(
    ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, **filters: Any
) -> None:
    """List runs of CI pipelines, what began last first; a run that exports several commits once for each."""
    client = client_of(ctx)
    columns: list[Column[CiRun]] = [
        Column("RUN", lambda r: r.number or r.run_id, is_flexible=True),
        Column("PIPELINE", lambda r: r.pipeline, is_flexible=True),
        Column("ROLE", lambda r: r.role.value),
        Column("SHA", lambda r: short(r.sha), lambda _: "sha"),
        Column("REPOSITORY", lambda r: split_repository(r.repository)[1], is_flexible=True),
        Column("HOST", lambda r: split_repository(r.repository)[0], is_wide=True),
        Column("STATE", lambda r: r.state.value, lambda r: _STYLES.get(r.state, "pending")),
        Column("TOOK", lambda r: _took(r, client.now)),
        Column("AGE", lambda r: age(r.at, client.now)),
        Column("ID", lambda r: r.run_id, is_wide=True),
        Column("ATTEMPT", lambda r: str(r.attempt), is_wide=True),
        Column("EVENT", lambda r: r.event, is_wide=True),
        Column("BRANCH", lambda r: r.branch, is_wide=True),
        Column("AUTHOR", lambda r: r.author, is_wide=True),
        Column("SERVICE", lambda r: r.service, is_wide=True),
        Column("ENVIRONMENT", lambda r: r.environment, is_wide=True),
        Column("CARRIER", lambda r: short(r.carrier_sha), is_wide=True),
        Column("KNOWN", lambda r: r.evidence.value, is_wide=True),
        Column("IMAGE", lambda r: r.image, is_wide=True, is_flexible=True),
    ]
    show(
        client,
        lambda: list(client.pages("/ci/runs", CiRun, limit=limit, parameters=filters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda r: f"run/{r.host}/{r.project}/{r.run_id}/{r.role.value}/{short(r.sha)}",
        has_header=not no_header,
        nothing="No runs found.",
    )


def _took(run: CiRun, now: datetime) -> str:
    """Since it began: until it was over, or until now; clocks may differ, and no time is negative."""
    begun = run.started_at or run.queued_at
    end = run.finished_at or (None if run.state.is_final else now)
    if begun is None or end is None or run.state is CiState.QUEUED:
        return ""
    return duration(max((end - begun).total_seconds(), 0.0))
