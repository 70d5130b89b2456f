"""`fluxtrail reports`: send dead letters again, give reports up, and try a route."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from fluxtrail.cli.client import Client, client_of
from fluxtrail.cli.get_reports import check_place
from fluxtrail.cli.output import output_option, print_data
from fluxtrail.cli.terminal import terminal
from fluxtrail.cli.waiting import Exit
from fluxtrail.cli.words import printable
from fluxtrail.model.report import ReportState, ReportView
from fluxtrail.web.shapes import ReportsChanged, ReportsRequest, RouteTest, RouteTestRequest

F = TypeVar("F", bound=Callable[..., Any])
MOST_IDS = 1000
SHORT_SECONDS = 0.1
TEST_SECONDS = 120.0
"""A receiver that answers late is still waited for."""
_COUNTED = 100
_PREFIX = "report/"


@click.group()
def reports() -> None:
    """Send dead letters again, give reports up, or try a route. `get reports` lists them."""


def selection(function: F) -> F:
    """Which reports: ids, a route, a sink, or all dead letters."""
    function = click.option("--all-dead", is_flag=True, help="All dead letters, of whatever route.")(function)
    function = click.option("--sink", metavar="NAME", help="All of this sink, such as otlp.traces.")(function)
    function = click.option("--route", metavar="NAME", help="All of this route.")(function)
    return click.argument("ids", nargs=-1, metavar="[ID]...")(function)


@reports.command()
@selection
@output_option
@click.pass_context
def replay(ctx: click.Context, /, *, output: str, **said: Any) -> None:
    """Send dead letters again, now: by their ids, or all of a route.

    Exit codes: 0 done, also where none was dead; 1 it could not be asked; 2 usage.
    """
    request = _request(**said)
    found = client_of(ctx).post("/reports/replay", ReportsChanged, request)
    _print_changed(found, "will be sent again", "none of them is dead: nothing to send again", form=output)


@reports.command()
@selection
@click.option("-y", "--yes", "is_sure", is_flag=True, help="Do not ask.")
@output_option
@click.pass_context
def drop(ctx: click.Context, /, *, output: str, is_sure: bool, **said: Any) -> None:
    """Never send reports: by their ids, all of a route (those that wait too), or all dead letters.

    Exit codes: 0 done, also where there were none; 1 not confirmed, or it could not be asked; 2 usage.
    """
    request = _request(**said)
    client = client_of(ctx)
    if not is_sure:
        _confirm(client, request)
    found = client.post("/reports/drop", ReportsChanged, request)
    _print_changed(found, "will never be sent", "none of them waits or is dead: nothing to drop", form=output)


@reports.command("test")
@click.argument("route")
@output_option
@click.pass_context
def test_(ctx: click.Context, *, route: str, output: str) -> None:
    """Send one test message to a route's receiver, and print what came back.

    Exit codes: 0 it was taken; 1 it was refused, or could not be sent; 2 usage.
    """
    client = client_of(ctx, timeout_seconds=TEST_SECONDS)
    found = client.post(f"/routes/{_segment(route)}/test", RouteTest, RouteTestRequest())
    if output in ("json", "yaml"):
        print_data(found, output)
    elif output == "name":
        click.echo(printable(f"route/{found.route}"))
    else:
        _print_test(found)
    ctx.exit(Exit.OK if found.is_taken else Exit.FAILED)


def _request(*, ids: Sequence[str], route: str | None, sink: str | None, all_dead: bool) -> ReportsRequest:
    check_place({"route": route, "sink": sink})
    if sum((bool(ids), bool(route or sink), all_dead)) != 1:
        raise click.UsageError("say which reports: ids (from `fluxtrail get reports`), --route, --sink or --all-dead")
    if len(ids) > MOST_IDS:
        raise click.UsageError(f"{len(ids)} ids are more than {MOST_IDS}; use --route, --sink or --all-dead")
    numbers = [_number(text) for text in ids]
    return ReportsRequest(ids=numbers, route=route, sink=sink, all_dead=all_dead)


def _number(text: str) -> int:
    """Read an id as `get reports` shows it: `12`, or `report/12` of `-o name`."""
    digits = text.removeprefix(_PREFIX)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19 and int(digits) > 0):
        raise click.UsageError(f"{text[:80]!r} is no id of a report; `fluxtrail get reports` lists them")
    return int(digits)


def _segment(route: str) -> str:
    """A route's name as one part of a path; `get routes -o name` has it with its kind before it."""
    name = route.removeprefix("route/")
    if not name or len(name) > 63 or not all(char.isascii() and (char.isalnum() or char == "-") for char in name):
        raise click.UsageError(f"{route[:80]!r} is no name of a route; `fluxtrail get routes` lists them")
    return name


def _confirm(client: Client, request: ReportsRequest) -> None:
    """Ask whoever sits there; refuse where nobody can be asked."""
    if not sys.stdin.isatty():
        raise click.UsageError("dropping cannot be undone; add --yes where nobody can be asked")
    click.confirm(f"{_described(client, request)} will never be sent. Go on?", abort=True, err=True)


def _described(client: Client, request: ReportsRequest) -> str:
    if request.ids:
        return _reports(len(request.ids))
    states = [ReportState.DEAD] if request.all_dead else [ReportState.DEAD, ReportState.WAITING]
    place = {"route": request.route, "sink": request.sink}
    numbers = [
        len(list(client.pages("/reports", ReportView, limit=_COUNTED, parameters={**place, "state": state.value})))
        for state in states
    ]
    is_more = any(number == _COUNTED for number in numbers)
    return f"{'At least ' if is_more else ''}{_reports(sum(numbers))}"


def _print_changed(found: ReportsChanged, done: str, nothing: str, *, form: str) -> None:
    if form in ("json", "yaml"):
        print_data(found, form)
        return
    out = terminal()
    if not found.changed:
        out.echo(f"{out.style(out.glyph('note'), 'pending')} {nothing}")
        return
    out.echo(f"{out.style(out.glyph('deployed'), 'deployed')} {_reports(found.changed)} {done}")


def _print_test(found: RouteTest) -> None:
    out = terminal()
    style, verb = ("deployed", "took") if found.is_taken else ("failed", "refused")
    out.echo(
        f"{out.style(out.glyph(style), style)} {printable(found.where) or 'the receiver'} {verb} the test message of "
        f"{printable(found.route)} after {_seconds(found.seconds)}: {printable(found.answer)}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= SHORT_SECONDS else f"{max(round(seconds * 1000), 1)} ms"


def _reports(count: int) -> str:
    return f"{count} report" if count == 1 else f"{count} reports"
