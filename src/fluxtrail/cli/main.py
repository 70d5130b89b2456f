"""The `fluxtrail` command. A command's module is imported when it is called, not before: `--version` stays quick."""

from __future__ import annotations

import click

from fluxtrail import __version__
from fluxtrail.cli.lazy import LazyGroup

DEFAULT_SERVER = "http://127.0.0.1:8080"

_COMMANDS = {
    "run": ("fluxtrail.cli.run:run", "Watch clusters, follow commits, and answer."),
    "demo": ("fluxtrail.cli.demo:demo", "Follow commits through a simulated fleet."),
    "trace": ("fluxtrail.cli.trace:trace", "Show where a commit, an image or an object is, and what holds it up."),
    "wait": ("fluxtrail.cli.wait:wait", "Wait until a commit is applied, healthy or running."),
    "get": (
        "fluxtrail.cli.get:get",
        "List commits, deliveries, targets, clusters, workloads, images, reports or routes.",
    ),
    "records": ("fluxtrail.cli.records:records", "List deployment records, or tell GitHub all of them again."),
    "reports": ("fluxtrail.cli.reports:reports", "Send dead letters again, give reports up, or try a route."),
    "ci": ("fluxtrail.cli.ci:ci", "State that a pipeline builds or exports a commit."),
    "doctor": ("fluxtrail.cli.doctor:doctor", "Find what is wrong with Flux's objects, and what mends it."),
    "dashboards": ("fluxtrail.cli.dashboards:dashboards", "List Grafana's dashboards, or export them."),
    "rules": ("fluxtrail.cli.rules:rules", "List alerts, or export them as rules for Prometheus."),
    "gitops": ("fluxtrail.cli.gitops:gitops", "Generate, apply and watch Flux's own objects."),
    "db": ("fluxtrail.cli.db:db", "Upgrade or back up the ledger."),
    "version": ("fluxtrail.cli.version:version", "Print the versions of client and server."),
    "completion": ("fluxtrail.cli.completion:completion", "Print the completion script of a shell."),
}


class _Fluxtrail(LazyGroup):
    """What we know to be wrong is said in a line; the code tells how it is used from what failed."""

    def invoke(self, ctx: click.Context) -> object:
        from fluxtrail.model.errors import ConfigError, FluxtrailError

        try:
            return super().invoke(ctx)
        except FluxtrailError as exc:
            failure = click.UsageError if isinstance(exc, ConfigError) else click.ClickException
            raise failure(str(exc)) from exc


@click.group(
    cls=_Fluxtrail,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": None, "max_content_width": 100},
)
@click.option(
    "--server",
    metavar="URL",
    envvar="FLUXTRAIL_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    show_envvar=True,
    help="The Fluxtrail to ask.",
)
@click.option(
    "--token-file",
    metavar="PATH",
    envvar="FLUXTRAIL_TOKEN_FILE",
    type=click.Path(dir_okay=False),
    show_envvar=True,
    help="A file with the server's token; else it is taken from FLUXTRAIL_TOKEN.",
)
@click.option("--context", metavar="NAME", hidden=True, help="Reserved for named servers.")
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, server: str, token_file: str | None, context: str | None) -> None:
    """Where is my commit, when did it get there, and what is holding it up?"""
    if context is not None:
        raise click.UsageError("--context is reserved; choose the server by --server or FLUXTRAIL_SERVER")
    ctx.obj = {"server": server, "token_file": token_file}


def main() -> None:
    cli(prog_name="fluxtrail")
