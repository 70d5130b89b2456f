"""`fluxtrail gitops reconcile`: Flux looks at an object now, and this waits for what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from fluxtrail.cli.gitops_cluster import Place, cluster_options, run, say, seconds_of, timeout_option
from fluxtrail.cli.gitops_requests import FIELD_MANAGER, chosen, object_arguments, reporter, tell, worst

if TYPE_CHECKING:
    from fluxtrail.clusters.writing import Writer
    from fluxtrail.model.observation import ObjectKey


@click.command()
@object_arguments
@click.option("--with-source", is_flag=True, help="Its source first, and its chart.")
@click.option("--force", is_flag=True, help="Of a HelmRelease: one install or upgrade, whatever its retries.")
@click.option("--reset", is_flag=True, help="Of a HelmRelease: count its failures from nothing again.")
@click.option("--no-wait", is_flag=True, help="Only ask.")
@timeout_option(300)
@cluster_options
def reconcile(words: tuple[str, ...], kubeconfig: str | None, context: str | None, **options: Any) -> None:
    """Ask Flux to reconcile objects now, and wait until it has.

    Exit codes: 0 ready, 1 failed, 3 --timeout passed, 4 it will not happen (suspended, or stalled).
    """
    seconds = seconds_of(options["timeout_text"], "--timeout")
    code = run(_reconcile(Place(kubeconfig, context), words, seconds, options))
    if code:
        raise click.exceptions.Exit(code)


async def _reconcile(place: Place, words: tuple[str, ...], seconds: float, options: dict[str, Any]) -> int:
    from fluxtrail.clusters.writing import Writer

    async with place.open() as connection:
        keys = await chosen(connection, words, options["namespace"], is_all=options["is_all"])
        if not keys:
            say("There is no such object.")
        writer = Writer(connection, field_manager=FIELD_MANAGER)
        return worst([await _one(writer, key, seconds, options) for key in keys])


async def _one(writer: Writer, key: ObjectKey, seconds: float, options: dict[str, Any]) -> int:
    from fluxtrail.gitops.requests.asking import check
    from fluxtrail.gitops.requests.sources import sources_of
    from fluxtrail.gitops.requests.waiting import End, Ended, read_object
    from fluxtrail.model.errors import NotFoundError

    check(key, force=options["force"], reset=options["reset"])
    obj = await writer.read(key)
    if obj is None:
        raise NotFoundError("there is no such object; name its namespace with -n", subject=str(key))
    one = read_object(obj, key)
    if one.is_suspended:
        message = "it is suspended; `fluxtrail gitops resume` takes it up again"
        return tell(key, Ended(end=End.WILL_NOT, message=message))
    for source in sources_of(one) if options["with_source"] else ():
        found = await writer.read(source)
        if found is None:
            return tell(key, Ended(end=End.WILL_NOT, message=f"{source} does not exist"))
        if read_object(found, source).is_static:
            continue
        code = await _ask(writer, source, seconds, options | {"force": False, "reset": False})
        if code:
            return code
    return await _ask(writer, key, seconds, options)


async def _ask(writer: Writer, key: ObjectKey, seconds: float, options: dict[str, Any]) -> int:
    from fluxtrail.gitops.requests.asking import request, token_of
    from fluxtrail.gitops.requests.waiting import until_handled

    now = datetime.now(UTC)
    flags = {"force": options["force"], "reset": options["reset"]}
    await request(writer, key, now=now, **flags)
    if options["no_wait"]:
        say(f"{key} was asked for")
        return 0
    ended = await until_handled(writer, key, token=token_of(now), timeout=seconds, say=reporter(key), **flags)
    return tell(key, ended)
