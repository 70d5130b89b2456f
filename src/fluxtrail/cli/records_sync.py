"""`fluxtrail records sync`: have all records told again, and say how far that is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import timedelta

import click
import msgspec

from fluxtrail.cli.client import Client
from fluxtrail.cli.output import print_data
from fluxtrail.cli.records import print_records
from fluxtrail.cli.terminal import Terminal, terminal
from fluxtrail.cli.waiting import Exit
from fluxtrail.cli.watch import interruptible
from fluxtrail.model.durations import duration
from fluxtrail.model.errors import UpstreamError
from fluxtrail.web.shapes import Page, RecordCount, SyncPlan, SyncRequest

LOOK_FIRST_SECONDS = 0.2
LOOK_MOST_SECONDS = 2.0
_CLEAR = "\r\x1b[K"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How records stand with GitHub. Those that changed meanwhile count too."""

    planned: int
    pending: int
    told: int
    unknown: int
    refused: int

    @property
    def done(self) -> int:
        return max(self.planned - self.pending, 0)


def show_dry_run(client: Client, cluster: str | None, *, form: str, is_quiet: bool) -> None:
    plan = client.post("/records/sync", SyncPlan, SyncRequest(cluster=cluster, dry_run=True))
    is_one = cluster is not None
    print_records(plan.records, form=form, now=client.now, is_one_cluster=is_one, nothing="No record would be told.")
    if is_quiet or not plan.planned:
        return
    shown = f", the first {len(plan.records)} are shown" if len(plan.records) < plan.planned else ""
    click.echo(f"{_records(plan.planned)} would be told{shown}; nothing was changed", err=True)


def run_sync(client: Client, cluster: str | None, *, timeout: timedelta | None, form: str, is_quiet: bool) -> Exit:
    """Begin, and wait until nothing is pending; returns the exit code.

    Args:
        timeout: None: do not wait.

    Raises:
        UpstreamError: it could not be begun, or the server will never answer again.
    """
    plan = client.post("/records/sync", SyncPlan, SyncRequest(cluster=cluster))
    progress = Progress(terminal(sys.stderr), is_quiet=is_quiet, is_live=sys.stderr.isatty())
    if timeout is None:
        progress.end(f"{_records(plan.planned)} will be told", style="pending")
        outcome = _count(client, plan)
        _print(outcome, form)
        return Exit.OK
    with interruptible():
        outcome = _wait(client, plan, timeout.total_seconds(), progress)
    _print(outcome, form)
    if outcome.pending:
        progress.end(
            f"not within {duration(timeout.total_seconds())}: {outcome.done} of {_records(outcome.planned)} told; "
            "the server goes on",
            style="failed",
        )
        return Exit.TIMEOUT
    is_refused = outcome.refused > 0
    progress.end(_summary(outcome), style="failed" if is_refused else "deployed")
    return Exit.FAILED if is_refused else Exit.OK


def _wait(client: Client, plan: SyncPlan, seconds: float, progress: Progress) -> Outcome:
    deadline = time.monotonic() + seconds
    outcome = _count(client, plan)
    pause = LOOK_FIRST_SECONDS
    while outcome.pending and (left := deadline - time.monotonic()) > 0:
        progress.tell(outcome)
        time.sleep(min(pause, left))
        try:
            found = _count(client, plan)
        except UpstreamError as exc:
            if not exc.retryable:
                raise
            progress.note(f"no answer now: {exc}")
            continue
        pause = LOOK_FIRST_SECONDS if found.pending < outcome.pending else min(pause * 1.5, LOOK_MOST_SECONDS)
        outcome = found
    return outcome


def _count(client: Client, plan: SyncPlan) -> Outcome:
    rows = client.get("/records/counts", Page[RecordCount]).items
    counted = [row for row in rows if row.cluster_uid in plan.clusters]
    numbers = {told: _sum(counted, told) for told in ("pending", "told", "unknown", "refused")}
    return Outcome(planned=plan.planned, **numbers)


def _sum(rows: Iterable[RecordCount], told: str) -> int:
    return sum(row.count for row in rows if row.told == told)


def _summary(outcome: Outcome) -> str:
    told = max(outcome.planned - outcome.unknown - outcome.refused, 0)
    if told == outcome.planned:
        return f"{_records(told)} told again"
    parts = [f"{told} of {_records(outcome.planned)} told again"]
    if outcome.unknown:
        parts.append(f"GitHub knows no artifact of {outcome.unknown}: they are asked about again")
    if outcome.refused:
        parts.append(f"GitHub refused {outcome.refused}: fluxtrail records list --told refused -o wide")
    return "; ".join(parts)


def _records(count: int) -> str:
    return f"{count} record" if count == 1 else f"{count} records"


def _print(outcome: Outcome, form: str) -> None:
    if form in ("json", "yaml"):
        print_data(outcome, form)


class Progress:
    """`n of m told` on stderr: over itself on a terminal, elsewhere a line for each tenth of the way."""

    def __init__(self, out: Terminal, *, is_quiet: bool, is_live: bool) -> None:
        self._out = out
        self._is_quiet = is_quiet
        self._is_live = is_live
        self._last = -1
        self._note = ""

    def tell(self, outcome: Outcome) -> None:
        step = outcome.done if self._is_live else 10 * outcome.done // max(outcome.planned, 1)
        if self._is_quiet or step == self._last:
            return
        self._last = step
        text = f"{self._mark('note', 'pending')} {outcome.done} of {_records(outcome.planned)} told"
        if self._is_live:
            click.echo(f"{_CLEAR}{text}", err=True, nl=False, color=True)
        else:
            self._out.echo(text, err=True)

    def note(self, text: str) -> None:
        if not self._is_quiet and text != self._note:
            self._note = text
            self._clear()
            self._out.echo(f"{self._mark('note', 'pending')} {text}", err=True)

    def end(self, text: str, *, style: str) -> None:
        if not self._is_quiet:
            self._clear()
            self._out.echo(f"{self._mark('note' if style == 'pending' else style, style)} {text}", err=True)

    def _mark(self, glyph: str, style: str) -> str:
        return self._out.style(self._out.glyph(glyph), style)

    def _clear(self) -> None:
        if self._is_live:
            click.echo(_CLEAR, err=True, nl=False, color=True)
            self._last = -1
