"""`fluxtrail get workloads` and `get images`: what runs, what does not, and what it was built from."""

from __future__ import annotations

from typing import Any

import click

from fluxtrail.cli.client import client_of
from fluxtrail.cli.lists import limit_option, list_options, place_of, place_options, show
from fluxtrail.cli.output import Column
from fluxtrail.cli.words import age, short, short_digest, split_image_name, split_target
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.model.views import ImageView, WorkloadView

ROLLOUT_STATES = tuple(state.value for state in RolloutState)
CAUSES = tuple(cause.value for cause in RolloutCause)
IMAGE_STATES = tuple(state.value for state in ImageState)
_STYLES = {"failed": "failed", "blocked": "failed", "progressing": "pending", "rolled_out": "deployed", "absent": "dim"}
_IMAGE_STYLES = {"known": "deployed", "pending": "pending", "private": "warn", "absent": "warn", "unasked": "dim"}


@click.command("workloads")
@place_options
@click.option("--target", metavar="NAME", help="Only of this target: name, Kind/name or Kind/namespace/name.")
@click.option("--state", type=click.Choice(ROLLOUT_STATES), help="Only those that stand so.")
@click.option("--cause", type=click.Choice(CAUSES), help="Only those that do not run for this cause.")
@limit_option
@list_options
@click.pass_context
def get_workloads(ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, all_namespaces: bool, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List workloads that Flux applied: what does not run first, and why."""
    client = client_of(ctx)
    parameters = place_of(filters, all_namespaces)
    columns: list[Column[WorkloadView]] = [
        Column("CLUSTER", lambda w: w.cluster, is_flexible=True),
        Column("NAMESPACE", lambda w: split_target(w.workload)[1], is_flexible=True),
        Column("KIND", lambda w: split_target(w.workload)[0], is_flexible=True, is_dispensable=True),
        Column("NAME", lambda w: split_target(w.workload)[2], is_flexible=True),
        Column("STATE", lambda w: w.state.replace("_", " "), lambda w: _STYLES.get(w.state)),
        Column("CAUSE", lambda w: w.cause or "", lambda w: _STYLES.get(w.state) if w.cause else None),
        Column("SINCE", lambda w: age(w.since, client.now)),
        Column("IMAGES", _images, is_wide=True),
        Column("GENERATION", _generation, is_wide=True),
        Column("TARGET", lambda w: w.target, is_wide=True),
        Column("POD", lambda w: w.pod, is_wide=True),
        Column("MESSAGE", lambda w: w.message, is_flexible=True, is_dispensable=True),
    ]
    show(
        client,
        lambda: list(client.pages("/workloads", WorkloadView, limit=limit, parameters=parameters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda w: w.workload.lower(),
        has_header=not no_header,
        nothing="No workloads found.",
    )


@click.command("images")
@place_options
@click.option("--state", type=click.Choice(IMAGE_STATES), help="Only those of which so much is known.")
@click.option("--text", metavar="TEXT", help="Only with this in repository:tag, or a digest that begins so.")
@limit_option
@list_options
@click.pass_context
def get_images(ctx: click.Context, /, *, output: str, no_header: bool, is_watched: bool, limit: int, all_namespaces: bool, **filters: Any) -> None:  # fmt: skip  # noqa: E501
    """List images, those that run first, with the commit that each was built from."""
    client = client_of(ctx)
    parameters = place_of(filters, all_namespaces)
    columns: list[Column[ImageView]] = [
        Column("IMAGE", lambda i: split_image_name(i.repository)[1], is_flexible=True),
        Column("REGISTRY", lambda i: split_image_name(i.repository)[0], is_wide=True),
        Column("TAG", lambda i: ", ".join(i.tags[:3]), is_flexible=True),
        Column("DIGEST", lambda i: short_digest(i.digest).removeprefix("sha256:"), lambda _: "sha"),
        Column("RUNS", lambda i: str(i.running)),
        Column("CLUSTERS", lambda i: ", ".join(i.clusters), is_flexible=True, is_dispensable=True),
        Column("COMMIT", lambda i: short(i.revision) if i.revision else "", lambda _: "sha"),
        Column("SOURCE", lambda i: i.source or "", is_wide=True),
        Column("STATE", lambda i: i.state, lambda i: _IMAGE_STYLES.get(i.state)),
        Column("ATTESTED", _attested, lambda i: {"yes": "deployed", "no": "warn"}.get(_attested(i))),
        Column("VERSION", lambda i: i.version, is_wide=True),
        Column("SINCE", lambda i: age(i.since, client.now)),
        Column("PROBLEM", lambda i: i.problem, is_wide=True, is_flexible=True),
    ]
    show(
        client,
        lambda: list(client.pages("/images", ImageView, limit=limit, parameters=parameters)),
        columns,
        is_watched=is_watched,
        form=output,
        name=lambda i: f"image/{i.repository}@{i.digest}",
        has_header=not no_header,
        nothing="No images found.",
    )


def _images(workload: WorkloadView) -> str:
    return ", ".join(dict.fromkeys(workload.images.values()))


def _generation(workload: WorkloadView) -> str:
    """How far it has come: `2/3`, or the one number where it has."""
    if workload.rolled_generation >= workload.generation:
        return str(workload.generation)
    return f"{workload.rolled_generation}/{workload.generation}"


def _attested(image: ImageView) -> str:
    return "" if image.is_attested is None else "yes" if image.is_attested else "no"
