"""`fluxtrail records`: what GitHub is told of the images that run, and telling it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from fluxtrail.cli.client import client_of
from fluxtrail.cli.lists import limit_option, place_of, place_options
from fluxtrail.cli.output import Column, output_option, print_items
from fluxtrail.cli.wait import Duration
from fluxtrail.cli.words import age, short
from fluxtrail.model.deployment import DeploymentStatus, Told
from fluxtrail.model.durations import duration
from fluxtrail.model.views import RecordView

STATUSES = tuple(status.value for status in DeploymentStatus)
TOLD = tuple(told.value for told in Told)


@click.group()
def records() -> None:
    """List deployment records, or tell GitHub all of them again."""


@records.command("list")
@place_options
@click.option("--status", type=click.Choice(STATUSES), help="Only with this status.")
@click.option("--told", type=click.Choice(TOLD), help="Only those that stand so with GitHub.")
@click.option("--digest", metavar="DIGEST", help="Only of this digest, or with a part of it.")
@click.option("--text", metavar="TEXT", help="Only with this in the deployment name, the image or the digest.")
@limit_option
@output_option
@click.option("--no-header", is_flag=True, help="No line of titles.")
@click.pass_context
def list_(ctx: click.Context, /, *, output: str, no_header: bool, limit: int, all_namespaces: bool, digest: str | None, text: str | None, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List deployment records, what changed last first.

    A record is one deployment name on one cluster: the image digest that runs under it, and whether GitHub was told.
    """
    if digest and text:
        raise click.UsageError("--digest and --text exclude each other")
    client = client_of(ctx)
    parameters = {**place_of(filters, all_namespaces), "text": digest or text}
    found = list(client.pages("/records", RecordView, limit=limit, parameters=parameters))
    nothing = "No records found."
    is_one = filters["cluster"] is not None
    print_records(found, form=output, now=client.now, is_one_cluster=is_one, has_header=not no_header, nothing=nothing)


@records.command()
@click.option("--cluster", metavar="NAME", help="Only of this cluster: its name or uid.")
@click.option("--dry-run", is_flag=True, help="Only list what would be told.")
@click.option("--wait/--no-wait", "is_waiting", default=True, show_default=True, help="Wait until all were told.")
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait at most.")
@output_option
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def sync(
    ctx: click.Context,
    *,
    cluster: str | None,
    dry_run: bool,
    is_waiting: bool,
    timeout: timedelta,
    output: str,
    quiet: bool,
) -> None:
    """Tell GitHub all deployment records again: after somebody changed or deleted them there.

    Exit codes: 0 GitHub was told, or knows no such artifact; 1 it refused some; 2 usage; 3 not within --timeout.
    """
    from fluxtrail.cli.records_sync import run_sync, show_dry_run

    client = client_of(ctx)
    if dry_run:
        show_dry_run(client, cluster, form=output, is_quiet=quiet)
        return
    ctx.exit(run_sync(client, cluster, timeout=timeout if is_waiting else None, form=output, is_quiet=quiet))


def print_records(
    found: Sequence[RecordView],
    *,
    form: str,
    now: datetime,
    is_one_cluster: bool,
    has_header: bool = True,
    nothing: str,
) -> None:
    """Print records.

    Args:
        is_one_cluster: they were asked for by its name, which is then not repeated, as kubectl does for a namespace.
    """
    columns: list[Column[RecordView]] = [
        Column("CLUSTER", lambda r: r.cluster, is_flexible=True, is_wide=is_one_cluster),
        Column("NAME", lambda r: r.deployment_name, is_flexible=True),
        Column("KIND", lambda r: r.kind, is_wide=True),
        Column(
            "IMAGE",
            lambda r: r.name if form == "wide" else _without_registry(r.name),
            is_flexible=True,
            is_dispensable=True,
        ),
        Column("VERSION", lambda r: r.version, is_flexible=True),
        Column("DIGEST", lambda r: short(r.digest.removeprefix("sha256:")), lambda _: "sha"),
        Column("STATUS", lambda r: r.status, lambda r: "decommissioned" if r.status == "decommissioned" else None),
        Column("TOLD", lambda r: r.told, lambda r: r.told),
        Column("SINCE", lambda r: age(r.since, now)),
        Column("RISKS", lambda r: ",".join(r.runtime_risks), is_wide=True),
        Column("TAGS", lambda r: ",".join(f"{key}={value}" for key, value in r.tags.items()), is_wide=True),
        Column("TOLD TO", lambda r: r.told_to, is_wide=True),
        Column("AGAIN", lambda r: _again(r, now), is_wide=True),
        Column("ANSWER", lambda r: r.answer or r.report_answer, is_wide=True),
    ]
    print_items(
        found,
        columns,
        form=form,
        name=lambda r: f"record/{r.cluster}/{r.deployment_name}",
        has_header=has_header,
        nothing=nothing,
    )


def _without_registry(name: str) -> str:
    host, slash, path = name.partition("/")
    return path if slash and (host == "localhost" or any(c in host for c in ".:")) else name


def _again(record: RecordView, now: datetime) -> str:
    """In how long GitHub is asked again about a digest that it does not know."""
    if record.told != "unknown":
        return "-"
    if record.retry_at is None:
        return "no more"
    return f"in {duration(max((record.retry_at - now).total_seconds(), 0.0))}"
