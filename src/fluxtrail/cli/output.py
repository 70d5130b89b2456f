"""Tables as kubectl prints them, and `-o json|yaml|name`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import click
import msgspec

from fluxtrail.cli.terminal import Terminal, terminal
from fluxtrail.cli.words import fit, printable, width_of

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "wide", "json", "yaml", "name")
GAP = 3
FLEXIBLE_MIN = 8
READABLE = 24
"""What a flexible column should keep before a wide or dispensable one goes."""


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column: `text` of an item, and the style its cell has by `style` (a verdict's name, say)."""

    title: str
    text: Callable[[T], str]
    style: Callable[[T], str | None] = lambda _: None
    is_wide: bool = False
    """Only with `-o wide`."""
    is_flexible: bool = False
    """Gives way where the terminal is narrow."""
    readable: int = READABLE
    """Of a flexible one: so much of it is enough to be read."""
    is_dispensable: bool = False
    """Left out where the others would hardly be readable."""


def output_option(function: F) -> F:
    return click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True, help="How it is printed."
    )(function)


def watch_option(function: F) -> F:
    return click.option("-w", "--watch", "is_watched", is_flag=True, help="Go on showing what changes.")(function)


def print_change(value: object, form: str) -> None:
    """Print one of many values: a line of JSON each, or a YAML document each."""
    if form == "json":
        click.echo(msgspec.json.encode(value).decode())
        return
    click.echo("---")
    print_data(value, form)


def print_data(value: object, form: str) -> None:
    """Print `value` as JSON or YAML: views have the API's own field names."""
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    import yaml

    builtins = msgspec.to_builtins(value, builtin_types=())
    click.echo(yaml.safe_dump(builtins, sort_keys=False, allow_unicode=True, width=120), nl=False)


def print_items(
    items: Sequence[T],
    columns: Sequence[Column[T]],
    *,
    form: str,
    name: Callable[[T], str],
    has_header: bool = True,
    nothing: str,
) -> None:
    """Print a list in any of the formats. An empty table says so on stderr, so that a pipe stays empty."""
    if form == "name":
        for item in items:
            click.echo(printable(name(item)))
    elif form in ("json", "yaml"):
        print_data({"items": list(items)}, form)
    elif not items:
        click.echo(nothing, err=True)
    else:
        out = terminal()
        shown = shown_columns(items, columns, out, form=form)
        for line in table(items, shown, out, has_header=has_header, is_cut=out.is_cut):
            out.echo(line)


class ChangePrinter(Generic[T]):
    """Prints a list, and then again what changes of it, below: a table keeps its columns as long as they suffice."""

    def __init__(self, columns: Sequence[Column[T]], *, form: str, name: Callable[[T], str], has_header: bool) -> None:
        self._columns = columns
        self._shown: Sequence[Column[T]] = ()
        """Chosen with the first items."""
        self._form = form
        self._name = name
        self._has_header = has_header
        self._widths: list[int] = []

    def print(self, items: Sequence[T]) -> None:
        if self._form in ("json", "yaml", "name"):
            for item in items:
                if self._form == "name":
                    click.echo(printable(self._name(item)))
                else:
                    print_change(item, self._form)
        elif items:
            out = terminal()
            if not self._shown:
                self._shown = shown_columns(items, self._columns, out, form=self._form)
                self._widths = [0] * len(self._shown)
            for line in table(
                items, self._shown, out, has_header=self._has_header, is_cut=out.is_cut, at_least=self._widths
            ):
                out.echo(line)
            self._has_header = False


def table(
    items: Sequence[T],
    columns: Sequence[Column[T]],
    out: Terminal,
    *,
    has_header: bool = True,
    is_cut: bool,
    at_least: list[int] | None = None,
) -> list[str]:
    """Return the lines of a table: upper-case titles, columns three spaces apart, cut to the terminal's width.

    Args:
        at_least: widths of the columns of a table that these lines go on; grows with them.
    """
    cells = [[printable(column.text(item)) or "-" for column in columns] for item in items]
    titles = [[column.title for column in columns]] if has_header else []
    widths = [max(width_of(row[i]) for row in (*titles, *cells)) for i in range(len(columns))]
    if at_least is not None:
        at_least[:] = widths = [max(pair) for pair in zip(widths, at_least, strict=True)]
        widths = list(widths)
    gap = _narrow(widths, columns, out.width) if is_cut else GAP
    lines = [_line(row, widths, [None] * len(columns), out, gap=gap) for row in titles]
    for item, row in zip(items, cells, strict=True):
        lines.append(_line(row, widths, [column.style(item) for column in columns], out, gap=gap))
    return lines


def shown_columns(items: Sequence[T], columns: Sequence[Column[T]], out: Terminal, *, form: str) -> Sequence[Column[T]]:
    """Return the columns of a form that there is room for, and say on stderr which of those asked for there is not."""
    wanted = [column for column in columns if form == "wide" or not column.is_wide]
    if not out.is_cut:
        return wanted
    shown = _readable(items, wanted, out.width)
    left_out = [column.title for column in wanted if column not in shown]
    if left_out and form == "wide":
        out.echo(f"No room here for {', '.join(left_out)}: {out.width} columns are too few.", err=True)
    return shown


def _readable(items: Sequence[T], columns: Sequence[Column[T]], width: int) -> list[Column[T]]:
    """Leave columns out until the others have room to be read: the wide ones first, then the dispensable ones, of each
    the last first.
    """
    shown = list(columns)
    order = [column for column in columns if column.is_dispensable] + [column for column in columns if column.is_wide]
    while order and _needed(items, shown) > width:
        column = order.pop()
        if column in shown:
            shown.remove(column)
    return shown


def _needed(items: Sequence[T], columns: Sequence[Column[T]]) -> int:
    """Return how wide a table is in which everything can be read."""
    needed = (GAP - 1) * (len(columns) - 1)
    for column in columns:
        widest = max(width_of(text) for text in (column.title, *(printable(column.text(item)) for item in items)))
        needed += min(widest, column.readable) if column.is_flexible else widest
    return needed


def _narrow(widths: list[int], columns: Sequence[Column[T]], width: int) -> int:
    """Take what is too much from the gaps first, then from the flexible columns, the widest first; returns the gap."""
    gap = GAP if sum(widths) + GAP * (len(widths) - 1) <= width else GAP - 1
    too_much = sum(widths) + gap * (len(widths) - 1) - width
    flexible = [i for i, column in enumerate(columns) if column.is_flexible]
    while too_much > 0:
        widest = max(flexible, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= FLEXIBLE_MIN:
            break
        widths[widest] -= 1
        too_much -= 1
    return gap


def _line(row: Sequence[str], widths: Sequence[int], styles: Sequence[str | None], out: Terminal, *, gap: int) -> str:
    parts = []
    for index, (cell, width, style) in enumerate(zip(row, widths, styles, strict=True)):
        text = fit(cell, width)
        is_last = index == len(row) - 1
        parts.append(out.style(text, style) + " " * (0 if is_last else width - width_of(text)))
    return (" " * gap).join(parts).rstrip()
