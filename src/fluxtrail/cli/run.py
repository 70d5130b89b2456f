"""`fluxtrail run`: everything in one process.

Takes flux-commit-tracker's flags and variables as they are, and with `--deployment-records` deployment-tracker's too,
whose flags have one dash: click takes `-namespace` for a long option of its own, beside `-n` and `--namespace`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import sys
from pathlib import Path
from typing import Any

import click

from fluxtrail.cli.garbage import collect_seldom, nothing_collected

MODES = ("stdout-logs", "stdout-all", "stdout-logs+otlp", "stdout-all+otlp", "otlp")
FLAGS = {
    "kubeconfig": "kubeconfig",
    "kube_contexts": "kube_contexts",
    "namespaces": "namespaces",
    "ledger": "ledger.path",
    "api_addr": "api.listen",
    "metrics_addr": "metrics.listen",
    "health_addr": "health.listen",
    "telemetry_mode": "telemetry.mode",
    "telemetry_endpoint": "telemetry.endpoint",
    "telemetry_insecure": "telemetry.insecure",
    "log_level": "log_level",
    "deployment_records": "deployment_records.enabled",
    "dry_run": "deployment_records.dry_run",
    "record_namespace": "deployment_records.namespaces",
    "exclude_namespaces": "deployment_records.exclude_namespaces",
    "workers": "deployment_records.workers",
    "metrics_port": "deployment_records.metrics_port",
    "resource_config": "resources.config",
    "resource_config_file": "resources.config_file",
}
"""Which setting each flag is."""


def _are_names(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`-namespaces=a` would be the namespace `amespaces=a`."""
    for name in value:
        if "=" in name:
            raise click.BadParameter(f"{name!r} is no namespace; one dash and a long name is only -namespace")
    return value


@click.command()
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), envvar="FLUXTRAIL_CONFIG", help="Settings file (YAML)."
)
@click.option(
    "--kubeconfig",
    "-kubeconfig",
    help="Kubeconfig to use, several separated by ':'. Default: KUBECONFIG, ~/.kube/config.",
)
@click.option(
    "--kube-context",
    "kube_contexts",
    multiple=True,
    help="Context to follow; repeat for several clusters. Without it: the pod's own cluster, else the current context.",
)
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_are_names,
    help="Follow Kustomizations of this namespace only.",
)
@click.option("--ledger", help="Where everything is kept: a file, or postgresql://…. Default: fluxtrail.sqlite.")
@click.option("--api-addr", help="API listener. Default: 127.0.0.1:8080.")
@click.option("--metrics-addr", help="Prometheus listener. Default: :8888.")
@click.option("--health-addr", help="/healthz and /readyz listener. Default: :9440.")
@click.option("--telemetry-mode", type=click.Choice(MODES), help="Default: stdout-logs.")
@click.option("--telemetry-endpoint", help="OTLP endpoint (host:port).")
@click.option(
    "--telemetry-insecure", is_flag=False, flag_value="true", type=click.BOOL, help="OTLP without TLS; =false for TLS."
)
@click.option("--log-level", help="TRACE, DEBUG, INFO, WARN or ERROR, in any letter case.")
@click.option(
    "--deployment-records/--no-deployment-records",
    default=None,
    help="Tell GitHub which image digest runs where. Takes deployment-tracker's flags (with one dash) and variables.",
)
@click.option("--dry-run", is_flag=True, default=None, help="Keep deployment records, tell nobody.")
@click.option("-namespace", "record_namespace", help="Records of this namespace only. Default: all.")
@click.option("--exclude-namespaces", "-exclude-namespaces", metavar="A,B", help="No records of these namespaces.")
@click.option("--workers", "-workers", type=int, help="How many single records are told at once, 1 to 100. Default: 2.")
@click.option("--metrics-port", "-metrics-port", help="Port for deployment-tracker's metrics alone, such as 9090.")
@click.option(
    "--custom-resource-state-config",
    "resource_config",
    metavar="YAML",
    help="Metrics of objects, as kube-state-metrics is told of them: its CustomResourceStateMetrics.",
)
@click.option(
    "--custom-resource-state-config-file", "resource_config_file", metavar="FILE", help="The same, in a file."
)
def run(config: Path | None, **flags: Any) -> None:
    """Follow clusters and answer where each commit is."""
    from fluxtrail.model.errors import ConfigError, FluxtrailError

    with nothing_collected():
        from fluxtrail.runtime.settings.settings import load_settings

    try:
        settings = load_settings(path=config, flags={FLAGS[name]: value for name, value in flags.items()})
        _refuse_stray(flags, has_records=settings.deployment_records.enabled)
        _check_resources(settings)
        _run(settings)
    except FluxtrailError as exc:
        click.echo(f"Error: {exc}", err=True)
        sys.exit(2 if isinstance(exc, ConfigError) else 1)


def _refuse_stray(flags: dict[str, Any], *, has_records: bool) -> None:
    """A flag that would do nothing is a mistake: `-namespace` for `--namespace`, say."""
    given = [name for name, setting in FLAGS.items() if setting.startswith("deployment_records.") and flags[name]]
    stray = [name for name in given if name != "deployment_records"]
    if has_records or not stray:
        return
    from fluxtrail.model.errors import ConfigError

    flag = "-namespace" if stray[0] == "record_namespace" else "--" + stray[0].replace("_", "-")
    hint = ", or write --namespace to follow the Kustomizations of one namespace" if flag == "-namespace" else ""
    raise ConfigError(f"counts for deployment records only: add --deployment-records{hint}", subject=flag)


def _check_resources(settings: Any) -> None:
    """A configuration that is wrong is said at the start, by those who stand by as well."""
    if settings.resources.enabled and (settings.resources.config or settings.resources.config_file):
        from fluxtrail.runtime.user_configuration import find_configuration

        find_configuration(settings.resources)
        if not settings.watch:
            from fluxtrail.model.errors import ConfigError

            raise ConfigError("no cluster is watched: there is nothing to have metrics of", subject="setting resources")


def _run(settings: Any) -> None:
    with nothing_collected():
        import uvloop

        from fluxtrail.runtime.assembly import open_service
        from fluxtrail.runtime.logs import configure_logs
        from fluxtrail.runtime.settings.connector import tell_of_connector
        from fluxtrail.runtime.settings.tracker import tell_of_tracker
        from fluxtrail.runtime.standby import run_as_only_writer

    prepare_process()
    mode = settings.telemetry.mode
    configure_logs(level=settings.log_level, is_silent=not mode.startswith("stdout"))
    tell_of_tracker(settings.deployment_records, os.environ, log_level=settings.log_level)
    tell_of_connector(settings.gitops_connector.subscribers, os.environ)

    async def serve() -> None:
        async with open_service(settings, os.environ) as service:
            collect_seldom()
            await service.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_as_only_writer(settings, os.environ, serve))


def prepare_process() -> None:
    """Let a crash leave a stack on stderr, and keep gRPC out of the forks by which git is started.

    uvloop forks for each child, and gRPC's handlers then run on both sides: while a channel is in use they end the
    child by SIGSEGV before it is git, and stop or end this process. No child of ours uses gRPC, so none is needed.
    gRPC reads the variable when it is imported, which is later. Source: github.com/grpc/grpc/issues/43055.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    if sys.stderr is not None and not faulthandler.is_enabled():
        faulthandler.enable()
