"""`fluxtrail get reports` and `get routes`: what is on its way out, what was given up, and to whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from fluxtrail.cli.client import client_of
from fluxtrail.cli.lists import limit_option, list_options, show
from fluxtrail.cli.output import Column
from fluxtrail.cli.words import age, short
from fluxtrail.model.durations import duration
from fluxtrail.model.report import ReportState, ReportView
from fluxtrail.web.shapes import Page, RouteView

STATES = tuple(state.value for state in ReportState)
_STYLES = {"waiting": "pending", "dead": "failed", "sent": "deployed", "dropped": "dim"}
_OF_A_ROUTE = "route."


@click.command("reports")
@click.option("--state", type=click.Choice(STATES), help="Only those that stand so.")
@click.option("--route", metavar="NAME", help="Only of this route.")
@click.option("--sink", metavar="NAME", help="Only of this sink, such as otlp.traces.")
@limit_option
@list_options
@click.pass_context
def get_reports(
    ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, **filters: Any
) -> None:
    """List reports, the last planned first: what outside systems are still to be told, and what was given up."""
    check_place(filters)
    client = client_of(ctx)
    columns: list[Column[ReportView]] = [
        Column("ID", lambda r: str(r.id)),
        Column("TO", lambda r: r.sink.removeprefix(_OF_A_ROUTE), is_flexible=True),
        Column("COMMIT", lambda r: short(r.sha)),
        Column("KEY", lambda r: r.key, is_flexible=True, readable=12),
        Column("STATE", lambda r: r.state.value, lambda r: _STYLES.get(r.state)),
        Column("MODE", lambda r: r.mode.value, is_wide=True),
        Column("ATTEMPTS", lambda r: str(r.attempts)),
        Column("NEXT", lambda r: _next(r, client.now)),
        Column("AGE", lambda r: age(r.created_at, client.now)),
        Column("ENDED", lambda r: age(r.ended_at, client.now), is_wide=True),
        Column("OWNER", lambda r: r.owner or "", is_wide=True),
        Column("ANSWER", lambda r: r.answer or "", is_flexible=True, is_dispensable=True),
    ]
    show(
        client,
        lambda: list(client.pages("/reports", ReportView, limit=limit, parameters=filters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda r: f"report/{r.id}",
        has_header=not no_header,
        nothing="No reports found.",
    )


@click.command("routes")
@list_options
@click.pass_context
def get_routes(ctx: click.Context, *, output: str, no_header: bool, is_watched: bool) -> None:
    """List routes, and how they are doing; then what else has reports."""
    client = client_of(ctx)
    columns: list[Column[RouteView]] = [
        Column("NAME", lambda r: r.name, is_flexible=True),
        Column("KIND", lambda r: r.kind if r.kind != r.name else ""),
        Column("STATE", _state, _state_style),
        Column("WAITING", lambda r: str(r.waiting), lambda r: "pending" if r.waiting else None),
        Column("DEAD", lambda r: str(r.dead), lambda r: "failed" if r.dead else None),
        Column("SENT", lambda r: str(r.sent), is_wide=True),
        Column("OLDEST", lambda r: age(r.oldest_at, client.now), is_wide=True),
        Column("BUDGET", lambda r: "" if r.budget_left is None else str(r.budget_left), is_wide=True),
        Column("SINK", lambda r: r.sink, is_wide=True),
        Column("PROBLEM", lambda r: r.problem or r.answer, is_flexible=True, is_dispensable=True),
    ]
    show(
        client,
        lambda: client.get("/routes", Page[RouteView]).items,
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda r: f"route/{r.name}",
        has_header=not no_header,
        nothing="No routes found.",
    )


def check_place(filters: dict[str, Any]) -> None:
    """Raise UsageError where both names of a receiver are given."""
    if filters.get("route") and filters.get("sink"):
        raise click.UsageError("--route and --sink exclude each other")


def _next(report: ReportView, now: datetime) -> str:
    """In how long it is tried, or that it is being sent."""
    if report.state is not ReportState.WAITING:
        return ""
    if report.owner is not None:
        return "sending"
    seconds = (report.due_at - now).total_seconds()
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def _state(route: RouteView) -> str:
    return "down" if route.is_down else "problem" if _has_problem(route) else "ok"


def _state_style(route: RouteView) -> str:
    return "failed" if route.is_down else "warn" if _has_problem(route) else "deployed"


def _has_problem(route: RouteView) -> bool:
    """Others may be told while one report is refused again and again: that is no reason to call it well."""
    return bool(route.problem or route.answer)
