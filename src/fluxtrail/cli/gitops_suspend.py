"""`fluxtrail gitops suspend`: Flux leaves objects alone."""

from __future__ import annotations

import click

from fluxtrail.cli.gitops_cluster import Place, cluster_options, run
from fluxtrail.cli.gitops_requests import FIELD_MANAGER, chosen, object_arguments


@click.command()
@object_arguments
@cluster_options
def suspend(words: tuple[str, ...], namespace: str, is_all: bool, kubeconfig: str | None, context: str | None) -> None:
    """Let Flux leave objects alone until `resume`. What is deployed stays."""
    run(_suspend(Place(kubeconfig, context), words, namespace, is_all=is_all))


async def _suspend(place: Place, words: tuple[str, ...], namespace: str, *, is_all: bool) -> None:
    from fluxtrail.clusters.writing import Writer
    from fluxtrail.gitops.requests.asking import suspend as suspend_object

    async with place.open() as connection:
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        for key in await chosen(connection, words, namespace, is_all=is_all):
            await suspend_object(writer, key, is_suspended=True)
            click.echo(f"{key} is suspended")
