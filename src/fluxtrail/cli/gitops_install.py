"""`fluxtrail gitops install`: Flux's controllers, from the `flux` on PATH or from a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from fluxtrail.cli.gitops_apply import FIELD_MANAGER, carry_out_steps, is_plan_shown, is_wanted, show_plan
from fluxtrail.cli.gitops_cluster import (
    DEFAULT_NAMESPACE,
    FAILED,
    TIMED_OUT,
    Place,
    cluster_options,
    run,
    say,
    seconds_of,
    timeout_option,
)

if TYPE_CHECKING:
    from fluxtrail.gitops.objects.manifests import Manifest


@click.command()
@click.option(
    "--manifests", metavar="PATH", type=click.Path(), help="A file or folder instead of `flux install --export`."
)
@click.option("--version", metavar="VERSION", default="", help="Of Flux; else that of the `flux` on PATH.")
@click.option("--components-extra", metavar="NAME", multiple=True, help="A controller beside the usual four.")
@click.option(
    "-n", "--namespace", metavar="NAME", default=DEFAULT_NAMESPACE, show_default=True, help="Of the controllers."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, and stop.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force-conflicts", is_flag=True, help="Take fields that others own.")
@click.option("--diff", is_flag=True, help="Show the changes, not only which objects change.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the controllers run.")
@timeout_option(300)
@cluster_options
def install(kubeconfig: str | None, context: str | None, **options: Any) -> None:
    """Apply Flux's controllers by server-side apply, and wait until their Deployments are rolled out.

    Exit codes: 0 they run, 1 something could not be applied, 3 --timeout passed.
    """
    seconds = seconds_of(options["timeout_text"], "--timeout")
    code = run(_install(Place(kubeconfig, context), seconds, options))
    if code:
        raise click.exceptions.Exit(code)


async def _install(place: Place, seconds: float, options: dict[str, Any]) -> int:
    from fluxtrail.clusters.writing import Writer
    from fluxtrail.gitops.apply.installing import controllers, until_running
    from fluxtrail.gitops.apply.planning import plan

    manifests = await _manifests(options)
    force, namespace = options["force_conflicts"], options["namespace"]
    async with place.open() as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        steps = await plan(writer, manifests, namespace=namespace, force=force)
        show_plan(steps, is_shown=is_plan_shown(steps, options) or options["diff"], has_diff=options["diff"])
        if options["dry_run"] or not is_wanted(steps, is_sure=options["yes"]):
            return FAILED if any(step.is_blocked for step in steps) else 0
        if not await carry_out_steps(writer, steps, force=force, form="table"):
            return FAILED
        if options["no_wait"]:
            return 0
        left = await until_running(writer, controllers(manifests, namespace), timeout=seconds, say=say)
        for key, why in left.items():
            say(f"{key} does not run after {seconds:g} s: {why}")
        return TIMED_OUT if left else 0


async def _manifests(options: dict[str, Any]) -> list[Manifest]:
    from fluxtrail.gitops.apply.installing import export
    from fluxtrail.gitops.apply.reading import read_declared
    from fluxtrail.model.errors import ConfigError

    if options["manifests"]:
        declared = read_declared([options["manifests"]], ())
        if declared.malformed:
            worst = declared.malformed[0]
            raise ConfigError(worst.reason, subject=worst.source)
        return declared.chosen
    return await export(
        version=options["version"],
        components_extra=options["components_extra"],
        namespace="" if options["namespace"] == DEFAULT_NAMESPACE else options["namespace"],
        environ=os.environ,
    )
