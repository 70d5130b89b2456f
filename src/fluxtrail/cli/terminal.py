"""Where output goes: colours, glyphs, width. `NO_COLOR` and `FORCE_COLOR` are heeded, and `COLUMNS`."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from typing import Any

import click

PIPE_WIDTH = 120
"""Taken for a picture that goes into a pipe or a file; tables are not cut there."""

_GLYPHS = {
    "deployed": ("✔", "+"),
    "pending": ("●", "*"),
    "failed": ("✗", "x"),
    "rolled_back": ("↺", "<"),
    "lost": ("∅", "!"),
    "abandoned": ("–", "-"),
    "unaffected": ("·", "."),
    "line": ("─", "-"),
    "gap": ("┄", "."),
    "dot": ("·", "-"),
    "note": ("►", ">"),
}
_STYLES: dict[str, dict[str, Any]] = {
    "deployed": {"fg": "green"},
    "pending": {"fg": "yellow"},
    "failed": {"fg": "red"},
    "rolled_back": {"fg": "magenta"},
    "lost": {"fg": "magenta"},
    "abandoned": {"dim": True},
    "unaffected": {"dim": True},
    "told": {"fg": "green"},
    "unknown": {"fg": "magenta"},
    "refused": {"fg": "red"},
    "silent": {"dim": True},
    "decommissioned": {"dim": True},
    "strong": {"bold": True},
    "dim": {"dim": True},
    "sha": {"fg": "cyan"},
    "line": {"fg": "bright_black"},
    "warn": {"fg": "red"},
    "estimated": {"fg": "yellow"},
}


@dataclass(frozen=True)
class Terminal:
    """What stdout can show. Styles are always asked for; `echo` takes them away where they are not wanted."""

    width: int
    is_cut: bool
    """Whether tables are cut to `width`."""
    has_color: bool
    has_unicode: bool

    def style(self, text: str, name: str | None) -> str:
        return click.style(text, **_STYLES[name]) if self.has_color and name in _STYLES and text else text

    def glyph(self, name: str) -> str:
        return _GLYPHS.get(name, ("?", "?"))[0 if self.has_unicode else 1]

    def echo(self, text: str = "", *, err: bool = False) -> None:
        if not self.has_unicode:
            text = text.encode("ascii", "replace").decode()
        click.echo(text, err=err, color=self.has_color)


def terminal(stream: Any = None) -> Terminal:
    """Return what `stream` (default stdout) can show."""
    out = stream or sys.stdout
    is_tty = bool(out.isatty())
    forced = bool(os.environ.get("FORCE_COLOR"))
    has_color = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and (is_tty or forced)
    columns = os.environ.get("COLUMNS", "")
    is_cut = is_tty or columns.isdigit()
    width = int(columns) if columns.isdigit() else shutil.get_terminal_size().columns if is_tty else PIPE_WIDTH
    return Terminal(width=max(width, 20), is_cut=is_cut, has_color=has_color, has_unicode=_can_encode(out))


def _can_encode(stream: Any) -> bool:
    try:
        "✔─●↺┄…".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
