"""Sends statements until they have arrived: a pipeline must not fail because a server restarts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import click

from fluxtrail.cli.client import Client
from fluxtrail.cli.output import print_data
from fluxtrail.cli.terminal import terminal
from fluxtrail.cli.waiting import Exit
from fluxtrail.cli.words import printable, short
from fluxtrail.model.ci import CiRun
from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.web.statements import CiStatement

PATH = "/ci/runs"
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 15.0
REQUEST_SECONDS = 10.0
_TOO_MANY = 429

Say = Callable[[str], None]


def send(
    client: Client,
    said: CiStatement,
    *,
    timeout_seconds: float,
    say: Say,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> CiRun:
    """State a run, again and again until it has arrived.

    Raises:
        UpstreamError and its kin: it was refused, or `timeout_seconds` were not enough; then it is retryable.
    """
    end, rest = monotonic() + timeout_seconds, FIRST_REST_SECONDS
    while True:
        try:
            return client.post(PATH, CiRun, said)
        except UpstreamError as exc:
            left = end - monotonic()
            if not _may_pass(exc, said):
                raise
            if left <= 0:
                raise UpstreamError(
                    f"{exc}; given up after {timeout_seconds:g} s", status=exc.status, retryable=True
                ) from exc
            pause = min(rest * random.uniform(0.75, 1.25), max(left, 0.0))  # noqa: S311 - so that not all come at once
            say(f"{exc}; trying again in {pause:.0f} s")
            sleep(pause)
            rest = min(2 * rest, LONGEST_REST_SECONDS)


def _may_pass(exc: UpstreamError, said: CiStatement) -> bool:
    """A short sha, and a run that is referred to, may become known in a moment."""
    if isinstance(exc, NotFoundError):
        return said.of is not None or not is_sha(said.sha.lower())
    return exc.status == _TOO_MANY or exc.retryable


def send_all(
    client: Client, statements: Sequence[CiStatement], *, timeout_seconds: float, form: str, is_quiet: bool
) -> Exit:
    """State runs one after the other, and print what they became; what is not there in time is exit 3."""

    def say(text: str) -> None:
        if not is_quiet:
            click.echo(printable(text), err=True)

    for said in statements:
        try:
            run = send(client, said, timeout_seconds=timeout_seconds, say=say)
        except UpstreamError as exc:
            if not exc.retryable or exc.status == _TOO_MANY:
                raise
            click.echo(f"Error: {printable(str(exc))}", err=True)
            return Exit.TIMEOUT
        _print(run, form)
    return Exit.OK


def show(statements: Sequence[CiStatement], form: str) -> None:
    """Print what would be sent, and where."""
    for said in statements:
        if form == "yaml":
            click.echo("---")
        print_data(said, form if form in ("json", "yaml") else "json")


def _print(run: CiRun, form: str) -> None:
    if form in ("json", "yaml"):
        print_data(run, form)
    elif form == "name":
        click.echo(printable(f"run/{run.run_id}"))
    else:
        out = terminal()
        number = f" {run.number}" if run.number else ""
        out.echo(
            f"{out.style(out.glyph('deployed'), 'deployed')} {run.role.value}{printable(number)} of "
            f"{printable(run.repository)} {short(run.sha)} is stated: {run.state.value}"
        )
