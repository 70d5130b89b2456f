"""`fluxtrail dashboards`: Grafana's dashboards, as files or as ConfigMaps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fluxtrail.monitoring.dashboards import Dashboard


@click.group()
def dashboards() -> None:
    """List Grafana's dashboards, or export them."""


@dashboards.command("list")
def list_() -> None:
    """List the dashboards: their names, their titles, and what they show."""
    from fluxtrail.monitoring.dashboards import DASHBOARDS

    width = max(len(one.name) for one in DASHBOARDS)
    for one in DASHBOARDS:
        click.echo(f"{one.name:{width}}  {one.title}: {one.help_text}")


@dashboards.command()
@click.argument("name", required=False)
@click.option("--all", "is_all", is_flag=True, help="All of them.")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write files here, one for each; else to stdout.",
)
@click.option("--configmap", "is_config_map", is_flag=True, help="As ConfigMaps for the sidecar of Grafana's chart.")
@click.option("-n", "--namespace", metavar="NAME", help="The ConfigMaps' namespace.")
def export(*, name: str | None, is_all: bool, output: Path | None, is_config_map: bool, namespace: str | None) -> None:
    """Print the dashboard NAME, or write it into a folder.

    fluxtrail dashboards export --all --configmap -n monitoring | kubectl apply -f -
    """
    from fluxtrail.monitoring.dashboards import DASHBOARDS, dashboard_config_map, dashboard_json, get_dashboard
    from fluxtrail.monitoring.documents import yaml_text

    if bool(name) == is_all:
        raise click.UsageError("name one dashboard, or give --all")
    if namespace and not is_config_map:
        raise click.UsageError("--namespace is of ConfigMaps; add --configmap")
    if is_all and output is None and not is_config_map:
        raise click.UsageError("several dashboards are several files; name a folder by -o, or add --configmap")

    def text_of(one: Dashboard) -> str:
        return yaml_text([dashboard_config_map(one, namespace=namespace)]) if is_config_map else dashboard_json(one)

    chosen = DASHBOARDS if is_all else (get_dashboard(name or ""),)
    if output is None:
        click.echo("---\n".join(text_of(one) for one in chosen), nl=False)
        return
    for one in chosen:
        write(output / f"{one.name}.{'yaml' if is_config_map else 'json'}", text_of(one))


def write(path: Path, text: str) -> None:
    """Write a file and its folder, and say so.

    Raises:
        ConfigError: this cannot be written there.
    """
    from fluxtrail.model.errors import ConfigError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}; name another folder", subject="--output") from exc
    click.echo(f"wrote {path}", err=True)
