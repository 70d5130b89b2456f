"""`fluxtrail completion`: the shell's side of click's own completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
HELP = """Print the completion script of a shell.

\b
bash:  source <(fluxtrail completion bash)
zsh:   source <(fluxtrail completion zsh)
fish:  fluxtrail completion fish | source
"""


@click.command(help=HELP)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> None:
    found = get_completion_class(shell)
    if found is None:
        raise click.ClickException(f"no completion for {shell}")
    # The script alone: its constructor's check of the installed bash is for those who run it.
    script = found(ctx.find_root().command, {}, "fluxtrail", "_FLUXTRAIL_COMPLETE")
    click.echo(script.source_template % script.source_vars())
