"""`fluxtrail gitops resume`: Flux takes objects up again."""

from __future__ import annotations

from typing import Any

import click

from fluxtrail.cli.gitops_cluster import Place, cluster_options, run, seconds_of, timeout_option
from fluxtrail.cli.gitops_requests import FIELD_MANAGER, chosen, object_arguments, reporter, tell, worst


@click.command()
@object_arguments
@click.option("--wait", "is_awaited", is_flag=True, help="Wait until they are ready.")
@timeout_option(300)
@cluster_options
def resume(words: tuple[str, ...], kubeconfig: str | None, context: str | None, **options: Any) -> None:
    """Let Flux take suspended objects up again.

    Exit codes with --wait: 0 ready, 1 failed, 3 --timeout passed, 4 stalled.
    """
    seconds = seconds_of(options["timeout_text"], "--timeout")
    code = run(_resume(Place(kubeconfig, context), words, seconds, options))
    if code:
        raise click.exceptions.Exit(code)


async def _resume(place: Place, words: tuple[str, ...], seconds: float, options: dict[str, Any]) -> int:
    from fluxtrail.clusters.writing import Writer
    from fluxtrail.gitops.requests.asking import suspend
    from fluxtrail.gitops.requests.waiting import until_handled

    async with place.open() as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        keys = await chosen(connection, words, options["namespace"], is_all=options["is_all"])
        for key in keys:
            await suspend(writer, key, is_suspended=False)
            click.echo(f"{key} is resumed")
        if not options["is_awaited"]:
            return 0
        ended = [await until_handled(writer, key, timeout=seconds, say=reporter(key)) for key in keys]
        return worst([tell(key, each) for key, each in zip(keys, ended, strict=True)])
