"""`fluxtrail wait`: for a pipeline that goes on once a commit is where it should be."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

import click

from fluxtrail.cli.client import AmbiguousError, Client, UnreachableError, client_of
from fluxtrail.cli.output import print_data
from fluxtrail.cli.terminal import Terminal, terminal
from fluxtrail.cli.trace import candidates_text, find_trail, narrowing_options
from fluxtrail.cli.waiting import Decision, Exit, Waiter, parse_duration, timeout_text
from fluxtrail.model.errors import NotFoundError, UpstreamError
from fluxtrail.model.views import TrailView

POLL_FIRST_SECONDS = 0.5
POLL_MOST_SECONDS = 5.0


class Duration(click.ParamType[timedelta]):
    """`90s`, `10m`, `1h30m`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = value if isinstance(value, timedelta) else parse_duration(str(value))
        if found is None:
            self.fail(f"{value!r} is no duration; write 90s, 10m or 1h30m", param, ctx)
        return found


@click.command()
@click.argument("sha", metavar="SHA|PREFIX|#PR")
@click.option(
    "--for", "goal", type=click.Choice(["applied", "healthy"]), default="healthy", show_default=True, help="The stage."
)
@narrowing_options
@click.option("--timeout", type=Duration(), default="10m", show_default=True, help="How long to wait at most.")
@click.option(
    "--fail-after", type=Duration(), default="0s", show_default=True, help="How long a failure must last to be the end."
)
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), help="Print the trail at the end.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_context
def wait(
    ctx: click.Context,
    *,
    sha: str,
    goal: str,
    clusters: tuple[str, ...],
    targets: tuple[str, ...],
    timeout: timedelta,
    fail_after: timedelta,
    output: str | None,
    quiet: bool,
) -> None:
    """Wait until a commit is applied or healthy on every target that it concerns.

    A commit that is not known yet is waited for. Exit codes: 0 it is there, or concerns no target; 1 it failed;
    2 usage, or the sha is ambiguous; 3 not within --timeout; 4 it will not happen: it was lost, rolled back or
    abandoned.
    """
    waiter = Waiter(goal=goal, clusters=clusters, targets=targets, fail_after=fail_after)
    progress = Progress(terminal(sys.stderr), is_quiet=quiet)
    watch = _Watch(client_of(ctx), sha, waiter, progress)
    try:
        decision = watch.until(time.monotonic() + timeout.total_seconds(), timeout.total_seconds())
    except AmbiguousError as exc:
        progress.end()
        raise click.UsageError(candidates_text(exc.candidates, sha)) from exc
    progress.end(decision)
    if output and watch.trail is not None:
        print_data(watch.trail, output)
    ctx.exit(decision.exit if decision.exit is not None else Exit.FAILED)


class _Watch:
    """Looks again and again, ever more slowly while nothing changes."""

    def __init__(self, client: Client, query: str, waiter: Waiter, progress: Progress) -> None:
        self._client = client
        self._query = query
        self._waiter = waiter
        self._progress = progress
        self._has_been_answered = False
        self.trail: TrailView | None = None

    def until(self, deadline: float, seconds: float) -> Decision:
        pause = POLL_FIRST_SECONDS
        while True:
            decision = self._look()
            if decision.exit is not None:
                return decision
            has_changed = self._progress.tell(decision.reason)
            pause = POLL_FIRST_SECONDS if has_changed else min(pause * 1.5, POLL_MOST_SECONDS)
            left = deadline - time.monotonic()
            if left <= 0:
                return Decision(Exit.TIMEOUT, timeout_text(seconds, decision.reason))
            time.sleep(min(pause, left))

    def _look(self) -> Decision:
        """A server that was there and is gone is being restarted: it is waited for like the commit."""
        try:
            self.trail = find_trail(self._client, self._query)
        except NotFoundError:
            self._has_been_answered = True
            return Decision(None, f"{self._query} is not known yet")
        except AmbiguousError:
            raise
        except UpstreamError as exc:
            if not exc.retryable or (isinstance(exc, UnreachableError) and not self._has_been_answered):
                raise
            return Decision(None, f"no answer now: {exc}")
        self._has_been_answered = True
        return self._waiter.look(self.trail, now=self._client.now)


class Progress:
    """One line on stderr for each change of what is waited for; on a terminal the line is written over."""

    def __init__(self, out: Terminal, *, is_quiet: bool) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._last = ""

    def tell(self, text: str) -> bool:
        """Return whether it is something new."""
        if text == self._last:
            return False
        self._last = text
        if not self._is_quiet:
            self._out.echo(f"{self._out.style(self._out.glyph('note'), 'pending')} {text}", err=True)
        return True

    def end(self, decision: Decision | None = None) -> None:
        if decision is None or self._is_quiet:
            return
        verdict = "deployed" if decision.exit is Exit.OK else "failed"
        mark = self._out.style(self._out.glyph(verdict), verdict)
        self._out.echo(f"{mark} {decision.reason}", err=True)
