"""`fluxtrail get --watch`: a list, and then each row of it again when it changes, as kubectl prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import click
import msgspec

from fluxtrail.cli.client import Client
from fluxtrail.cli.output import ChangePrinter
from fluxtrail.cli.screen import Screen
from fluxtrail.cli.watch import Pace, interruptible
from fluxtrail.model.errors import UpstreamError
from fluxtrail.model.views import ClusterView, WorkloadView

V = TypeVar("V", bound=msgspec.Struct)

_PASSING = frozenset({"oldest_pending_seconds", "observed_at", "current_at", "checked_at", "budget_left"})
"""What changes as time passes, without anything having happened."""


def watch_items(
    client: Client,
    fetch: Callable[[], Sequence[V]],
    printer: ChangePrinter[V],
    *,
    key: Callable[[V], str],
    nothing: str,
) -> None:
    """Print all there is, and then what is new or other; ends by Ctrl-C. Rows that are gone are not printed.

    Args:
        key: what makes two rows the same one.

    Raises:
        UpstreamError: the first question was not answered, or a later one never will be.
    """
    with interruptible():
        items = fetch()
        known = {_identity(item, key): _lasting(item) for item in items}
        printer.print(items)
        if not items:
            click.echo(nothing, err=True)
        _follow(client, fetch, printer, key, known)


def _follow(
    client: Client,
    fetch: Callable[[], Sequence[V]],
    printer: ChangePrinter[V],
    key: Callable[[V], str],
    known: dict[str, V],
) -> None:
    screen, has_changed, told = Screen(), True, ""
    screen.is_live = False
    with Pace(client, screen.note) as pace:
        while True:
            pace.wait(lambda _: True, has_changed=has_changed, is_answered=not told)
            try:
                items, problem = fetch(), ""
            except UpstreamError as exc:
                if not exc.retryable:
                    raise
                items, problem = [], f"no answer now: {exc}"
            if problem and problem != told:
                screen.note(problem)
            told = problem
            changed = [item for item in items if known.get(_identity(item, key)) != _lasting(item)]
            if not problem:
                known = {_identity(item, key): _lasting(item) for item in items}
            printer.print(changed)
            has_changed = bool(changed)


def _identity(item: V, key: Callable[[V], str]) -> str:
    """Return what a row is known by: names of clusters and targets may be given twice."""
    if isinstance(item, ClusterView):
        return item.uid
    if isinstance(item, WorkloadView):
        return f"{item.cluster_uid} {item.workload}"
    return f"{getattr(item, 'cluster_uid', '')} {getattr(item, 'repository', '')} {key(item)}"


def _lasting(item: V) -> V:
    passing = {name: None for name in item.__struct_fields__ if name in _PASSING}
    return msgspec.structs.replace(item, **passing)
