"""What `reconcile`, `suspend` and `resume` have in common: finding the objects, waiting, and saying how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fluxtrail.cli.gitops_cluster import DEFAULT_NAMESPACE, FAILED, TIMED_OUT, WILL_NOT, say

if TYPE_CHECKING:
    from fluxtrail.clusters.connection import Connection
    from fluxtrail.gitops.requests.waiting import Ended
    from fluxtrail.model.observation import ObjectKey

F = TypeVar("F", bound=Callable[..., Any])
FIELD_MANAGER = "fluxtrail"


def object_arguments(function: F) -> F:
    function = click.argument("words", nargs=-1, metavar="KIND/NAME...")(function)
    function = click.option(
        "-n", "--namespace", metavar="NAME", default=DEFAULT_NAMESPACE, show_default=True, help="Of the objects."
    )(function)
    return click.option("--all", "is_all", is_flag=True, help="All objects of the KIND in the namespace.")(function)


async def chosen(connection: Connection, words: Sequence[str], namespace: str, *, is_all: bool) -> list[ObjectKey]:
    """Return the objects that are meant.

    Raises:
        click.UsageError: nothing is meant. UpstreamError: they could not be listed.
    """
    from fluxtrail.cli.gitops_objects import flux_kind, named_objects

    if not is_all:
        return named_objects(words, namespace)
    if len(words) != 1 or "/" in words[0]:
        raise click.UsageError("--all takes one kind: ks --all")
    from fluxtrail.gitops.status.watching import read_board

    kind = flux_kind(words[0])
    board = await read_board(connection, namespaces=[namespace])
    if kind.kind in board.problems:
        raise click.ClickException(board.problems[kind.kind])
    return sorted(key for key in board.objects if (key.group, key.kind) == (kind.group, kind.kind))


def tell(key: ObjectKey, ended: Ended) -> int:
    """Say how it ended; return the exit code."""
    from fluxtrail.cli.terminal import terminal
    from fluxtrail.cli.words import printable

    out = terminal()
    name = {"ready": "deployed", "failed": "failed", "timed out": "pending", "will not happen": "lost"}[ended.end]
    detail = printable(ended.message or ended.revision)
    out.echo(f"{out.style(f'{out.glyph(name)} {printable(str(key))}', name)} {ended.end}: {detail}".rstrip(": "))
    return {"ready": 0, "failed": FAILED, "timed out": TIMED_OUT, "will not happen": WILL_NOT}[ended.end]


def worst(codes: Sequence[int]) -> int:
    """Return one exit code for several objects: a failure first, then what timed out, then what will not happen."""
    return next((code for code in (FAILED, TIMED_OUT, WILL_NOT) if code in codes), 0)


def reporter(key: ObjectKey) -> Callable[[str], None]:
    return lambda text: say(f"► {key}: {text}")
