"""`fluxtrail wait`: for a pipeline that goes on once a commit is where it should be."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Any

import click

from fluxtrail.cli.client import AmbiguousError, Client, client_of
from fluxtrail.cli.output import print_data
from fluxtrail.cli.terminal import Terminal, terminal
from fluxtrail.cli.trace import candidates_text, narrowing_options
from fluxtrail.cli.waiting import Decision, Exit, Waiter, parse_duration, timeout_text
from fluxtrail.cli.watch import Looker, Pace, interruptible
from fluxtrail.model.views import TrailView


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
    "--for",
    "goal",
    type=click.Choice(["applied", "healthy", "running"]),
    default="healthy",
    show_default=True,
    help="The stage.",
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
    """Wait until a commit is applied, healthy or running on every target that it concerns.

    A commit that is not known yet is waited for. What is applied and does not run is waited for too, and it is said
    why. Exit codes: 0 it is there, or concerns no target; 1 it failed; 2 usage, or the sha is ambiguous; 3 not within
    --timeout; 4 it will not happen: it was lost, rolled back or abandoned.
    """
    waiter = Waiter(goal=goal, clusters=clusters, targets=targets, fail_after=fail_after)
    progress = Progress(terminal(sys.stderr), is_quiet=quiet)
    watch = _Watch(client_of(ctx), sha, waiter, progress)
    try:
        with interruptible():
            decision = watch.until(time.monotonic() + timeout.total_seconds(), timeout.total_seconds())
    except AmbiguousError as exc:
        progress.end()
        raise click.UsageError(candidates_text(exc.candidates, sha)) from exc
    progress.end(decision)
    if output and watch.trail is not None:
        print_data(watch.trail, output)
    ctx.exit(decision.exit if decision.exit is not None else Exit.FAILED)


class _Watch:
    """Looks again whenever the live feed has news; where it is refused, again and again, ever more slowly."""

    def __init__(self, client: Client, query: str, waiter: Waiter, progress: Progress) -> None:
        self._client = client
        self._looker = Looker(client, query)
        self._waiter = waiter
        self._progress = progress

    @property
    def trail(self) -> TrailView | None:
        return self._looker.trail

    def until(self, deadline: float, seconds: float) -> Decision:
        decision = self._look()
        if decision.exit is not None or deadline <= time.monotonic():
            return self._ended(decision, seconds)
        with Pace(self._client, self._progress.note) as pace:
            while (left := deadline - time.monotonic()) > 0:
                has_changed = self._progress.tell(decision.reason)
                is_answered = self._looker.is_answered
                pace.wait(self._looker.is_about, has_changed=has_changed, is_answered=is_answered, most=left)
                decision = self._look()
                if decision.exit is not None:
                    break
        return self._ended(decision, seconds)

    def _ended(self, decision: Decision, seconds: float) -> Decision:
        if decision.exit is not None:
            return decision
        self._progress.tell(decision.reason)
        return Decision(Exit.TIMEOUT, timeout_text(seconds, decision.reason))

    def _look(self) -> Decision:
        problem = self._looker.look()
        if problem or self._looker.trail is None:
            return Decision(None, problem)
        return self._waiter.look(self._looker.trail, now=self._client.now)


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
        self.note(text)
        return True

    def note(self, text: str) -> None:
        if not self._is_quiet:
            self._out.echo(f"{self._out.style(self._out.glyph('note'), 'pending')} {text}", err=True)

    def end(self, decision: Decision | None = None) -> None:
        if decision is None or self._is_quiet:
            return
        verdict = "deployed" if decision.exit is Exit.OK else "failed"
        mark = self._out.style(self._out.glyph(verdict), verdict)
        self._out.echo(f"{mark} {decision.reason}", err=True)
