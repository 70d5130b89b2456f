"""A picture that is drawn again: over itself on a terminal, below the last one elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

import click

from fluxtrail.cli.terminal import Terminal, terminal

_UP_AND_CLEAR = "\x1b[{}F\x1b[J"


class Screen:
    """Draws where stdout goes; `is_live` says whether over itself."""

    def __init__(self) -> None:
        self.is_live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._shown: list[str] = []
        self._has_drawn = False

    @property
    def out(self) -> Terminal:
        """The terminal as wide as it is now."""
        return terminal()

    def draw(self, lines: Sequence[str]) -> None:
        """Show `lines`: on a terminal instead of the last ones, cut to its height; elsewhere only if they differ."""
        if self.is_live:
            self._clear()
            self._shown = self._fitting(lines)
        elif list(lines) == self._shown:
            return
        else:
            if self._has_drawn:
                click.echo()
            self._shown = list(lines)
        self._has_drawn = True
        for line in self._shown:
            self.out.echo(line)

    def note(self, text: str) -> None:
        """Say something on stderr; the picture stays below it."""
        shown = self._shown
        if self.is_live:
            self._clear()
        out = terminal(sys.stderr)
        out.echo(f"{out.style(out.glyph('note'), 'pending')} {text}", err=True)
        if self.is_live:
            self._shown = shown
            for line in shown:
                self.out.echo(line)

    def _clear(self) -> None:
        if self._shown:
            click.echo(_UP_AND_CLEAR.format(len(self._shown)), nl=False, color=True)
        self._shown = []

    def _fitting(self, lines: Sequence[str]) -> list[str]:
        room = max(shutil.get_terminal_size().lines - 1, 3)
        if len(lines) <= room:
            return list(lines)
        return [*lines[: room - 1], self.out.style(f"… {len(lines) - room + 1} more lines", "dim")]
