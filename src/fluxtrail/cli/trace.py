"""`fluxtrail trace`: where a commit is, when it got there, and what holds it up; and what leads to a commit."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from fluxtrail.cli.client import AmbiguousError, Client, client_of
from fluxtrail.cli.output import output_option, print_data, watch_option
from fluxtrail.cli.picture import Picture
from fluxtrail.cli.terminal import terminal
from fluxtrail.cli.trace_queries import Reading, Way, read_query
from fluxtrail.cli.words import printable, short, split_target, zone
from fluxtrail.model.errors import NotFoundError
from fluxtrail.model.views import Candidate, DeliveryView, TrailView

if TYPE_CHECKING:
    from fluxtrail.cli.trace_others import Traced

F = TypeVar("F", bound=Callable[..., Any])
_SHA = re.compile(r"[0-9a-fA-F]{4,64}")


def narrowing_options(function: F) -> F:
    """`--cluster` and `--target`, each given any number of times."""
    function = click.option(
        "--target", "targets", metavar="NAME", multiple=True, help="Only this target: name, ns/name or Kind/ns/name."
    )(function)
    return click.option("--cluster", "clusters", metavar="NAME", multiple=True, help="Only this cluster.")(function)


@click.command()
@click.argument("query", metavar="SHA|PREFIX|#PR|IMAGE|DIGEST|KIND/NAME", nargs=-1, required=True)
@click.option("-n", "--namespace", metavar="NAME", help="Of the object that is traced.")
@narrowing_options
@output_option
@watch_option
@click.option("--utc", "is_utc", is_flag=True, help="Times in UTC instead of this machine's zone.")
@click.pass_context
def trace(
    ctx: click.Context,
    *,
    query: tuple[str, ...],
    namespace: str | None,
    clusters: tuple[str, ...],
    targets: tuple[str, ...],
    output: str,
    is_utc: bool,
    is_watched: bool,
) -> None:
    """Show the trail of a commit over all targets, or what leads to one.

    QUERY is a sha or a prefix of one, a pull request (`#12`, `acme/shop#12`); an image (`ghcr.io/acme/shop:v1`, a
    digest or its beginning): where it runs, and the commit that it was built from; or an object in a cluster
    (`deployment/web -n shop`, `hr/web`, `pod/shop/web-0`): the way from it back to the commit. With --watch the
    commit's trail is shown again whenever it changes, until the commit is settled and runs; the exit codes are those
    of `wait`.
    """
    client, text = client_of(ctx), " ".join(query)
    where = zone(is_utc=is_utc)
    if not text.strip():
        raise click.UsageError("an empty text names nothing; is a variable empty?")
    readings = read_query(text, namespace=namespace)
    if not readings:
        raise click.UsageError(f"{text[:120]!r} is no object: write kind/name, such as deployment/web")
    if is_watched:
        from fluxtrail.cli.trace_watch import TrailWatch

        commit = text if readings[0].way is Way.TRAIL else _commit_behind(client, readings, clusters)
        watch = TrailWatch(client, commit, clusters=clusters, targets=targets, output=output, is_utc=is_utc)
        ctx.exit(watch.run())
    try:
        traced = _ask_each(client, readings, clusters)
    except AmbiguousError as exc:
        raise click.UsageError(candidates_text(exc.candidates, text)) from exc
    if not isinstance(traced, TrailView):
        from fluxtrail.cli.trace_others import show

        narrow = partial(narrowed, clusters=clusters, targets=targets)
        show(traced, output, now=client.now, where=where, narrow=narrow)
        return
    trail = narrowed(traced, clusters=clusters, targets=targets)
    if output == "name":
        click.echo(f"commit/{trail.commit.sha}")
    elif output in ("json", "yaml"):
        print_data(trail, output)
    else:
        out = terminal()
        picture = Picture(trail, out, now=client.now, where=where, is_wide=output == "wide")
        for line in picture.lines():
            out.echo(line)


def _ask_each(client: Client, readings: Sequence[Reading], clusters: tuple[str, ...]) -> Traced:
    """Return what the first reading that is known leads to.

    Raises:
        NotFoundError: none is, with what the likeliest of them was answered.
    """
    from fluxtrail.cli.trace_others import ask

    first: NotFoundError | None = None
    for reading in readings:
        try:
            return ask(client, reading, find_trail, clusters[0] if len(clusters) == 1 else None)
        except NotFoundError as exc:
            first = first or exc
    assert first is not None
    raise first


def _commit_behind(client: Client, readings: Sequence[Reading], clusters: tuple[str, ...]) -> str:
    from fluxtrail.cli.trace_others import commit_of

    commit = commit_of(_ask_each(client, readings, clusters))
    if commit is None:
        raise click.UsageError("it leads to no single commit that is followed here; trace it without --watch")
    return commit


def find_trail(client: Client, query: str) -> TrailView:
    """Ask for the trail of `query`.

    Raises:
        NotFoundError: nothing known is called so.
        AmbiguousError: several commits are.
    """
    if _SHA.fullmatch(query):
        return client.get(f"/commits/{query}", TrailView)
    return client.get("/trail", TrailView, q=query)


def narrowed(trail: TrailView, *, clusters: tuple[str, ...], targets: tuple[str, ...]) -> TrailView:
    """Return the trail with the deliveries asked for; is it settled then says whether these are."""
    if not clusters and not targets:
        return trail
    kept = [d for d in trail.deliveries if is_meant(d, clusters=clusters, targets=targets)]
    return msgspec.structs.replace(trail, deliveries=kept, is_settled=bool(kept) and all(d.is_settled for d in kept))


def is_meant(delivery: DeliveryView, *, clusters: tuple[str, ...], targets: tuple[str, ...]) -> bool:
    if clusters and delivery.cluster not in clusters and delivery.cluster_uid not in clusters:
        return False
    return not targets or any(_names(delivery.target, wanted) for wanted in targets)


def _names(target: str, wanted: str) -> bool:
    kind, namespace, name = split_target(target.lower())
    return wanted.lower() in (name, f"{namespace}/{name}", f"{kind}/{name}", f"{kind}/{namespace}/{name}")


def candidates_text(candidates: list[Candidate], query: str) -> str:
    """Say what an ambiguous query may mean, in a form that can be given instead."""
    what = "images" if query.startswith("sha256:") else "commits"
    lines = [f"{query!r} may mean several {what}:"]
    for candidate in candidates:
        is_twin = sum(other.sha == candidate.sha for other in candidates) > 1
        name = f"{candidate.repository}@{candidate.sha}" if is_twin else candidate.sha
        repository = "" if is_twin else f"{candidate.repository}  "
        lines.append(f"  {name}  {repository}{printable(candidate.subject)}")
    lines.append(f"Give more of it than {short(query)!r}." if _SHA.fullmatch(query) else "Give one of these.")
    return "\n".join(lines)
