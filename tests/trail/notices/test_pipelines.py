"""CDEvents of CI: which of them are runs, and whose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.ledger.world import NOON, StillClock, at, fresh_place, sha
from tests.ledger.world import World as Records

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.ci import CiEvidence, CiRole, CiRun, CiState, CiSystem
from fluxtrail.model.notice_events import read_cdevent
from fluxtrail.model.notices import EventNotice, Hook, KeptNotice, NoticeId
from fluxtrail.trail.ci.roles import CiRule
from fluxtrail.trail.notices.pipelines import RunTaker, read_package, read_run
from fluxtrail.trail.registry import Registry

SHOP = "github.com/acme/shop"
STARTED = EventNotice(
    type="dev.cdevents.pipelinerun.started.0.3.0", id="1", subject="run-7", at=at(10), sha=sha(1), pipeline="build",
    repository="https://github.com/Acme/shop.git", url="https://tekton.example.com/run-7",
)  # fmt: skip
FINISHED = replace(STARTED, type="dev.cdevents.pipelinerun.finished.0.3.0", id="2", at=at(90), outcome="success")
PURL = "pkg:oci/shop@sha256%3A" + "9f" * 32 + "?repository_url=ghcr.io%2Facme%2Fshop&tag=1.2.3"


@pytest.mark.parametrize(
    ("kind", "outcome", "artifact", "state"),
    [
        ("pipelinerun.queued", "", "", CiState.QUEUED),
        ("pipelinerun.started", "", "", CiState.RUNNING),
        ("pipelinerun.finished", "success", "", CiState.SUCCEEDED),
        ("pipelinerun.finished", "failure", "", CiState.FAILED),
        ("pipelinerun.finished", "error", "", CiState.FAILED),
        ("pipelinerun.finished", "cancel", "", CiState.CANCELLED),
        ("pipelinerun.finished", "", "", CiState.UNKNOWN),
        ("pipelinerun.finished", "great", "", CiState.UNKNOWN),
        ("build.started", "", "", CiState.RUNNING),
        ("build.finished", "", PURL, CiState.SUCCEEDED),
        ("build.finished", "", "", CiState.UNKNOWN),
        ("build.finished", "failure", PURL, CiState.FAILED),
        ("artifact.packaged", "", PURL, CiState.SUCCEEDED),
        ("artifact.published", "", PURL, None),
        ("taskrun.finished", "success", "", None),
        ("change.merged", "", "", None),
    ],
)
def test_an_event_says_how_its_run_stands(kind: str, outcome: str, artifact: str, state: CiState | None) -> None:
    said = replace(STARTED, type=f"dev.cdevents.{kind}.0.3.0", outcome=outcome, artifact=artifact)
    run = read_run(said, sender="tekton")
    assert (run.state if run else None) is state


@pytest.mark.parametrize(
    "lacking", [{"sha": ""}, {"sha": "abc1234"}, {"repository": ""}, {"at": None}, {"subject": ""}, {"type": "x"}]
)
def test_an_event_that_does_not_say_enough_is_no_run(lacking: dict[str, Any]) -> None:
    assert read_run(replace(STARTED, **lacking), sender="tekton") is None


@pytest.mark.parametrize(
    ("package", "found"),
    [
        (PURL, ("ghcr.io/acme/shop:1.2.3", "sha256:" + "9f" * 32)),
        ("pkg:oci/shop@1.2", ("shop", "")),
        ("pkg:maven/a/b@1", ("", "")),
        ("", ("", "")),
    ],
)
def test_an_image_is_read_from_its_package_url(package: str, found: tuple[str, str]) -> None:
    assert read_package(package) == found


def test_an_event_is_read_from_the_wire() -> None:
    body = b"""{"context": {"id": "1", "type": "dev.cdevents.pipelinerun.finished.0.3.0", "source": "/tekton",
        "timestamp": "2026-03-01T12:01:30Z"}, "subject": {"id": "run-7", "content": {"pipelineName": "build",
        "outcome": "Success", "uri": "https://u:p@ci.example.com/7?token=x"}},
        "customData": {"repository": "https://github.com/acme/shop", "sha": "%s"}}""" % sha(1).encode()
    said = read_cdevent(body, {})
    assert (said.pipeline, said.outcome, said.url) == ("build", "success", "https://ci.example.com/7")
    run = read_run(said, sender="tekton")
    assert run is not None
    assert (run.repository, run.sha, run.state, run.finished_at) == (SHOP, sha(1), CiState.SUCCEEDED, at(90))
    script = read_cdevent(body.replace(b"https://u:p@ci.example.com/7?token=x", b"javascript:alert(1)"), {})
    assert script.url == ""


class Desk:
    def __init__(self, ledger: SqlLedger, registry: Registry) -> None:
        self.ledger, self.registry = ledger, registry

    async def take(
        self, *said: EventNotice, sender: str = "tekton", speaks_of: str = "", rules: Any = (), **names: str
    ) -> None:
        taker = RunTaker(self.registry, self.ledger, speakers={"tekton": speaks_of}, rules=rules, names=names)
        received = NOON + timedelta(minutes=2)
        await taker.handle(
            [
                KeptNotice(id=NoticeId(n), hook=Hook.CDEVENTS, received_at=received, said=one, sender=sender)
                for n, one in enumerate(said)
            ]
        )

    async def runs(self) -> list[CiRun]:
        async with self.ledger.unit() as unit:
            return (await unit.ci_runs_of(SHOP, [sha(1)])).get(sha(1), [])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    ledger = await SqlLedger.open(await fresh_place(tmp_path / "ledger.sqlite"), clock=StillClock())
    registry = Registry()
    async with ledger.unit() as unit:
        world = Records(unit)
        shop = await world.repository()
        await world.commits(shop, range(1, 2))
    registry.put_repositories([shop])
    yield Desk(ledger, registry)
    await ledger.close()


async def test_a_signed_event_is_evidence_whatever_order_it_comes_in(desk: Desk) -> None:
    await desk.take(FINISHED, STARTED)
    await desk.take(STARTED)
    (run,) = await desk.runs()
    assert (run.system, run.host, run.evidence) == (CiSystem.CDEVENTS, "tekton", CiEvidence.EVENT)
    assert (run.state, run.finished_at) == (CiState.SUCCEEDED, at(90))
    async with desk.ledger.unit() as unit:
        (commit,) = await unit.built_commits(SHOP, [sha(1)])
    assert commit.build_state is CiState.SUCCEEDED


async def test_what_nobody_signed_is_none(desk: Desk) -> None:
    await desk.take(FINISHED, sender="")
    assert await desk.runs() == []


async def test_a_sender_of_one_repository_speaks_of_no_other(desk: Desk) -> None:
    await desk.take(FINISHED, speaks_of="github.com/acme/other")
    assert await desk.runs() == []
    await desk.take(FINISHED, speaks_of=SHOP)
    assert len(await desk.runs()) == 1


UPSTREAM = "github.com/upstream/shop"


@pytest.mark.parametrize("speaks_of", ["", UPSTREAM, SHOP])
async def test_a_repository_that_is_fetched_elsewhere_may_be_named_as_its_forge_does(
    desk: Desk, speaks_of: str
) -> None:
    told = replace(FINISHED, repository="https://github.com/Upstream/shop.git")
    await desk.take(told, speaks_of=speaks_of)
    assert await desk.runs() == []
    await desk.take(told, speaks_of=speaks_of, **{UPSTREAM: SHOP})
    [run] = await desk.runs()
    assert (run.repository, run.sha) == (SHOP, sha(1))


async def test_what_is_not_followed_or_from_the_future_is_left(desk: Desk) -> None:
    await desk.take(replace(FINISHED, repository="https://github.com/acme/other"), replace(FINISHED, at=at(3600)))
    assert await desk.runs() == []


async def test_the_rules_say_what_a_pipeline_is_for(desk: Desk) -> None:
    rules = [CiRule(exports=("deploy*",), ignore=("lint",))]
    packaged = replace(FINISHED, subject="10", pipeline="", type="dev.cdevents.artifact.packaged.0.3.0", artifact=PURL)
    deployed, linted = replace(FINISHED, subject="8", pipeline="deploy-prod"), replace(FINISHED, pipeline="lint")
    await desk.take(FINISHED, deployed, replace(linted, subject="9"), packaged, rules=rules)
    assert {run.run_id: run.role for run in await desk.runs()} == {
        "run-7": CiRole.BUILD,
        "8": CiRole.EXPORT,
        "10": CiRole.BUILD,
    }
    assert [run.image for run in await desk.runs() if run.run_id == "10"] == ["ghcr.io/acme/shop:1.2.3"]
