"""Which deliveries and commits a route that tells every event is about. Pure."""

from __future__ import annotations

from fluxtrail.model.environments import Grouping
from fluxtrail.model.telling import DeliveryTelling, TrackedCommit, TrackedTarget
from fluxtrail.reports.plan import Content
from fluxtrail.reports.routes import Route


def target_name(target: TrackedTarget) -> str:
    return f"{target.kind}/{target.namespace}/{target.name}"


def environment_of(target: TrackedTarget, grouping: Grouping) -> str:
    return grouping.environment_of(target.cluster, target_name(target))


def is_wanted(route: Route, grouping: Grouping, content: Content, told: DeliveryTelling) -> bool:
    """Whether a route tells of a delivery's verdict."""
    return route.admits_verdict(content.verdict or told.verdict) and is_its_own(route, grouping, told)


def is_its_own(route: Route, grouping: Grouping, told: DeliveryTelling) -> bool:
    """Whether a route is about a delivery, whatever comes of it."""
    target, commit = told.target, told.commit
    return (
        route.admits_commit(commit.repository, is_carrier=commit.is_carrier)
        and route.admits_target(target_name(target))
        and route.admits_environment(environment_of(target, grouping))
    )


def is_commit_wanted(route: Route, commit: TrackedCommit) -> bool:
    """Whether a route tells that a commit was seen: not where it names verdicts, environments or targets."""
    is_narrow = bool(route.verdicts or route.environments or route.targets)
    return not is_narrow and route.admits_commit(commit.repository, is_carrier=commit.is_carrier)
