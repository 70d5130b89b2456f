"""`fluxtrail version`: of this command, and of the server where one answers."""

from __future__ import annotations

import platform

import click
import msgspec

from fluxtrail import __version__
from fluxtrail.cli.client import client_of
from fluxtrail.cli.output import print_data
from fluxtrail.model.errors import UpstreamError, WireError


class ServerVersion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    version: str = ""
    instance: str = ""


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    client: str
    python: str
    server: ServerVersion | None


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True)
@click.option("--client", "is_client_only", is_flag=True, help="Do not ask the server.")
@click.pass_context
def version(ctx: click.Context, *, output: str, is_client_only: bool) -> None:
    """Print the versions of client and server. A server that does not answer is no failure."""
    server: ServerVersion | None = None
    why = ""
    if not is_client_only:
        try:
            server = client_of(ctx).get("/status", ServerVersion)
        except (UpstreamError, WireError) as exc:
            why = str(exc)
    if output != "text":
        print_data(Versions(client=__version__, python=platform.python_version(), server=server), output)
        return
    click.echo(f"client: {__version__} (Python {platform.python_version()})")
    if server is not None:
        click.echo(f"server: {server.version}")
    elif why:
        click.echo(f"server: {why}", err=True)
