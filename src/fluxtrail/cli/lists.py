"""What the lists of `fluxtrail get` have in common: options, and how they are printed or watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from fluxtrail.cli.client import Client
from fluxtrail.cli.output import ChangePrinter, Column, output_option, print_items, watch_option

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=msgspec.Struct)
DEFAULT_LIMIT = 100


def list_options(function: F) -> F:
    function = click.option("--no-header", is_flag=True, help="No line of titles.")(function)
    return output_option(watch_option(function))


def limit_option(function: F) -> F:
    return click.option(
        "--limit", type=click.IntRange(min=0), default=DEFAULT_LIMIT, show_default=True, help="How many; 0 for all."
    )(function)


def place_options(function: F) -> F:
    """`-n`, `-A` and `--cluster`. All namespaces are the default: targets of one commit are in many."""
    function = click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces (the default).")(function)
    function = click.option("-n", "--namespace", metavar="NAME", help="Only this namespace.")(function)
    return click.option("--cluster", metavar="NAME", help="Only this cluster: its name or uid.")(function)


def show(
    client: Client,
    fetch: Callable[[], Sequence[V]],
    columns: Sequence[Column[V]],
    *,
    form: str,
    name: Callable[[V], str],
    has_header: bool,
    nothing: str,
    is_watched: bool,
) -> None:
    """Print what is fetched; watched, print what changes of it too, until the end of the command."""
    if is_watched:
        from fluxtrail.cli.get_watch import watch_items

        printer = ChangePrinter(columns, form=form, name=name, has_header=has_header)
        watch_items(client, fetch, printer, key=name, nothing=nothing)
    else:
        print_items(fetch(), columns, form=form, name=name, has_header=has_header, nothing=nothing)


def place_of(filters: dict[str, Any], all_namespaces: bool) -> dict[str, Any]:
    if all_namespaces and filters.get("namespace"):
        raise click.UsageError("-n and -A exclude each other")
    return filters
