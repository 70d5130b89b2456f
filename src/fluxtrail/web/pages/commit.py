"""`/commits/{sha}`: the whole trail of one commit. What was it, where is it, how do we know, and what is to be done?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import PathParameter

from fluxtrail.model.ci import Approval, CiRun, CiState, PullRequest, find_failed_build
from fluxtrail.model.environments import Grouping
from fluxtrail.model.report import ReportState, ReportView
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import ImageView, TrailView
from fluxtrail.web.api import Context, Cursor, OneVerdict, Text, trail_of
from fluxtrail.web.pages.filters import narrowing
from fluxtrail.web.pages.formats import short_sha
from fluxtrail.web.pages.holdups import describe_standing
from fluxtrail.web.pages.rendering import AnyRequest, feed_end, one_instant, page, with_query
from fluxtrail.web.pages.reports import TONES as REPORT_TONES
from fluxtrail.web.pages.trails import Chosen, Deliveries, arrange, headline
from fluxtrail.web.problems import invalid

_SHA = re.compile(r"[0-9a-f]{4,64}")
_WHOLE_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MOST_IMAGES = 8
MOST_REPORTS = 200
CI_TONES = {
    CiState.SUCCEEDED: "good",
    CiState.FAILED: "bad",
    CiState.CANCELLED: "odd",
    CiState.RUNNING: "busy",
    CiState.WAITING: "busy",
    CiState.QUEUED: "busy",
}
_LAST_WORD = ("approved", "changes_requested", "dismissed")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One CI run."""

    view: CiRun
    tone: str
    seconds: float | None
    """How long it took; None while it is not over."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was built from the commit."""

    name: str
    digest: str
    image: ImageView | None
    """As it is known to run; None where it runs nowhere."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Reports of the commit to one output that have come equally far."""

    sink: str
    state: str
    tone: str
    count: int
    at: datetime
    """When the newest of them ended, or was planned."""
    answer: str


@get("/commits/{sha:str}", include_in_schema=False)
async def show_commit(
    request: AnyRequest,
    sha: Annotated[str, PathParameter()],
    *,
    cluster: Text = None,
    target: Text = None,
    verdict: OneVerdict = None,
    cursor: Cursor = None,
) -> Response[str]:
    if not _SHA.fullmatch(sha.lower()):
        raise invalid("sha", sha, "4 to 64 hexadecimal digits of a commit; anything else is found by the search")
    chosen = Chosen(
        cluster=cluster, target=target, verdict=verdict.value if verdict else None, start=read_start(cursor)
    )
    async with one_instant(request) as context:
        live_after = await feed_end(context)
        now = context.now()
        trail = await trail_of(context, sha.lower())
        images = await _made(context, trail)
    told = await _told(context, trail)
    found = arrange(trail.deliveries, chosen, now=now)
    everything = {view.cluster for view in trail.deliveries if view.verdict != Verdict.UNAFFECTED}
    counts = arrange(trail.deliveries, Chosen(), now=now).counts if chosen.is_narrow else found.counts
    return page(
        request,
        "commit.html",
        title=f"{short_sha(trail.commit.sha)} {trail.commit.subject}".strip(),
        section="commits",
        live_after=live_after,
        live_filter={"commit": trail.commit.sha},
        trail=trail,
        found=found,
        counts=counts,
        headline=headline(counts, clusters=len(everything)),
        standing=describe_standing(trail.deliveries),
        clusters=sorted(everything),
        verdicts=[each.value for each in Verdict],
        pull_request=trail.pull_request,
        approvals=last_words(trail.pull_request),
        runs=[describe_run(run) for run in trail.ci_runs],
        images=images,
        problem=find_problem(trail),
        told=sum_up(told),
        anchors=environment_anchors(found, trail, context.grouping),
        stages=sorted_stages(trail),
        is_many=not chosen.is_narrow and any(group.folded or group.hidden for group in found.groups),
        filters=narrowing(request, api="/api/v1/deliveries", now=now),
        api=f"/api/v1/commits/{trail.commit.sha}",
        csv=with_query(
            "/api/v1/deliveries", {}, sha=trail.commit.sha, cluster=cluster, target=target,
            verdict=verdict.value if verdict else None, format="csv",
        ),
    )  # fmt: skip


def read_start(cursor: str | None) -> int:
    """Return how many lines a page leaves out: a trail is read whole, its pages are pieces of it."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 9):
        raise invalid("cursor", cursor, "`next` of the page before; start without one")
    return int(cursor)


def describe_run(run: CiRun) -> Run:
    seconds = None
    if run.started_at is not None and run.finished_at is not None:
        seconds = max((run.finished_at - run.started_at).total_seconds(), 0.0)
    return Run(view=run, tone=CI_TONES.get(run.state, "quiet"), seconds=seconds)


def environment_anchors(found: Deliveries, trail: TrailView, grouping: Grouping) -> dict[str, list[str]]:
    """Return, by cluster, the environments that are met there first on the page: where links of the board lead."""
    if not grouping.environments:
        return {}
    there: dict[str, list[str]] = {}
    for view in trail.deliveries:
        there.setdefault(view.cluster, []).append(grouping.environment_of(view.cluster, view.target))
    seen: set[str] = set()
    anchors: dict[str, list[str]] = {}
    for group in found.groups:
        anchors[group.cluster] = sorted(set(there.get(group.cluster, [])) - seen)
        seen.update(anchors[group.cluster])
    return anchors


def last_words(pull_request: PullRequest | None) -> list[Approval]:
    """Return what each reviewer decided last; a comment decides nothing."""
    if pull_request is None:
        return []
    said = {one.by: one for one in pull_request.approvals if one.state in _LAST_WORD}
    return sorted(said.values(), key=lambda one: (one.state != "approved", one.by))


def sorted_stages(trail: TrailView) -> Sequence[str]:
    """Return the stages that some delivery has, for the legend."""
    order = ("built", "exported", "fetched", "applied", "healthy", "running")
    return [stage for stage in order if any(stage in view.stages for view in trail.deliveries)]


def find_problem(trail: TrailView) -> str:
    """Return why nothing comes of a commit, where that is not a delivery's matter; empty where all is well."""
    failed = find_failed_build(trail.ci_runs)
    if failed is not None and not any(view.verdict == Verdict.DEPLOYED for view in trail.deliveries):
        what = "was cancelled" if failed.state is CiState.CANCELLED else "failed"
        name = failed.pipeline or "The build"
        return f"{name} {what}, and nothing has succeeded since: nothing comes of this commit before it does."
    return ""


def sum_up(views: Sequence[ReportView]) -> list[Told]:
    """Return a line for each output and state: what is told each time would fill the page."""
    groups: dict[tuple[str, ReportState], list[ReportView]] = {}
    for view in views:
        groups.setdefault((view.sink, view.state), []).append(view)
    return [
        Told(
            sink=sink,
            state=state.value,
            tone=REPORT_TONES[state],
            count=len(group),
            at=max(view.ended_at or view.created_at for view in group),
            answer=next((view.answer for view in group if view.answer), ""),
        )
        for (sink, state), group in groups.items()
    ]


async def _told(context: Context, trail: TrailView) -> Sequence[ReportView]:
    if context.reports is None:
        return []
    found = await context.reports.list_reports(
        state=None, sink=None, sha=trail.commit.sha, limit=MOST_REPORTS, cursor=None
    )
    return found.items


async def _made(context: Context, trail: TrailView) -> list[Made]:
    """Return the images that say they were built from the commit, then what its runs say they made."""
    built = await context.answers.list_images(
        cluster=None, namespace=None, state=None, text=None, revision=trail.commit.sha, limit=MOST_IMAGES, cursor=None
    )
    found = [Made(name=name_of(image), digest=image.digest, image=image) for image in built.items]
    seen = {made.digest for made in found}
    for run in trail.ci_runs:
        key = run.digest or run.image
        if key and key not in seen and len(found) < MOST_IMAGES:
            seen.add(key)
            detail = await context.answers.find_image(run.digest) if is_digest(run.digest) else None
            image = detail.image if detail is not None and not isinstance(detail, list) else None
            found.append(Made(name=run.image or run.digest, digest=run.digest, image=image))
    return found


def is_digest(text: str) -> bool:
    """A pipeline may state anything."""
    return _WHOLE_DIGEST.fullmatch(text) is not None


def name_of(image: ImageView) -> str:
    return f"{image.repository}:{image.tags[0]}" if image.tags else image.repository
