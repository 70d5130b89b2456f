"""`fluxtrail doctor`: what is wrong with Flux's objects, why, since when, and the exact command; and doing it.

Speaks to clusters by kubeconfig, not to a Fluxtrail server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click
import msgspec

from fluxtrail.cli.output import print_data

if TYPE_CHECKING:
    from fluxtrail.gitops.doctor.round import Report

FORMATS = ("table", "wide", "json", "yaml", "name")
FOUND = 1
WATCH_SECONDS = 10.0
ACTS_PER_HOUR, ACTS_PER_NAMESPACE = 10, 3


class DoctorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for at the command line."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    contexts: tuple[str, ...] = ()
    kubeconfig: str = ""
    acts: bool = False
    reads_locks: bool = False
    suspended_after: timedelta = timedelta(days=1)
    patience: timedelta = timedelta(minutes=5)
    per_hour: int = ACTS_PER_HOUR
    per_namespace: int = ACTS_PER_NAMESPACE


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from fluxtrail.model.durations import find_seconds

        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        days = text[:-1] if text.endswith("d") else ""
        seconds = float(days) * 86_400 if days.isdecimal() and len(days) < 6 else find_seconds(text)
        if seconds is None:
            self.fail(f"{text[:40]!r} is no duration; write 90s, 5m, 2h or 3d", param, ctx)
        return timedelta(seconds=seconds)


@click.command()
@click.argument("query", metavar="[KIND/NAME]", required=False, default="")
@click.option("-n", "--namespace", metavar="NAME", help="Only this namespace.")
@click.option("-A", "--all-namespaces", "is_everywhere", is_flag=True, help="All namespaces, as without -n.")
@click.option(
    "--context", "contexts", metavar="NAME", multiple=True, help="A cluster of the kubeconfig; may be repeated."
)
@click.option(
    "--kubeconfig", metavar="PATH", type=click.Path(dir_okay=False), help="Else KUBECONFIG, else ~/.kube/config."
)
@click.option(
    "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How it is printed."
)
@click.option("--act", "acts", is_flag=True, help="Do what it says it would do; else nothing is written.")
@click.option("-w", "--watch", "is_watched", is_flag=True, help="Look again every 10 seconds.")
@click.option("--utc", "is_utc", is_flag=True, help="Times in UTC instead of this machine's zone.")
@click.option("--suspended-after", type=_Duration(), default="1d", show_default=True, help="Suspended for too long.")
@click.option(
    "--patience", type=_Duration(), default="5m", show_default=True, help="How long something may fail or wait."
)
@click.option(
    "--helm-secrets", "reads_locks", is_flag=True, help="Read the labels of Helm's Secrets for held releases."
)
@click.option("--budget", type=click.IntRange(0), default=ACTS_PER_HOUR, show_default=True, help="Acts an hour.")
@click.option(
    "--namespace-budget",
    type=click.IntRange(0),
    default=ACTS_PER_NAMESPACE,
    show_default=True,
    help="Acts an hour in one namespace.",
)
@click.pass_context
def doctor(
    ctx: click.Context,
    *,
    query: str,
    namespace: str | None,
    is_everywhere: bool,
    contexts: tuple[str, ...],
    kubeconfig: str | None,
    output: str,
    acts: bool,
    is_watched: bool,
    is_utc: bool,
    suspended_after: timedelta,
    patience: timedelta,
    reads_locks: bool,
    budget: int,
    namespace_budget: int,
) -> None:
    """Find what is wrong with HelmReleases, Kustomizations and sources, and say what to do.

    Each finding has a cause, what it was seen by, since when, and the command that mends it. With --act the doctor
    does what it may: once for each state of an object, within a budget, never on what is suspended or would fail
    again; it leaves an Event on each object. Exit code 0: nothing was found; 1: something was, or nothing could be
    read.
    """
    if namespace and is_everywhere:
        raise click.UsageError("-n and -A exclude each other")
    kind, name = _read_query(query)
    request = DoctorRequest(
        kind=kind,
        name=name,
        namespace=namespace or "",
        contexts=contexts,
        kubeconfig=kubeconfig or "",
        acts=acts,
        reads_locks=reads_locks,
        suspended_after=suspended_after,
        patience=patience,
        per_hour=budget,
        per_namespace=namespace_budget,
    )
    if is_watched:
        _watch(request, output, is_utc=is_utc)
        return
    from fluxtrail.cli.gitops_cluster import run

    reports = run(_ask(request))
    _print(reports, request, output, is_utc=is_utc)
    ctx.exit(FOUND if any(report.findings or _is_blind(report, request) for report in reports) else 0)


def _is_blind(report: Report, request: DoctorRequest) -> bool:
    """Whether nothing of what was asked about could be read: then nothing found says nothing."""
    return request.kind not in report.seen if request.kind else not report.seen


def _read_query(query: str) -> tuple[str, str]:
    """Return kind and name of `hr/api`, or the kind alone of `hr`."""
    if not query:
        return "", ""
    from fluxtrail.model.doctor.patients import GROUP_OF, SOURCE_KINDS
    from fluxtrail.model.kinds import find_kind

    written, _, name = query.partition("/")
    found = find_kind(written)
    if found is None or found.kind not in (*GROUP_OF, *SOURCE_KINDS):
        raise click.UsageError(f"{query[:120]!r} is none of Flux's objects: write hr/api, ks/apps or gitrepo/fleet")
    return found.kind, name


async def _ask(request: DoctorRequest) -> list[Report]:
    from fluxtrail.cli.doctor_asking import open_practice

    async with open_practice(request) as practice:
        return await practice.look()


def _watch(request: DoctorRequest, output: str, *, is_utc: bool) -> None:
    from fluxtrail.cli.gitops_cluster import run
    from fluxtrail.cli.screen import Screen
    from fluxtrail.cli.watch import interruptible

    screen = Screen()

    def show(reports: Sequence[Report]) -> None:
        if output in ("table", "wide"):
            from fluxtrail.cli.doctor_screen import lines

            screen.draw(lines(reports, screen.out, is_whole=output == "wide", is_utc=is_utc, has_acted=request.acts))
        else:
            _print(reports, request, output, is_utc=is_utc)

    with interruptible():
        run(_go_on(request, show, screen.note))


async def _go_on(request: DoctorRequest, show: Callable[[Sequence[Report]], None], note: Callable[[str], None]) -> None:
    from fluxtrail.cli.doctor_asking import open_practice
    from fluxtrail.model.errors import UpstreamError

    async with open_practice(request) as practice:
        has_answered = False
        while True:
            began = time.monotonic()
            try:
                show(await practice.look())
                has_answered = True
            except UpstreamError as exc:
                if not has_answered or not exc.retryable:
                    raise
                note(f"no answer now: {exc}")
            await asyncio.sleep(max(WATCH_SECONDS - (time.monotonic() - began), 1.0))


def _print(reports: Sequence[Report], request: DoctorRequest, output: str, *, is_utc: bool) -> None:
    if output in ("json", "yaml"):
        print_data({"items": [each for report in reports for each in _items(report)]}, output)
    elif output == "name":
        for report in reports:
            for finding in report.findings:
                click.echo(f"{finding.kind.lower()}.{finding.group}/{finding.name}")
    else:
        from fluxtrail.cli.doctor_screen import lines
        from fluxtrail.cli.terminal import terminal

        out = terminal()
        for line in lines(
            reports, out, is_whole=output == "wide" or bool(request.name), is_utc=is_utc, has_acted=request.acts
        ):
            out.echo(line)
    for report in reports:
        for problem in report.problems:
            click.echo(f"{report.cluster}: {problem}", err=True)


def _items(report: Report) -> list[dict[str, object]]:
    """Return each finding with what was done about it, or would be."""
    treated = {(each.plan.finding.key, each.plan.finding.code): each for each in report.treated}
    found = []
    for finding in report.findings:
        done = treated.get((finding.key, finding.code))
        item = msgspec.to_builtins(finding, builtin_types=())
        item["treatment"] = (
            {"outcome": done.outcome, "hold": done.plan.hold, "message": done.message} if done is not None else None
        )
        found.append(item)
    return found
