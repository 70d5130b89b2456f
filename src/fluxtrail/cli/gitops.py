"""`fluxtrail gitops`: the upkeep of Flux's own objects. A subcommand's module is imported when it is called."""

from __future__ import annotations

import importlib

import click

_COMMANDS = {
    "generate": ("fluxtrail.cli.gitops_generate:generate", "Write Flux's objects from one declaration, or check them."),
    "import": ("fluxtrail.cli.gitops_import:import_", "Read a folder of Flux's objects into a declaration."),
    "install": ("fluxtrail.cli.gitops_install:install", "Apply Flux's controllers, and wait until they run."),
    "apply": ("fluxtrail.cli.gitops_apply:apply", "Show what would change in a cluster, and apply it."),
    "status": ("fluxtrail.cli.gitops_status:status", "List Flux's objects: which are ready, what others wait for."),
    "reconcile": ("fluxtrail.cli.gitops_reconcile:reconcile", "Ask Flux to look at an object now, and wait for it."),
    "suspend": ("fluxtrail.cli.gitops_suspend:suspend", "Let Flux leave objects alone."),
    "resume": ("fluxtrail.cli.gitops_resume:resume", "Let Flux take objects up again."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup)
def gitops() -> None:
    """Generate, apply and watch Flux's own objects."""
