"""Event routes' wiring: webhooks, CDEvents and gitops-connector's subscribers, each a sink with a dispatcher."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

import msgspec

from fluxtrail.model.environments import Grouping
from fluxtrail.model.errors import ConflictError
from fluxtrail.remotes.posting import TIMEOUT_SECONDS, Sender
from fluxtrail.remotes.webhooks.poster import WebhookPoster
from fluxtrail.reports.dispatcher import Dispatcher, Pace
from fluxtrail.reports.events.cdevents import CONTENT_TYPE, tested_event
from fluxtrail.reports.events.document import TEST, EventDocument
from fluxtrail.reports.events.sources import CDEventSource, Teller, WebhookSource
from fluxtrail.reports.routes import RouteKind
from fluxtrail.reports.standings.words import link
from fluxtrail.reports.subscribers.output import (
    HEADERS,
    SUBSCRIBER_PACE,
    PhaseSource,
    Source,
    StateSource,
    SubscriberOutput,
)
from fluxtrail.runtime.chats import address_of
from fluxtrail.runtime.figures import FoldedLedger
from fluxtrail.runtime.sessions import Sessions
from fluxtrail.runtime.settings.routes import RouteSetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.runtime.writers import audit
from fluxtrail.trail.ports import Clock

_PACES: Mapping[RouteKind, Pace] = {RouteKind.CDEVENTS: Pace(timeout_seconds=2 * TIMEOUT_SECONDS)}
"""One report may be two events."""
_HEADERS: Mapping[RouteKind, Mapping[str, str]] = {RouteKind.CDEVENTS: {"Content-Type": CONTENT_TYPE}}


class EventRoutes:
    """Everything that is told event by event."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        *,
        grouping: Grouping,
        ledger: FoldedLedger,
        clock: Clock,
        owner: str,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._grouping = grouping
        self._ledger = ledger
        self._clock = clock
        routes = [item for item in settings.routes if item.to.is_per_event]
        self.tried: dict[str, EventRoute] = {item.name: self._tried(item) for item in routes}
        """By name."""
        self.dispatchers = [
            Dispatcher(
                self._output(item), ledger.store.outbox, clock, owner=owner, pace=_PACES.get(item.to, SUBSCRIBER_PACE)
            )
            for item in routes
        ]

    def _output(self, item: RouteSetting) -> SubscriberOutput:
        return SubscriberOutput(
            item.to_route(),
            self._source(item),
            self._poster(item),
            address=address_of(item),
            headers=_HEADERS.get(item.to, HEADERS),
        )

    def _poster(self, item: RouteSetting) -> WebhookPoster:
        return WebhookPoster(
            Sender(self._sessions.to, name=f"route {item.name}"),
            secret_file=item.secret_file,
            headers_file=item.headers_file,
            audit=audit,
        )

    def _source(self, item: RouteSetting) -> Source:
        store, route = self._ledger.store, item.to_route()
        if item.to is RouteKind.SUBSCRIBER:
            if item.source == "phases":
                return PhaseSource()
            return StateSource(route, store, self._clock, self._grouping, link=self._subscribers_link)
        teller = Teller(route=route, grouping=self._grouping, instance=store.instance_id, link=self._link)
        if item.to is RouteKind.WEBHOOK:
            return WebhookSource(teller, store, self._clock)
        return CDEventSource(teller, store, store.said, self._clock, source=self._events_source)

    @property
    def _events_source(self) -> str:
        """Whose CDEvents they are: where people reach us, else the ledger's own name."""
        return self._settings.public_url or f"urn:fluxtrail:{self._ledger.store.instance_id}"

    def _link(self, sha: str) -> str:
        return link(self._settings.public_url, sha)

    def _subscribers_link(self, sha: str) -> str:
        """Return where gitops-connector's records led, which is the same for all commits; else the commit's page."""
        return self._settings.gitops_connector.app_url or self._link(sha)

    def _tried(self, item: RouteSetting) -> EventRoute:
        return EventRoute(item, self._poster(item), self._clock, source=self._events_source)


class EventRoute:
    """A route that can be tried. Satisfies `reporting.Tried`."""

    def __init__(self, item: RouteSetting, poster: WebhookPoster, clock: Clock, *, source: str) -> None:
        self._item = item
        self._poster = poster
        self._clock = clock
        self._source = source
        self._address: Callable[[], str] = address_of(item)

    async def try_out(self) -> tuple[str, str]:
        """Post an event that says it is a test. Raises FluxtrailError; ConflictError of a subscriber."""
        item = self._item
        if item.to is RouteKind.SUBSCRIBER:
            raise ConflictError(
                "gitops-connector's records cannot say that they are a test; watch one with `fluxtrail get reports`",
                subject=f"route {item.name}",
            )
        id_ = str(uuid.uuid4())
        document = EventDocument(id=id_, type=TEST, at=self._clock.now(), message=f"a test of the route {item.name}")
        if item.to is RouteKind.CDEVENTS:
            body = msgspec.json.encode(tested_event(self._source, id_, document))
        else:
            body = msgspec.json.encode(document)
        await self._poster.post(self._address(), body, _HEADERS.get(item.to, HEADERS))
        return "its address", "posted an event that says it is a test"

    async def budget_left(self) -> int | None:
        """Receivers of events have none."""
        return None
