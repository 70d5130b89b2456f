"""What runs: workloads and why they do not, images and what they were built from, and the chain back to a commit."""

from __future__ import annotations

import re
from typing import Annotated

from litestar import get
from litestar.params import PathParameter, QueryParameter

from fluxtrail.model.image_records import ImageState
from fluxtrail.model.rollout import RolloutCause, RolloutState
from fluxtrail.model.views import Candidate, ChainView, ImageDetail, ImageView, WorkloadView
from fluxtrail.web.api import DEFAULT_LIMIT, AnyRequest, Cursor, Limit, Text, context_of
from fluxtrail.web.problems import ProblemError, ambiguous, documented, invalid, not_found
from fluxtrail.web.shapes import Page, Problem

NO_NAMESPACE = "-"
"""Stands in a path for the namespace of what has none."""
WHOLE_SHA = "^(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{4,64})")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9.-]{1,190})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}")


@get(
    "/workloads",
    operation_id="list_workloads",
    summary="Workloads that Flux applied, what does not run first",
    responses=documented(),
)
async def list_workloads(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    target: Text = None,
    state_: Annotated[RolloutState | None, QueryParameter(name="state")] = None,
    cause: Annotated[RolloutCause | None, QueryParameter()] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[WorkloadView]:
    """`cluster` is a name or uid, `target` whose inventory it is in: a name, `kind/name` or `kind/namespace/name`."""
    found = await context_of(request).answers.list_workloads(
        cluster=cluster, namespace=namespace, target=target, state=state_, cause=cause, limit=limit, cursor=cursor
    )
    return Page(items=list(found.items), next=found.next)


@get("/images", operation_id="list_images", summary="Images, those that run first", responses=documented())
async def list_images(
    request: AnyRequest,
    *,
    cluster: Text = None,
    namespace: Text = None,
    state_: Annotated[ImageState | None, QueryParameter(name="state")] = None,
    text: Annotated[
        str | None,
        QueryParameter(
            min_length=1, max_length=512, description="A part of `repository:tag`, or the beginning of a digest."
        ),
    ] = None,
    revision: Annotated[
        str | None, QueryParameter(pattern=WHOLE_SHA, description="The whole sha of the commit that it was built from.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ImageView]:
    """Those that run, then those that ran, what began last first; `namespace` is one that it runs in."""
    found = await context_of(request).answers.list_images(
        cluster=cluster, namespace=namespace, state=state_, text=text, revision=revision, limit=limit, cursor=cursor
    )
    return Page(items=list(found.items), next=found.next)


@get(
    "/images/{digest:str}",
    operation_id="get_image",
    summary="One image: what it was built from, and where it runs",
    responses=documented(404, 409),
)
async def get_image(
    request: AnyRequest,
    digest: Annotated[str, PathParameter(description="With or without `sha256:`; at least four digits of it.")],
) -> ImageDetail:
    """An index and the manifests of its platforms are one image: each leads to what runs of all of them."""
    matched = _DIGEST.fullmatch(digest.lower())
    if matched is None:
        raise invalid("digest", digest, "sha256:<4 to 64 hexadecimal digits>; names are found by /api/v1/images?text=")
    found = await context_of(request).answers.find_image(f"sha256:{matched.group(1)}")
    if found is None:
        raise not_found(
            f"no image that runs or ran has the digest {digest[:80]!r}", "Those that run are listed by /api/v1/images"
        )
    if isinstance(found, list):
        raise ambiguous(
            digest, [Candidate(sha=image.digest, repository=image.repository, subject="") for image in found]
        )
    return found


@get(
    "/chains/{kind:str}/{namespace:str}/{name:str}",
    operation_id="get_chains",
    summary="The way from an object in a cluster back to a commit",
    responses=documented(404),
)
async def get_chains(
    request: AnyRequest,
    kind: Annotated[str, PathParameter(description="`Deployment`, `deploy`, `Rollout.argoproj.io`; any letter case.")],
    namespace: Annotated[str, PathParameter(description="`-`: none, or wherever it is.")],
    name: Annotated[str, PathParameter()],
    *,
    cluster: Text = None,
) -> Page[ChainView]:
    """One chain for each cluster that has the object. A link that is named and cannot be found is in it, as `found`
    says.
    """
    chains = context_of(request).chains
    if chains is None:
        detail = "no cluster is watched by this server. Ask one that `fluxtrail run` started"
        raise ProblemError(Problem(code="chains_off", title="No cluster is watched here", status=404, detail=detail))
    for parameter, value, form in (("kind", kind, _KIND), ("name", name, _NAME), ("namespace", namespace, _NAME)):
        if not form.fullmatch(value) and (parameter, value) != ("namespace", NO_NAMESPACE):
            raise invalid(parameter, value, f"a {parameter} as Kubernetes has it")
    place = "" if namespace == NO_NAMESPACE else namespace
    found = await chains.find_chains(kind, place, name, cluster=cluster)
    if found is None:
        raise not_found(f"no cluster knows the kind {kind[:80]!r}", "Write it with its group: Rollout.argoproj.io")
    if not found:
        what = f"{kind}/{name}"[:200]
        if not place:
            raise not_found(f"no cluster has {what!r} in any namespace", "Is the name right?")
        raise not_found(f"no cluster has {what!r} in the namespace {place[:80]!r}", "Is the namespace right?")
    return Page(items=list(found))


RUNNING_HANDLERS = (list_workloads, list_images, get_image, get_chains)
