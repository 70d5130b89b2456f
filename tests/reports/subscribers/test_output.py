"""Records on their way to subscribers, over a real outbox."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from tests.reports.phases.events import PAGE, flux, names, signed
from tests.reports.worlds import CARRIER, CARRIER_SHA, SHA, FakeClock, content, delivery, sync

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.errors import ConfigError, UpstreamError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import Mode, NewReport, ReportState
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TellingKey
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.dispatcher import BURY_AFTER, SITTING_SECONDS, Dispatcher
from fluxtrail.reports.firmness import LOOK_SECONDS
from fluxtrail.reports.phases.records import plan_phases
from fluxtrail.reports.plan import Content, Subject
from fluxtrail.reports.routes import Commits, Route, RouteKind
from fluxtrail.reports.subscribers.output import SUBSCRIBER_PACE, PhaseSource, Source, StateSource, SubscriberOutput

SECRET_URL = "https://board.example.com/hook?code=s3cret"


class Web:
    """Keeps what is posted; whatever stands in `down` is refused."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes, dict[str, str]]] = []
        self.down: dict[str, UpstreamError] = {}
        self.before: Callable[[], None] = lambda: None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.before()
        for part, error in self.down.items():
            if part in url or part.encode() in body:
                raise error
        self.posted.append((url, body, dict(headers)))

    def bodies(self, url: str) -> list[dict[str, Any]]:
        return [msgspec.json.decode(body) for to, body, _ in self.posted if to == url]


class Facts:
    """The ledger's answers."""

    def __init__(self, *told: DeliveryTelling) -> None:
        self.told = {TellingKey(one.commit.id, one.target.id, one.sync.id if one.sync else None): one for one in told}

    async def delivery_tellings(self, keys: Sequence[TellingKey]) -> Mapping[TellingKey, DeliveryTelling]:
        return {key: self.told[key] for key in keys if key in self.told}

    async def commit_tellings(self, ids: Sequence[CommitId], **_: Any) -> Mapping[CommitId, CommitTelling]:
        raise AssertionError("subscribers are told of deliveries")


def route(name: str = "board", **given: Any) -> Route:
    return Route(name=name, kind=RouteKind.SUBSCRIBER, **given)


class Room:
    def __init__(self, ledger: SqlLedger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.web = Web()

    def subscriber(self, url: str = SECRET_URL, *, to: Route | None = None, source: Source | None = None) -> Dispatcher:
        output = SubscriberOutput(to or route(), source or PhaseSource(), self.web, address=lambda: url)
        outbox = self.ledger.outbox
        return Dispatcher(output, outbox, self.clock, owner="me", pace=SUBSCRIBER_PACE, dice=random.Random(7))

    async def plan(self, reports: Sequence[NewReport]) -> None:
        async with self.ledger.unit() as unit:
            await unit.add_reports(reports)

    async def answers(self, state: ReportState) -> list[str | None]:
        return [view.answer for view in (await self.ledger.outbox.list(state=state, limit=100)).items]

    async def tell(
        self, to: Route, told: DeliveryTelling, what: Content, grouping: Grouping | None = None
    ) -> list[Any]:
        """Send one verdict; returns what arrived."""
        await self.plan([NewReport(sink=to.sink, key="k", mode=Mode.EVERY, body=msgspec.json.encode(what))])
        source = StateSource(
            to, Facts(told), self.clock, grouping or Grouping(), link=lambda sha: f"{PAGE}/commits/{sha}"
        )
        dispatcher = self.subscriber(to=to, source=source)
        await dispatcher.work()
        assert await self.answers(ReportState.WAITING) == []
        return self.web.bodies(SECRET_URL)


@pytest.fixture
def room(ledger: SqlLedger, clock: FakeClock) -> Room:
    return Room(ledger, clock)


NOTICE = flux("Progressing", "service/x created\nsecret/y created\n")


async def test_phases_arrive_as_they_are_and_in_their_order(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    await room.subscriber().work()
    bodies = room.web.bodies(SECRET_URL)
    assert [body["status_name"] for body in bodies] == names(NOTICE)
    assert set(bodies[0]) == {
        "commit_id",
        "status_name",
        "state",
        "message",
        "callback_url",
        "gitops_operator",
        "genre",
    }
    assert {headers["Content-Type"] for _, _, headers in room.web.posted} == {"application/json"}


async def test_7_one_that_fails_keeps_nothing_from_another(room: Room) -> None:
    """There a failing Git host or subscriber kept records from those after it, and lost them."""
    sinks = ["route.first", "route.second"]
    await room.plan(plan_phases(signed(NOTICE), sinks=sinks, callback_url=PAGE))
    first = room.subscriber("https://first", to=route("first"))
    second = room.subscriber("https://second", to=route("second"))
    room.web.down = {"https://first": UpstreamError("connection refused")}
    await first.work()
    await second.work()
    assert (len(room.web.bodies("https://first")), len(room.web.bodies("https://second"))) == (0, 4)
    room.web.down = {}
    while await room.answers(ReportState.WAITING):
        room.clock.turn(60)
        await first.work()
    assert [body["status_name"] for body in room.web.bodies("https://first")] == names(NOTICE)


async def test_later_records_do_not_overtake_in_an_outage(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {"secret": UpstreamError("timed out")}
    dispatcher = room.subscriber()
    await dispatcher.work()
    room.clock.turn(1)
    later = flux("ReconciliationSucceeded")
    await room.plan(plan_phases(signed(later), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {}
    while await room.answers(ReportState.WAITING):
        room.clock.turn(60)
        await dispatcher.work()
    assert [body["status_name"] for body in room.web.bodies(SECRET_URL)] == [*names(NOTICE), "Status"]
    assert room.web.bodies(SECRET_URL)[-1]["state"] == "ReconciliationSucceeded"


async def test_who_refuses_everything_is_asked_again_before_anything_is_buried(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {"board": UpstreamError("bad request", status=400, retryable=False)}
    dispatcher = room.subscriber()
    await dispatcher.work()
    assert dispatcher.numbers.is_down
    assert (len(await room.answers(ReportState.WAITING)), room.web.posted) == (4, [])
    room.web.down = {}
    while await room.answers(ReportState.WAITING):
        room.clock.turn(60)
        await dispatcher.work()
    assert [body["status_name"] for body in room.web.bodies(SECRET_URL)] == names(NOTICE)


async def test_who_refuses_everything_for_long_gets_no_more_of_it(room: Room) -> None:
    await room.plan(plan_phases(signed(flux("info")), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {"board": UpstreamError("bad request", status=400, retryable=False)}
    dispatcher = room.subscriber()
    for _ in range(BURY_AFTER):
        await dispatcher.work()
        room.clock.turn(120)
    assert await room.answers(ReportState.DEAD) == ["bad request"]


async def test_a_slow_subscriber_keeps_its_place_for_the_next_claim(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    room.web.before = lambda: room.clock.turn(SITTING_SECONDS)
    dispatcher = room.subscriber()
    for sent in (2, 4):
        await dispatcher.work()
        assert len(room.web.posted) == sent
    assert [body["status_name"] for body in room.web.bodies(SECRET_URL)] == names(NOTICE)


async def test_what_is_refused_alone_is_a_dead_letter(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {'"status_name":"service"': UpstreamError("no such thing", status=400, retryable=False)}
    await room.subscriber().work()
    assert [body["status_name"] for body in room.web.bodies(SECRET_URL)] == ["Status", "secret", "Status"]
    assert await room.answers(ReportState.DEAD) == ["no such thing"]


async def test_a_redirect_is_not_followed_and_loses_nothing(room: Room) -> None:
    await room.plan(plan_phases(signed(NOTICE), sinks=["route.board"], callback_url=PAGE))
    room.web.down = {"board": UpstreamError("moved; correct the address", status=302, retryable=False)}
    dispatcher = room.subscriber()
    await dispatcher.work()
    assert dispatcher.numbers.is_down
    assert len(await room.answers(ReportState.WAITING)) == 4


async def test_an_address_that_cannot_be_read_loses_nothing(room: Room) -> None:
    def address() -> str:
        raise ConfigError("cannot be read", subject="address_file")

    await room.plan(plan_phases(signed(flux("info")), sinks=["route.board"], callback_url=PAGE))
    output = SubscriberOutput(route(), PhaseSource(), room.web, address=address)
    dispatcher = Dispatcher(output, room.ledger.outbox, room.clock, owner="me", pace=SUBSCRIBER_PACE)
    await dispatcher.work()
    assert len(await room.answers(ReportState.WAITING)) == 1


@pytest.mark.parametrize("source", [PhaseSource(), StateSource(route(), Facts(), FakeClock(), Grouping(), link=str)])
async def test_what_cannot_be_read_is_a_dead_letter(room: Room, source: Source) -> None:
    await room.plan([NewReport(sink="route.board", key="k", mode=Mode.EVERY, body=b"{}")])
    await room.subscriber(source=source).work()
    assert len(await room.answers(ReportState.DEAD)) == 1


DIRECT = delivery(commit=CARRIER, carrier=None)
ABOUT = content(commit=CARRIER.id)


async def test_11_12_a_verdict_names_cluster_and_target(room: Room) -> None:
    """Two clusters overwrote each other's `Status`; commits that Flux skipped got none."""
    told = delivery(commit=CARRIER, carrier=None, sync=sync(revision=f"main@sha1:{SHA}", sha=SHA, message="Applied"))
    assert await room.tell(route(), told, ABOUT) == [
        {
            "commit_id": CARRIER_SHA,
            "status_name": "prod/flux-system/apps",
            "state": "ReconciliationSucceeded",
            "message": "Applied",
            "callback_url": f"{PAGE}/commits/{CARRIER_SHA}",
            "gitops_operator": "Flux",
            "genre": "Kustomization",
        }
    ]


@pytest.mark.parametrize(
    ("verdict", "kind", "reason", "state", "said"),
    [
        (Verdict.FAILED, "Kustomization", "HealthCheckFailed", "HealthCheckFailed", "Failed"),
        (Verdict.FAILED, "Kustomization", "Progressing", "ReconciliationFailed", "Failed"),
        (Verdict.FAILED, "HelmRelease", "", "UpgradeFailed", "Failed"),
        (Verdict.DEPLOYED, "HelmRelease", "InstallSucceeded", "InstallSucceeded", "Delivered"),
        (Verdict.DEPLOYED, "HelmRelease", "Progressing", "UpgradeSucceeded", "Delivered"),
        (Verdict.ROLLED_BACK, "Kustomization", "ReconciliationSucceeded", "Failed", "Rolled back"),
        (Verdict.LOST, "Kustomization", "", "NotApplicable", "Lost"),
        (Verdict.ABANDONED, "Kustomization", "", "NotApplicable", "Abandoned"),
    ],
)
async def test_state_is_fluxs_reason_where_it_says_the_same(
    room: Room, verdict: Verdict, kind: str, reason: str, state: str, said: str
) -> None:
    target = msgspec.structs.replace(DIRECT.target, kind=kind)
    told = msgspec.structs.replace(DIRECT, target=target, sync=sync(reason=reason), verdict=verdict)
    [body] = await room.tell(route(), told, content(verdict, commit=CARRIER.id))
    assert (body["state"], body["genre"]) == (state, kind)
    assert body["message"].startswith(said)


async def test_verdict_that_no_attempt_gave(room: Room) -> None:
    told = msgspec.structs.replace(DIRECT, sync=None, verdict=Verdict.LOST)
    [body] = await room.tell(route(), told, content(Verdict.LOST, commit=CARRIER.id, sync=None))
    assert body["state"] == "NotApplicable"


async def test_what_seems_lost_is_told_when_that_is_firm(room: Room) -> None:
    """A sync may have applied it a moment before its branch was rewritten."""
    lost = msgspec.structs.replace(DIRECT, sync=None, verdict=Verdict.LOST, is_unsure=True)
    facts, what = Facts(lost), content(Verdict.LOST, commit=CARRIER.id, sync=None)
    source = StateSource(route(), facts, room.clock, Grouping(), link=str)
    dispatcher = room.subscriber(source=source)
    await room.plan([NewReport(sink="route.board", key="k", mode=Mode.EVERY, body=msgspec.json.encode(what))])
    await dispatcher.work()
    assert (room.web.posted, len(await room.answers(ReportState.WAITING))) == ([], 1)
    facts.told = Facts(msgspec.structs.replace(lost, is_unsure=False)).told
    room.clock.turn(LOOK_SECONDS + 1)
    await dispatcher.work()
    assert [body["state"] for body in room.web.bodies(SECRET_URL)] == ["NotApplicable"]


async def test_what_was_not_lost_after_all_is_not_told_to_be(room: Room) -> None:
    assert await room.tell(route(), DIRECT, content(Verdict.LOST, commit=CARRIER.id)) == []


async def test_source_commit_is_told_only_where_it_is_asked_for(room: Room) -> None:
    assert await room.tell(route(), delivery(), content()) == []
    [body] = await room.tell(route("source", commits=Commits.SOURCE), delivery(), content())
    assert body["commit_id"] == SHA


@pytest.mark.parametrize(
    "given",
    [
        {"repositories": ("github.com/other/*",)},
        {"targets": ("HelmRelease/*",)},
        {"environments": ("staging",)},
        {"verdicts": frozenset({Verdict.FAILED})},
    ],
)
async def test_what_a_route_does_not_want_is_silent(room: Room, given: dict[str, Any]) -> None:
    grouping = Grouping((Environment(name="production", clusters=("prod*",)),))
    assert await room.tell(route(**given), DIRECT, ABOUT, grouping) == []
    wanted = route("wanted", repositories=("github.com/acme/*",), environments=("production",))
    assert len(await room.tell(wanted, DIRECT, ABOUT, grouping)) == 1


async def test_only_verdicts_are_told(room: Room) -> None:
    assert await room.tell(route(), DIRECT, content(None, about=Subject.SEEN, commit=CARRIER.id, target=None)) == []
    assert await room.tell(route("gone"), DIRECT, content(commit=CommitId(99))) == []
