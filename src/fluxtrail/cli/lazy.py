"""Groups of commands whose modules are imported when a command is called, not before."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from fluxtrail.cli.garbage import nothing_collected


class LazyGroup(click.Group):
    """A group that knows its commands by name and one line of help.

    Args:
        commands_at: name → (`module:object`, line of help), in the order in which they are listed.
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands_at:
            return None
        module, _, name = self._commands_at[cmd_name][0].partition(":")
        with nothing_collected():
            command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._commands_at.items()])
