"""`fluxtrail gitops`: the upkeep of Flux's own objects. A subcommand's module is imported when it is called."""

from __future__ import annotations

import click

from fluxtrail.cli.lazy import LazyGroup

_COMMANDS = {
    "generate": ("fluxtrail.cli.gitops_generate:generate", "Write Flux's objects from one declaration."),
    "check": ("fluxtrail.cli.gitops_generate:check", "Fail if the files are not as the declaration says."),
    "import": ("fluxtrail.cli.gitops_import:import_", "Read a folder of Flux's objects into a declaration."),
    "install": ("fluxtrail.cli.gitops_install:install", "Apply Flux's controllers, and wait until they run."),
    "apply": ("fluxtrail.cli.gitops_apply:apply", "Show what would change in a cluster, and apply it."),
    "status": ("fluxtrail.cli.gitops_status:status", "List Flux's objects: which are ready, what others wait for."),
    "reconcile": ("fluxtrail.cli.gitops_reconcile:reconcile", "Ask Flux to look at an object now, and wait for it."),
    "suspend": ("fluxtrail.cli.gitops_suspend:suspend", "Let Flux leave objects alone."),
    "resume": ("fluxtrail.cli.gitops_resume:resume", "Let Flux take objects up again."),
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS)
def gitops() -> None:
    """Generate, apply and watch Flux's own objects."""
