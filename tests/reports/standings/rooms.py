"""A forge that keeps statuses or refuses them, trails that tests state, and one route with its dispatcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tests.reports.worlds import SHA, FakeClock, moment

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ReportState
from fluxtrail.model.standing import CommitTrail, Outline
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.model.views import CommitView, DeliveryView, TrailView
from fluxtrail.reports.dispatcher import Dispatcher
from fluxtrail.reports.routes import DEFAULT_CONTEXT, Route, RouteKind
from fluxtrail.reports.standings.budgets import Budget, Budgets, Window
from fluxtrail.reports.standings.output import PACE, StandingOutput
from fluxtrail.reports.standings.plan import reports_of
from fluxtrail.reports.standings.saying import Compose
from fluxtrail.reports.standings.speakers import Speaker, StatusSpeaker
from fluxtrail.reports.standings.words import DEFAULT_DESCRIPTION, example_values
from fluxtrail.reports.templates import Text

ONE = CommitId(1)
TEMPLATES = {"context": DEFAULT_CONTEXT, "description": DEFAULT_DESCRIPTION, "url": "{{ url }}"}
GROUPING = Grouping(
    environments=(
        Environment(name="production", clusters=("prod-*",)),
        Environment(name="staging", clusters=("staging",)),
    )
)


def commit(**given: Any) -> CommitView:
    fields: dict[str, Any] = {
        "sha": SHA,
        "repository": "github.com/acme/shop",
        "subject": "Sell more",
        "author": "Ada",
        "committed_at": None,
        "merged": moment(0),
        "pull_request": 12,
        "is_carrier": False,
        "web_url": f"https://github.com/acme/shop/commit/{SHA}",
        "verdicts": {},
    }
    return CommitView(**(fields | given))


def delivery(cluster: str = "prod-eu", verdict: str = "pending", **given: Any) -> DeliveryView:
    fields: dict[str, Any] = {
        "sha": SHA,
        "repository": "github.com/acme/shop",
        "cluster": cluster,
        "cluster_uid": f"uid-{cluster}",
        "target": "Kustomization/flux-system/apps",
        "target_id": 1,
        "verdict": verdict,
        "since": moment(10).at,
        "stages": {"merged": moment(0)},
    }
    return DeliveryView(**(fields | given))


def deployed(cluster: str = "prod-eu", at: float = 60.0, **given: Any) -> DeliveryView:
    stages = {"merged": moment(0), "applied": moment(at - 10), "healthy": moment(at)}
    return delivery(cluster, "deployed", since=moment(at).at, stages=stages, **given)


def failed(cluster: str = "prod-eu", since: float = 30.0, **given: Any) -> DeliveryView:
    fields: dict[str, Any] = {"reason": "HealthCheckFailed", "message": "timeout waiting for web"} | given
    return delivery(cluster, "failed", since=moment(since).at, **fields)


def trail(
    *deliveries: DeliveryView, branch: str = "main", unsure: frozenset[int] = frozenset(), **given: Any
) -> CommitTrail:
    settled = {"deployed", "unaffected", "lost", "abandoned"}
    view = TrailView(
        commit=commit(**given),
        queried=SHA,
        deliveries=list(deliveries),
        is_settled=all(item.verdict in settled for item in deliveries),
    )
    return CommitTrail(view=view, branch=branch, unsure=unsure)


class Written(NamedTuple):
    at: datetime
    sha: str
    context: str
    state: str
    description: str


class Forge:
    """Keeps what is written to it. `troubles` are raised first, one a call; `taken_then` after a write was taken."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.written: list[Written] = []
        self.looked: list[str] = []
        self.troubles: list[FluxtrailError] = []
        self.taken_then: list[FluxtrailError] = []

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        assert repository == "acme/shop"
        if self.troubles:
            raise self.troubles.pop(0)
        self.written.append(Written(self._clock.now(), sha, status.context, status.state.value, status.description))
        if self.taken_then:
            raise self.taken_then.pop(0)

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        self.looked.append(context)
        found = [one for one in self.written if (one.sha, one.context.lower()) == (sha, context.lower())]
        if not found:
            return None
        last = found[-1]
        return CommitStatus(
            state=StatusState(last.state),
            context=last.context,
            description=last.description,
            url=f"https://trail.example/commits/{sha}",
        )

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        return status

    @property
    def final(self) -> dict[str, str]:
        return {one.context: one.state for one in self.written}


class ForgePlace(NamedTuple):
    path: str
    budget: str


class StatedTrails:
    def __init__(self) -> None:
        self.known: dict[CommitId, CommitTrail] = {}
        self.read: list[CommitId] = []
        """Whose trails were read as a whole."""

    async def trails(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: timedelta, is_whole: bool
    ) -> Mapping[CommitId, CommitTrail]:
        self.read += ids
        return {id_: self.known[id_] for id_ in ids if id_ in self.known}

    async def outlines(self, ids: Sequence[CommitId]) -> Mapping[CommitId, Outline]:
        return {id_: outline_of(self.known[id_]) for id_ in ids if id_ in self.known}


def outline_of(trail: CommitTrail) -> Outline:
    """What is kept of a trail: no more than where it affects something."""
    kept = [item for item in trail.view.deliveries if item.verdict != "unaffected"]
    return Outline(
        repository=trail.view.commit.repository,
        is_carrier=trail.view.commit.is_carrier,
        verdicts=tuple((item.cluster, item.target, item.verdict) for item in kept),
    )


class Room:
    """One route."""

    def __init__(self, ledger: SqlLedger, clock: FakeClock, *, per_minute: int = 75, **route: Any) -> None:
        self.ledger, self.clock = ledger, clock
        self.forge = Forge(clock)
        self.trails = StatedTrails()
        self.route = Route(**({"name": "checks", "kind": RouteKind.GITHUB_STATUS} | route))
        self.budgets = Budgets(ledger.outbox, clock)
        self._budget = Budget("github.com/acme", (Window(per_minute, timedelta(minutes=1)),))
        self.owner = 0
        self.restart()

    def restart(self, speaker: Speaker | None = None) -> None:
        self.owner += 1
        compose = Compose(
            self.route,
            GROUPING.environment_of,
            {name: Text(text, example=example_values(), subject=name) for name, text in TEMPLATES.items()},
            public_url="https://trail.example",
        )
        self.output = StandingOutput(
            self.route,
            speaker or self.speaker(),
            compose,
            self.trails,
            self.ledger.said,
            self.budgets,
            self.clock,
            settle_after=timedelta(minutes=30),
        )
        self.dispatcher = Dispatcher(
            self.output, self.ledger.outbox, self.clock, owner=f"owner {self.owner}", pace=PACE
        )

    def speaker(self) -> Speaker:
        def find_place(repository: str) -> ForgePlace | None:
            host, _, path = repository.partition("/")
            return ForgePlace(path, "github.com/acme") if host == "github.com" else None

        return StatusSpeaker(lambda _: self.forge, find_place, lambda _: self._budget)

    async def tell(self, *deliveries: DeliveryView, id_: CommitId = ONE, **given: Any) -> None:
        """State how a commit stands, and let the route say it."""
        self.state(*deliveries, id_=id_, **given)
        await self.plan(id_)
        await self.work()

    def state(self, *deliveries: DeliveryView, id_: CommitId = ONE, **given: Any) -> None:
        sha = SHA if id_ == ONE else f"{id_:040x}"
        self.trails.known[id_] = trail(*deliveries, **({"sha": sha} | given))

    async def plan(self, *ids: CommitId) -> None:
        async with self.ledger.unit() as unit:
            await unit.add_reports(reports_of([self.route.sink], ids or [ONE]))

    async def work(self) -> None:
        while await self.dispatcher.work():
            pass

    async def left(self, state: ReportState = ReportState.WAITING) -> dict[str, str | None]:
        page = await self.ledger.outbox.list(state=state, sink=self.route.sink, limit=100)
        return {view.key: view.answer for view in page.items}

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(one.context, one.state) for one in self.forge.written]
