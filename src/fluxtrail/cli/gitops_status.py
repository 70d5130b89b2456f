"""`fluxtrail gitops status`: how every object of Flux stands, and what it waits for."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fluxtrail.cli.gitops_cluster import (
    FAILED,
    TIMED_OUT,
    Place,
    cluster_options,
    output_option,
    run,
    say,
    seconds_of,
    timeout_option,
)

if TYPE_CHECKING:
    from fluxtrail.cli.output import Column
    from fluxtrail.gitops.status.standing import Standing
    from fluxtrail.gitops.status.watching import Board

LOOK_SECONDS = 0.3
"""From one picture to the next, at least."""
_ORDER = ("failed", "stalled", "blocked", "suspended", "deleting", "waiting", "working", "ready")
_STYLES = {
    "ready": "deployed",
    "failed": "failed",
    "stalled": "failed",
    "blocked": "rolled_back",
    "suspended": "dim",
    "deleting": "dim",
    "waiting": "pending",
    "working": "pending",
}
_GLYPHS = {"ready": "deployed", "failed": "failed", "stalled": "failed", "blocked": "lost", "suspended": "abandoned"}


@click.command()
@click.option("-n", "--namespace", metavar="NAME", help="Only this namespace.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces (the default).")
@click.option("--kind", "kinds", metavar="KIND", multiple=True, help="Only this kind: ks, hr, gitrepo, …")
@click.option("-w", "--watch", "is_watched", is_flag=True, help="Go on until all are ready, or will not be.")
@click.option("--fail-after", metavar="DURATION", default="0s", show_default=True, help="How long a failure may last.")
@click.option("--skip-suspended", is_flag=True, help="Leave out what is suspended.")
@timeout_option(600)
@cluster_options
@output_option
def status(
    namespace: str | None,
    all_namespaces: bool,
    kinds: tuple[str, ...],
    is_watched: bool,
    kubeconfig: str | None,
    context: str | None,
    **options: Any,
) -> None:
    """List Flux's objects: which are ready, which are not, and what they wait for.

    Exit codes: 0 all are ready, 1 something failed, 3 --timeout passed, 4 something will not happen by itself (it is
    suspended, stalled, or needs what does not exist).
    """
    if namespace and all_namespaces:
        raise click.UsageError("-n and -A exclude each other")
    view = _View(kinds, namespace or "", form=options["output"], skips_suspended=options["skip_suspended"])
    connection = Place(kubeconfig, context).open()
    namespaces = (namespace,) if namespace else ()
    if not is_watched:
        code = run(_once(connection, namespaces, view))
    else:
        limits = (seconds_of(options["timeout_text"], "--timeout"), seconds_of(options["fail_after"], "--fail-after"))
        code = run(_watch(connection, namespaces, view, *limits))
    if code:
        raise click.exceptions.Exit(code)


class _View:
    """Which of the objects are shown, and how."""

    def __init__(self, kinds: Sequence[str], namespace: str, *, form: str, skips_suspended: bool) -> None:
        self.form = form
        self._kinds = {_kind_of(kind) for kind in kinds}
        self._namespace = namespace
        self._skips_suspended = skips_suspended

    def standings(self, board: Board) -> list[Standing]:
        """Return what is meant, what needs attention first."""
        from fluxtrail.gitops.status.standing import State, judge

        found = [
            each
            for each in judge(board.objects.values(), listed=board.listed).values()
            if (not self._kinds or each.key.kind in self._kinds)
            and self._namespace in ("", each.key.namespace)
            and not (self._skips_suspended and each.state is State.SUSPENDED)
        ]
        return sorted(found, key=lambda each: (_ORDER.index(each.state), _rank(each.key.group), each.key))

    def is_blind(self, board: Board) -> bool:
        """Whether nothing of what is meant could be read: then nothing that is not ready says nothing."""
        meant = {kind for kind in board.listed if not self._kinds or kind in self._kinds}
        return bool(meant) and meant <= board.problems.keys()


def _rank(group: str) -> int:
    """Sources first, then what is made of them, then what tells of it."""
    from fluxtrail.gitops.status.watching import GROUPS

    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _kind_of(text: str) -> str:
    from fluxtrail.cli.gitops_objects import flux_kind

    return flux_kind(text).kind


async def _once(connection: Any, namespaces: Sequence[str], view: _View) -> int:
    from fluxtrail.gitops.status.standing import exit_code
    from fluxtrail.gitops.status.watching import read_board

    async with connection:
        board = await read_board(connection, namespaces=namespaces)
    standings = view.standings(board)
    for kind, problem in board.problems.items():
        say(f"{kind}: {problem}")
    if view.form == "table":
        from fluxtrail.cli.terminal import terminal

        for line in picture(standings):
            terminal().echo(line)
        say(summary(standings))
    else:
        _print(standings, view.form)
    code = exit_code(standings)
    return FAILED if code is None or view.is_blind(board) else code  # what is on its way is not ready


async def _watch(connection: Any, namespaces: Sequence[str], view: _View, timeout: float, fail_after: float) -> int:
    from fluxtrail.cli.screen import Screen
    from fluxtrail.gitops.status.watching import watched_board

    screen = Screen()
    async with connection, watched_board(connection, namespaces=namespaces) as board:
        shown = _Shown(screen, view)
        verdict = _Verdict(fail_after)
        deadline = time.monotonic() + timeout
        while True:
            board.changed.clear()
            if board.is_complete:
                standings = view.standings(board)
                shown.draw(standings, board)
                code = verdict.of(standings, time.monotonic())
                if code is not None:
                    shown.end(standings)
                    return FAILED if view.is_blind(board) else code
            left = deadline - time.monotonic()
            if left <= 0:
                shown.end(view.standings(board))
                say(f"not all are ready after {timeout:g} s")
                return TIMED_OUT
            await _news(board, min(left, verdict.rest(time.monotonic())))


async def _news(board: Board, most: float) -> None:
    """Wait for something new, and a moment longer: what changes together is shown together."""
    try:
        async with asyncio.timeout(most):
            await board.changed.wait()
    except TimeoutError:
        return
    await asyncio.sleep(min(LOOK_SECONDS, most))


class _Verdict:
    """When what is seen is the end: nothing moves, and what failed has had its time."""

    def __init__(self, fail_after: float) -> None:
        self._fail_after = fail_after
        self._failed_at: float | None = None

    def of(self, standings: Sequence[Standing], now: float) -> int | None:
        from fluxtrail.gitops.status.standing import exit_code

        code = exit_code(standings)
        if code in (None, 0):
            self._failed_at = None
            return code
        self._failed_at = now if self._failed_at is None else self._failed_at
        return code if now - self._failed_at >= self._fail_after else None

    def rest(self, now: float) -> float:
        """Return the seconds until it may be the end without any news."""
        if self._failed_at is None:
            return 3600.0
        return max(self._failed_at + self._fail_after - now, 0.01)


class _Shown:
    """The live table on a terminal; elsewhere a line for each change."""

    def __init__(self, screen: Any, view: _View) -> None:
        self._screen = screen
        self._view = view
        self._said: dict[Any, Standing] = {}
        self._problems: dict[str, str] = {}

    def draw(self, standings: Sequence[Standing], board: Board) -> None:
        for kind, problem in board.problems.items():
            if self._problems.get(kind) != problem:
                self._screen.note(f"{kind}: {problem}")
        self._problems = dict(board.problems)
        if self._view.form == "table" and self._screen.is_live:
            self._screen.draw([*_fitting(picture(standings), standings), "", summary(standings)])
            return
        for each in standings:
            if self._said.get(each.key) != each:
                _print_change(each, self._view.form)
        self._said = {each.key: each for each in standings}

    def end(self, standings: Sequence[Standing]) -> None:
        if not (self._view.form == "table" and self._screen.is_live):
            say(summary(standings))


def _fitting(lines: list[str], standings: Sequence[Standing]) -> list[str]:
    """Cut a table to the terminal: what needs attention is above, and the sum of all has to stay in sight."""
    room = shutil.get_terminal_size().lines - 5
    left = len(lines) - room
    if left <= 0 or room < 2:
        return lines
    are_ready = all(each.state == "ready" for each in standings[room - 1 :])
    return [*lines[:room], f"… {left} more{', all ready' if are_ready else ''}"]


def picture(standings: Sequence[Standing]) -> list[str]:
    """Return the table's lines."""
    from fluxtrail.cli.output import shown_columns, table
    from fluxtrail.cli.terminal import terminal

    if not standings:
        return []
    out = terminal()
    columns = shown_columns(standings, _columns(out.glyph), out, form="table")
    return table(standings, columns, out, is_cut=out.is_cut)


def _columns(glyph: Callable[[str], str]) -> list[Column[Standing]]:
    from fluxtrail.cli.output import Column
    from fluxtrail.cli.words import short_revision

    return [
        Column("NAMESPACE", lambda each: each.key.namespace, is_dispensable=True),
        Column("OBJECT", lambda each: f"{each.key.kind}/{each.key.name}", is_flexible=True),
        Column(
            "STATE",
            lambda each: f"{glyph(_GLYPHS.get(each.state, 'pending'))} {each.state}",
            style=lambda each: _STYLES[each.state],
        ),
        Column("REVISION", lambda each: short_revision(each.revision or None), is_dispensable=True, is_flexible=True),
        Column("WHY", _why, is_flexible=True, readable=40),
    ]


def _why(standing: Standing) -> str:
    return "" if standing.state == "ready" else standing.message or standing.reason


def summary(standings: Sequence[Standing]) -> str:
    """Return `14 objects: 12 ready, 1 working, 1 failed`."""
    counts = {state: sum(each.state == state for each in standings) for state in reversed(_ORDER)}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    word = "object" if len(standings) == 1 else "objects"
    return f"{len(standings)} {word}" + (f": {', '.join(parts)}" if parts else " of Flux here")


def _print_change(standing: Standing, form: str) -> None:
    from fluxtrail.cli.output import print_change
    from fluxtrail.cli.words import printable

    if form == "table":
        why = _why(standing)
        click.echo(f"{standing.state:<10} {printable(str(standing.key))}" + (f": {printable(why)}" if why else ""))
    elif form == "name":
        click.echo(_name(standing))
    else:
        print_change(row(standing), form)


def _print(standings: Sequence[Standing], form: str) -> None:
    from fluxtrail.cli.output import print_data

    if form == "name":
        for standing in standings:
            click.echo(_name(standing))
        return
    print_data({"items": [row(standing) for standing in standings]}, form)


def _name(standing: Standing) -> str:
    return f"{standing.key.kind.lower()}.{standing.key.group}/{standing.key.name}"


def row(standing: Standing) -> dict[str, Any]:
    key = standing.key
    found: dict[str, Any] = {
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "state": str(standing.state),
    }
    found |= {"reason": standing.reason, "message": standing.message, "revision": standing.revision}
    if standing.waits_for:
        found["waits_for"] = [str(each) for each in standing.waits_for]
    return {name: value for name, value in found.items() if value}
