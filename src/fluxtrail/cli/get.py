"""`fluxtrail get`: lists, as kubectl prints them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

from fluxtrail.cli.client import Client, client_of
from fluxtrail.cli.get_reports import get_reports, get_routes
from fluxtrail.cli.get_running import get_images, get_workloads
from fluxtrail.cli.get_runs import get_runs
from fluxtrail.cli.lists import limit_option, list_options, place_of, place_options, show
from fluxtrail.cli.output import Column
from fluxtrail.cli.wait import Duration
from fluxtrail.cli.words import STUCK, age, short, short_revision, split_repository, split_target
from fluxtrail.model.durations import duration
from fluxtrail.model.stage import Stage
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import ClusterView, CommitView, DeliveryView, TargetView
from fluxtrail.web.shapes import Page

F = TypeVar("F", bound=Callable[..., Any])
VERDICTS = tuple(verdict.value for verdict in Verdict)


@click.group()
def get() -> None:
    """List commits, deliveries, targets, clusters, workloads, images, CI runs, reports or routes."""


get.add_command(get_workloads)
get.add_command(get_images)
get.add_command(get_runs)
get.add_command(get_reports)
get.add_command(get_routes)


def history_options(function: F) -> F:
    function = click.option("--since", type=Duration(), help="Only what is not older, such as 90m or 2d.")(function)
    function = click.option("--verdict", type=click.Choice(VERDICTS), help="Only with this verdict.")(function)
    return click.option("--repository", metavar="NAME", help="Only of this repository: github.com/acme/shop.")(function)


@get.command("commits")
@history_options
@click.option("--branch", metavar="NAME", help="Only what stands on this branch.")
@click.option("--author", metavar="NAME", help="Only whose author's name has this in it.")
@click.option("--no-carriers", is_flag=True, help="Without exports and other carriers.")
@limit_option
@list_options
@click.pass_context
def get_commits(ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, since: timedelta | None, no_carriers: bool, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List commits, the last merged first."""
    client = client_of(ctx)
    parameters = {**filters, "since": _since(client, since), "carriers": "false" if no_carriers else None}
    columns: list[Column[CommitView]] = [
        Column("SHA", lambda c: short(c.sha), lambda _: "sha"),
        Column("SUBJECT", lambda c: c.subject, is_flexible=True),
        Column("REPOSITORY", lambda c: split_repository(c.repository)[1], is_flexible=True),
        Column("HOST", lambda c: split_repository(c.repository)[0], is_wide=True),
        Column("AUTHOR", lambda c: c.author, is_wide=True),
        Column("PR", lambda c: f"#{c.pull_request}" if c.pull_request else "-", is_wide=True),
        Column("CARRIER", lambda c: "yes" if c.is_carrier else "no", is_wide=True),
        Column("VERDICTS", _verdicts, _worst),
        Column("WAITING", lambda c: _seconds(c.oldest_pending_seconds)),
        Column("AGE", lambda c: age(c.merged.at if c.merged else c.committed_at, client.now)),
    ]
    show(
        client,
        lambda: list(client.pages("/commits", CommitView, limit=limit, parameters=parameters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda c: f"commit/{c.sha}",
        has_header=not no_header,
        nothing="No commits found.",
    )


@get.command("deliveries")
@place_options
@click.option("--target", metavar="NAME", help="Only this target: name, Kind/name or Kind/namespace/name.")
@click.option("--sha", metavar="SHA", help="Only of this commit.")
@history_options
@limit_option
@list_options
@click.pass_context
def get_deliveries(ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, since: timedelta | None, all_namespaces: bool, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List deliveries, what changed last first."""
    client = client_of(ctx)
    parameters = {**place_of(filters, all_namespaces), "since": _since(client, since)}
    columns: list[Column[DeliveryView]] = [
        Column("SHA", lambda d: short(d.sha), lambda _: "sha"),
        Column("CLUSTER", lambda d: d.cluster, is_flexible=True),
        Column("NAMESPACE", lambda d: split_target(d.target)[1], is_flexible=True),
        Column("KIND", lambda t: split_target(t.target)[0], is_wide=True),
        Column("NAME", lambda t: split_target(t.target)[2], is_flexible=True),
        Column("VERDICT", lambda d: d.verdict, lambda d: d.verdict),
        Column("STAGE", _last_stage),
        Column("REASON", _reason, is_flexible=True),
        Column("RUNNING", lambda d: d.running, is_wide=True),
        Column("VIA", lambda d: short(d.via or d.carrier), is_wide=True),
        Column("REVISION", lambda d: short_revision(d.revision), is_wide=True),
        Column("UNDONE BY", lambda d: short(d.undone_by), is_wide=True),
        Column("SETTLED", lambda d: "yes" if d.is_settled else "no", is_wide=True),
        Column("SINCE", lambda d: age(d.since, client.now)),
        Column("MESSAGE", _message, is_wide=True, is_flexible=True),
    ]
    show(
        client,
        lambda: list(client.pages("/deliveries", DeliveryView, limit=limit, parameters=parameters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda d: f"delivery/{d.sha}/{d.cluster}/{d.target}",
        has_header=not no_header,
        nothing="No deliveries found.",
    )


@get.command("targets")
@place_options
@click.option("--target", metavar="NAME", help="Only this target: name, Kind/name or Kind/namespace/name.")
@limit_option
@list_options
@click.pass_context
def get_targets(ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, all_namespaces: bool, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List targets, by cluster, namespace and name."""
    client = client_of(ctx)
    parameters = place_of(filters, all_namespaces)
    columns: list[Column[TargetView]] = [
        Column("ID", lambda t: str(t.id), is_wide=True),
        Column("CLUSTER", lambda t: t.cluster, is_flexible=True),
        Column("NAMESPACE", lambda t: split_target(t.target)[1], is_flexible=True),
        Column("KIND", lambda t: split_target(t.target)[0], is_wide=True),
        Column("NAME", lambda t: split_target(t.target)[2], is_flexible=True),
        Column("APPLIED", lambda t: short_revision(t.applied)),
        Column("PHASE", _phase, _phase_style),
        Column("PENDING", lambda t: str(t.pending), lambda t: "pending" if t.pending else None),
        Column("FAILED", lambda t: str(t.failed), lambda t: "failed" if t.failed else None),
        Column("WAITING", lambda t: _seconds(t.oldest_pending_seconds)),
        Column("SOURCE", lambda t: t.source, is_wide=True),
        Column("PATH", lambda t: t.path, is_wide=True),
        Column("SEEN", lambda t: age(t.observed_at, client.now), is_wide=True),
        Column("MESSAGE", lambda t: t.message, is_wide=True, is_flexible=True),
    ]
    show(
        client,
        lambda: list(client.pages("/targets", TargetView, limit=limit, parameters=parameters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda t: t.target.lower(),
        has_header=not no_header,
        nothing="No targets found.",
    )


@get.command("clusters")
@list_options
@click.pass_context
def get_clusters(ctx: click.Context, *, output: str, no_header: bool, is_watched: bool) -> None:
    """List clusters."""
    client = client_of(ctx)
    columns: list[Column[ClusterView]] = [
        Column("NAME", lambda c: c.name),
        Column("UID", lambda c: c.uid, is_wide=True),
        Column("TARGETS", lambda c: str(c.targets)),
        Column("PENDING", lambda c: str(c.pending), lambda c: "pending" if c.pending else None),
        Column("FAILED", lambda c: str(c.failed), lambda c: "failed" if c.failed else None),
        Column("SEEN", lambda c: age(c.current_at, client.now) + (" by events" if c.known_by == "events" else "")),
    ]
    show(
        client,
        lambda: client.get("/clusters", Page[ClusterView]).items,
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda c: f"cluster/{c.name}",
        has_header=not no_header,
        nothing="No clusters found.",
    )


def _since(client: Client, since: timedelta | None) -> str | None:
    """Return the time before now by the server's clock, which is learnt by asking it something small."""
    if since is None:
        return None
    client.get("/clusters", Page[ClusterView])
    try:
        return (client.now - since).isoformat()
    except OverflowError:
        return datetime.min.replace(tzinfo=client.now.tzinfo).isoformat()


def _seconds(seconds: float | None) -> str:
    return duration(seconds) if seconds is not None else "-"


def _verdicts(commit: CommitView) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(commit.verdicts.items()))


def _worst(commit: CommitView) -> str | None:
    order = ("failed", "pending", "rolled_back", "lost", "deployed")
    return next((verdict for verdict in order if commit.verdicts.get(verdict)), None)


def _last_stage(delivery: DeliveryView) -> str:
    return next((stage.value for stage in reversed(list(Stage)) if stage.value in delivery.stages), "-")


def _reason(delivery: DeliveryView) -> str:
    """Why it is where it is: of what is applied, why it does not run."""
    return delivery.reason or next((b.cause or b.state for b in delivery.blockers if b.state in STUCK), "")


def _message(delivery: DeliveryView) -> str:
    return delivery.message or next((f"{b.workload}: {b.message}" for b in delivery.blockers if b.message), "")


def _phase(target: TargetView) -> str:
    if target.deleted_at is not None:
        return "deleted"
    return "suspended" if target.is_suspended else target.phase


def _phase_style(target: TargetView) -> str | None:
    known = {"failed": "failed", "succeeded": "deployed", "running": "pending", "checking": "pending"}
    return "dim" if target.is_suspended else known.get(target.phase, "pending")
