"""Webhooks' documents and CDEvents: over a real ledger's memory, with what the ledger knows stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.reports.worlds import CARRIER, SHA, FakeClock, at, commit, content, delivery, moment, sync

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.records import CommitId, SyncId, TargetId
from fluxtrail.model.report import ClaimedReport, Mode, ReportId
from fluxtrail.model.telling import BuiltImage, CommitTelling, DeliveryTelling, TellingKey, TrackedCommit
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.events.purls import commit_purl, image_purl
from fluxtrail.reports.events.sources import CDEventSource, Teller, WebhookSource
from fluxtrail.reports.firmness import HELD_FOR
from fluxtrail.reports.outputs import Rendering
from fluxtrail.reports.plan import Content, Subject
from fluxtrail.reports.routes import Commits, Route, RouteKind
from fluxtrail.reports.telemetry.ids import trace_id
from fluxtrail.reports.telemetry.rendering import Known, NotYet, render_records

GROUPING = Grouping(environments=(Environment(name="production", clusters=("prod*",)),))
SOURCE = "https://trail.example"
FAILED = content(Verdict.FAILED, reason="HealthCheckFailed", sync=SyncId(4))
DEPLOYED = content(Verdict.DEPLOYED)
SEEN = Content(about=Subject.SEEN, commit=CommitId(1), at=at(0))
DIGEST = "sha256:" + "ab" * 32


class Facts:
    """The ledger's answers."""

    def __init__(self) -> None:
        broken = sync(id=SyncId(4), reason="HealthCheckFailed", message="timeout waiting for web", failed=moment(120))
        self.told = {
            TellingKey(CommitId(1), TargetId(7), SyncId(4)): delivery(sync=broken, verdict=Verdict.FAILED),
            TellingKey(CommitId(1), TargetId(7), SyncId(5)): delivery(),
            TellingKey(CommitId(1), TargetId(7), None): delivery(sync=None),
        }
        self.commits: dict[CommitId, TrackedCommit] = {CommitId(1): commit()}
        self.firsts: set[SyncId] = set()
        self.images: dict[CommitId, BuiltImage] = {}

    async def delivery_tellings(self, keys: Sequence[TellingKey]) -> Mapping[TellingKey, DeliveryTelling]:
        return {key: self.told[key] for key in keys if key in self.told}

    async def commit_tellings(
        self, ids: Sequence[CommitId], *, now: datetime, settle_after: Any
    ) -> Mapping[CommitId, CommitTelling]:
        known = {id_: self.commits[id_] for id_ in ids if id_ in self.commits}
        return {
            id_: CommitTelling(commit=one, verdicts={}, is_settled=False, last_at=None) for id_, one in known.items()
        }

    async def first_syncs(self, ids: Sequence[SyncId]) -> set[SyncId]:
        return self.firsts & set(ids)

    async def built_images(self, ids: Sequence[CommitId]) -> Mapping[CommitId, BuiltImage]:
        return {id_: self.images[id_] for id_ in ids if id_ in self.images}


def report(what: Content, *, key: str = "", body: bytes | None = None) -> ClaimedReport:
    named = key or f"{what.commit}.{what.target}.{what.sync}.{what.verdict or what.about}"
    return ClaimedReport(
        id=ReportId(1),
        sink="route.events",
        key=named,
        mode=Mode.EVERY,
        body=msgspec.json.encode(what) if body is None else body,
        created_at=at(0),
        attempts=0,
        version=1,
        owner="me",
    )


class Room:
    def __init__(self, ledger: SqlLedger, clock: FakeClock) -> None:
        self.ledger, self.clock, self.facts = ledger, clock, Facts()

    def teller(self, instance: str = "one", **route: Any) -> Teller:
        found = Route(**({"name": "events", "kind": RouteKind.CDEVENTS} | route))
        return Teller(route=found, grouping=GROUPING, instance=instance, link=lambda sha: f"{SOURCE}/commits/{sha}")

    async def documents(self, *what: Content, **route: Any) -> list[Any]:
        return _bodies(
            await WebhookSource(self.teller(**route), self.facts, self.clock).render(list(map(report, what)))
        )

    async def events(self, *what: Content, **route: Any) -> list[Any]:
        source = CDEventSource(self.teller(**route), self.facts, self.ledger.said, self.clock, source=SOURCE)
        return _bodies(await source.render(list(map(report, what))))


def _bodies(done: Rendering) -> list[Any]:
    assert done.broken == []
    return [msgspec.json.decode(item) for ready in done.ready for item in ready.items]


@pytest.fixture
def room(ledger: SqlLedger, clock: FakeClock) -> Room:
    return Room(ledger, clock)


# -- webhooks


async def test_a_verdicts_document(room: Room) -> None:
    [document] = await room.documents(DEPLOYED)
    trace = trace_id("github.com/acme/shop", SHA).hex()
    assert str(UUID(document["id"])) == document.pop("id")
    carrier, stages = document.pop("carrier"), document.pop("stages")
    assert (carrier["sha"], carrier["is_carrier"]) == (CARRIER.sha, True)
    assert list(stages) == ["merged", "exported", "fetched", "applied", "healthy"]
    assert stages["applied"] == {
        "at": msgspec.to_builtins(at(130)),
        "precision": "exact",
        "evidence": "ready_condition",
        "not_before": None,
    }
    assert document == {
        "type": "delivery.deployed",
        "at": msgspec.to_builtins(DEPLOYED.at),
        "trace_id": trace,
        "commit": {
            "sha": SHA,
            "repository": "github.com/acme/shop",
            "branch": "main",
            "subject": "Sell more",
            "pull_request": 12,
            "is_carrier": False,
            "committed_at": msgspec.to_builtins(at(0)),
            "url": f"https://github.com/acme/shop/commit/{SHA}",
        },
        "cluster": {"name": "prod", "uid": "uid-1"},
        "target": {"kind": "Kustomization", "namespace": "flux-system", "name": "apps"},
        "environment": "production",
        "verdict": "deployed",
        "reason": "ReconciliationSucceeded",
        "message": "",
        "revision": f"main@sha1:{CARRIER.sha}",
        "links": {
            "trail": f"{SOURCE}/commits/{SHA}",
            "commit": f"https://github.com/acme/shop/commit/{SHA}",
            "build": "",
        },
    }


async def test_a_failure_says_why_and_a_commit_is_told_when_it_is_seen(room: Room) -> None:
    failed, seen = await room.documents(FAILED, SEEN)
    assert (failed["type"], failed["reason"], failed["message"]) == (
        "delivery.failed",
        "HealthCheckFailed",
        "timeout waiting for web",
    )
    assert (seen["type"], seen["verdict"], seen["target"], list(seen["stages"])) == (
        "commit.seen",
        "",
        None,
        ["merged"],
    )
    assert set(seen) == set(failed), "every field is always there"


async def test_ids_are_the_same_again_and_differ_between_things_and_ledgers(room: Room) -> None:
    first, again = await room.documents(DEPLOYED, FAILED), await room.documents(DEPLOYED, FAILED)
    other = await room.documents(DEPLOYED, FAILED, instance="two")
    assert first == again
    assert len({document["id"] for document in (*first, *other)}) == 4


@pytest.mark.parametrize(
    ("route", "kinds"),
    [
        ({}, ["commit.seen", "delivery.failed", "delivery.deployed"]),
        ({"verdicts": frozenset({Verdict.FAILED})}, ["delivery.failed"]),
        ({"environments": ("prod*",)}, ["delivery.failed", "delivery.deployed"]),
        ({"environments": ("staging",)}, []),
        ({"targets": ("HelmRelease/*",)}, []),
        ({"repositories": ("github.com/other/*",)}, []),
        ({"commits": Commits.SOURCE}, ["commit.seen", "delivery.failed", "delivery.deployed"]),
        ({"commits": Commits.MANIFESTS}, []),
    ],
)
async def test_a_route_says_what_it_is_about(room: Room, route: dict[str, Any], kinds: list[str]) -> None:
    assert [document["type"] for document in await room.documents(SEEN, FAILED, DEPLOYED, **route)] == kinds


async def test_what_is_gone_is_silent_and_what_cannot_be_read_broken(room: Room) -> None:
    source = WebhookSource(room.teller(), room.facts, room.clock)
    gone = report(content(Verdict.DEPLOYED, commit=CommitId(99)))
    done = await source.render([gone, report(SEEN, body=b"{"), report(DEPLOYED)])
    assert done.silent == [gone]
    assert [problem.partition(";")[2] for _, problem in done.broken] == [" drop it"]
    assert len(done.ready) == 1


# -- CDEvents

_CONTEXT = {"specversion", "id", "source", "type", "timestamp"}
_REQUIRED = {
    "dev.cdevents.change.merged.0.3.0": (set(), {"repository"}),
    "dev.cdevents.service.deployed.0.3.0": ({"environment", "artifactId"}, {"environment", "artifactId"}),
    "dev.cdevents.service.upgraded.0.3.0": ({"environment", "artifactId"}, {"environment", "artifactId"}),
    "dev.cdevents.service.rolledback.0.3.0": ({"environment", "artifactId"}, {"environment", "artifactId"}),
    "dev.cdevents.incident.detected.0.3.0": (
        {"environment"},
        {"environment", "description", "service", "artifactId"},
    ),
    "dev.cdevents.incident.resolved.0.3.0": (
        {"environment"},
        {"environment", "description", "service", "artifactId"},
    ),
}
"""Fields of the subject's content that CDEvents 0.5.1 requires, and those that it lets in (schemas/*.json)."""


def check(event: dict[str, Any]) -> None:
    """Assert what CDEvents 0.5.1 and its binding to CloudEvents require."""
    data = event["data"]
    context, subject = data["context"], data["subject"]
    assert event["specversion"] == "1.0"
    assert context["specversion"] == "0.5.1"
    assert event["datacontenttype"] == "application/json"
    for name in ("id", "source", "type"):
        assert event[name] == context[name]
        assert event[name]
    assert event["time"] == context["timestamp"]
    assert event["subject"] == subject["id"] != ""
    assert _CONTEXT <= set(context) <= _CONTEXT | {"chainId", "links"}
    assert set(data) <= {"context", "subject", "customData", "customDataContentType"}
    assert set(subject) == {"id", "content"}
    required, admitted = _REQUIRED[event["type"]]
    assert required <= set(subject["content"]) <= admitted
    assert datetime.fromisoformat(context["timestamp"]).tzinfo is not None
    assert str(UUID(context["chainId"])) == context["chainId"]
    for link in context.get("links", []):
        assert set(link) in ({"linkType", "linkKind", "target"}, {"linkType", "from"})
    if "environment" in subject["content"]:
        assert subject["content"]["environment"]["id"]


def short(events: Sequence[dict[str, Any]]) -> list[str]:
    for event in events:
        check(event)
    return [event["type"].removeprefix("dev.cdevents.").removesuffix(".0.3.0") for event in events]


async def test_a_commit_that_is_seen_is_a_change_that_merged(room: Room) -> None:
    [event] = await room.events(SEEN)
    assert short([event]) == ["change.merged"]
    assert event["data"]["subject"] == {"id": SHA, "content": {"repository": {"id": "github.com/acme/shop"}}}
    assert event["time"] == msgspec.to_builtins(moment(0).at)
    assert event["data"]["context"]["chainId"].replace("-", "") == trace_id("github.com/acme/shop", SHA).hex()


async def test_first_deployed_then_upgraded_then_rolled_back(room: Room) -> None:
    room.facts.firsts = {SyncId(5)}
    first = await room.events(DEPLOYED)
    room.facts.firsts = set()
    later, back = await room.events(DEPLOYED, content(Verdict.ROLLED_BACK, sync=None))
    assert short([*first, later, back]) == ["service.deployed", "service.upgraded", "service.rolledback"]
    assert first[0]["subject"] == "prod/Kustomization/flux-system/apps"
    assert first[0]["data"]["subject"]["content"] == {
        "environment": {"id": "production"},
        "artifactId": f"pkg:github/acme/shop@{SHA}",
    }
    assert first[0]["data"]["customData"]["verdict"] == "deployed"


async def test_all_of_a_commit_is_one_chain_that_begins_with_its_merge(room: Room) -> None:
    merged, detected, resolved = (await room.events(SEEN, FAILED, DEPLOYED))[:2] + (await room.events(DEPLOYED))[1:]
    ids = {event["data"]["context"]["chainId"] for event in (merged, detected, resolved)}
    assert len(ids) == 1
    [link] = detected["data"]["context"]["links"]
    assert link == {"linkType": "RELATION", "linkKind": "TRIGGER", "target": {"contextId": merged["id"]}}
    assert resolved["data"]["context"]["links"] == [{"linkType": "PATH", "from": {"contextId": detected["id"]}}]
    assert resolved["subject"] == detected["subject"]


async def test_an_incident_ends_once(room: Room) -> None:
    assert short(await room.events(DEPLOYED)) == ["service.upgraded"], "nothing had failed"
    assert short(await room.events(FAILED)) == ["incident.detected"]
    first = await room.events(DEPLOYED)
    assert short(first) == ["service.upgraded", "incident.resolved"]
    assert await room.events(DEPLOYED) == first, "the same, when it is sent again"
    later = content(Verdict.DEPLOYED, sync=None)
    assert short(await room.events(later)) == ["service.upgraded"]


async def test_the_end_of_an_incident_is_told_whatever_verdicts_are(room: Room) -> None:
    only = {"verdicts": frozenset({Verdict.FAILED})}
    assert await room.events(DEPLOYED, **only) == []
    assert short(await room.events(FAILED, DEPLOYED, **only)) == ["incident.detected", "incident.resolved"]
    assert await room.events(FAILED, verdicts=frozenset({Verdict.DEPLOYED})) == []


@pytest.mark.parametrize("verdict", [Verdict.LOST, Verdict.ABANDONED])
async def test_what_will_not_come_ends_an_incident_and_is_nothing_else(room: Room, verdict: Verdict) -> None:
    over = content(verdict, sync=None)
    room.facts.told[TellingKey(CommitId(1), TargetId(7), None)] = delivery(sync=None, verdict=verdict)
    assert await room.events(over) == []
    await room.events(FAILED)
    assert short(await room.events(over)) == ["incident.resolved"]


@pytest.mark.parametrize(
    ("told", "ready", "waiting", "silent"),
    [
        ({"verdict": Verdict.LOST}, 1, 0, 0),
        ({"verdict": Verdict.LOST, "is_unsure": True}, 0, 1, 0),
        ({"verdict": Verdict.DEPLOYED}, 0, 0, 1),
    ],
    ids=["firm", "early", "taken-back"],
)
async def test_what_seems_lost_is_told_when_that_is_firm(
    room: Room, told: dict[str, Any], ready: int, waiting: int, silent: int
) -> None:
    """A sync may have applied it a moment before its branch was rewritten."""
    room.facts.told[TellingKey(CommitId(1), TargetId(7), None)] = delivery(sync=None, **told)
    found = report(content(Verdict.LOST, sync=None))
    fresh = msgspec.structs.replace(found, created_at=room.clock.now())
    source = WebhookSource(room.teller(), room.facts, room.clock)
    done = await source.render([fresh])
    assert (len(done.ready), len(done.waiting), len(done.silent)) == (ready, waiting, silent)
    old = msgspec.structs.replace(found, created_at=room.clock.now() - HELD_FOR)
    assert len((await source.render([old])).waiting) == 0, "it is not held for ever"
    events = CDEventSource(room.teller(), room.facts, room.ledger.said, room.clock, source=SOURCE)
    assert len((await events.render([fresh])).waiting) == waiting
    known = Known(deliveries=room.facts.told, commits={})
    rendered = render_records(content(Verdict.LOST, sync=None), known, room.clock.now(), timedelta(0))
    assert isinstance(rendered, NotYet) is bool(waiting)
    assert isinstance(rendered, NotYet) or len(rendered) == ready


async def test_the_image_is_the_artifact_where_it_is_known(room: Room) -> None:
    room.facts.images = {CommitId(1): BuiltImage(repository="ghcr.io/acme/Shop", digest=DIGEST)}
    [event] = await room.events(DEPLOYED)
    artifact = event["data"]["subject"]["content"]["artifactId"]
    assert artifact == f"pkg:oci/shop@sha256%3A{'ab' * 32}?repository_url=ghcr.io/acme/shop"
    assert image_purl(room.facts.images[CommitId(1)]) == artifact


@pytest.mark.parametrize(
    ("repository", "purl"),
    [
        ("github.com/acme/shop", "pkg:github/acme/shop@"),
        ("bitbucket.org/acme/shop", "pkg:bitbucket/acme/shop@"),
        ("gitlab.com/acme/platform/shop", "pkg:generic/gitlab.com/acme/platform/shop@"),
        ("dev.azure.com/acme/my shop/shop", "pkg:generic/dev.azure.com/acme/my%20shop/shop@"),
        ("oci://ghcr.io/acme/manifests", "pkg:generic/ghcr.io/acme/manifests@"),
    ],
)
def test_a_commit_is_an_artifact_too(repository: str, purl: str) -> None:
    assert commit_purl(commit(repository=repository)) == purl + SHA
