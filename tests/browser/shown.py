"""A small real ledger for a browser to look at: a shop on two clusters, and what an attacker wrote into it."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace
from tests.ledger.deployments import digest
from tests.ledger.running import image, run, workload
from tests.ledger.world import World, at, moment, sha
from tests.model.ci import run as ci_run

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.unit import SqlUnit
from fluxtrail.model.ci import Approval, CiStage, CiState, PullRequest, Standing, find_built
from fluxtrail.model.image_records import ImageState
from fluxtrail.model.moment import Evidence
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import (
    UNSAVED,
    CommitId,
    CommitRecord,
    ExportRecord,
    RepositoryId,
    Transition,
    TransitionKind,
)
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.model.rollout import RolloutState
from fluxtrail.model.verdict import Verdict

CLUSTERS = ("prod-eu", "staging")
GOOD, FAILED, EXPORTED, HOSTILE, WAITING, EXPORT, LATE = range(1, 8)
SUBJECTS = {
    GOOD: "Raise the checkout timeout",
    FAILED: "Rename the cart's port",
    EXPORTED: "Show prices with tax",
    HOSTILE: "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">",
    WAITING: "Sort the basket by name",
    EXPORT: "Export of the shop's manifests",
    LATE: "Cache the catalogue",
}
PROBLEM = "kustomize build failed: accumulating resources: no such file"
SCRIPT_LINK = "javascript:document.title='owned'"
SHOP = "github.com/acme/shop"
DEAD_SINK = "route.chat"


async def commit(unit: SqlUnit, repository: RepositoryId, number: int, **given: object) -> CommitRecord:
    """Put one commit on the branch main, merged so many minutes after noon as its number says."""
    record = CommitRecord(
        id=CommitId(UNSAVED),
        repository_id=repository,
        sha=sha(number),
        subject=SUBJECTS[number],
        author="Ada" if number % 2 else "Grace",
        committed_at=at(number * 60),
        merged=moment(number * 60, Evidence.BRANCH_MOVED),
    )
    [made] = await unit.put_commits([replace(record, **given)])
    await unit.extend_chain(repository, "main", [made.id])
    await unit.add_transitions([Transition(at=at(number * 60), kind=TransitionKind.COMMIT_SEEN, commit_id=made.id)])
    return made


async def fill(unit: SqlUnit) -> RepositoryId:
    """Write everything but the commit that comes while somebody looks; returns the shop's repository."""
    world = World(unit)
    shop, manifests = await world.repository(), await world.repository("manifests")
    for name in CLUSTERS:
        await unit.put_cluster(ClusterUid(name), name, at(3590))
    commits = [await commit(unit, shop.id, number) for number in range(GOOD, EXPORT)]
    good, failed, exported, hostile, waiting = commits
    carrier = await commit(unit, manifests.id, EXPORT, is_carrier=True)
    await unit.put_exports(
        [ExportRecord(carrier_id=carrier.id, source_id=exported.id, stated_at=at(180), build_link=SCRIPT_LINK)]
    )
    for name in CLUSTERS:
        await world.source(shop, cluster=name)
        target = await world.target(
            shop,
            "shop",
            cluster=name,
            applied=f"main@sha1:{sha(GOOD)}",
            attempted=f"main@sha1:{sha(FAILED)}",
            phase=Outcome.FAILED,
            reason="BuildFailed",
            message=PROBLEM,
            phase_since=at(150),
        )
        done = await world.sync(
            target,
            GOOD,
            started=moment(70),
            fetched=moment(75),
            applied=moment(90),
            healthy=moment(120),
            succeeded=moment(120),
        )
        await world.delivery(good, target, applied_sync=done.id, healthy_sync=done.id, since=at(120))
        await world.sync(
            target,
            FAILED,
            outcome=Outcome.FAILED,
            reason="BuildFailed",
            message=PROBLEM,
            failed=moment(150),
        )
        await world.delivery(failed, target, Verdict.FAILED, reason="BuildFailed", since=at(150))
        await world.delivery(exported, target, Verdict.PENDING, carrier_id=carrier.id)
        await world.delivery(hostile, target, Verdict.PENDING)
        await world.delivery(waiting, target, Verdict.PENDING)
        app = workload(target, images={"app": "ghcr.io/acme/shop:v1"}, digests={"app": digest(1)})
        await unit.put_workloads([app, replace(workload(target, "cart"), state=RolloutState.ROLLED_OUT)])
        await unit.put_image_runs([run(1, cluster=name)])
    await unit.put_images([image(1, state=ImageState.KNOWN, source=SHOP, revision=sha(GOOD), created_at=at(50))])
    await _build(unit, good)
    await unit.add_reports(
        [NewReport(sink=DEAD_SINK, key=f"letter {n}", mode=Mode.EVERY, body=b"{}") for n in range(2)]
    )
    return shop.id


async def _build(unit: SqlUnit, good: CommitRecord) -> None:
    stages = (
        CiStage(name="test", state=CiState.SUCCEEDED, started_at=at(10), finished_at=at(30), url="https://ci.test/1"),
        CiStage(name="image", state=CiState.SUCCEEDED, started_at=at(30), finished_at=at(55), url=SCRIPT_LINK),
    )
    build = ci_run(sha=sha(GOOD), queued_at=at(5), finished_at=at(58), updated_at=at(58), stages=stages)
    await unit.put_ci_runs([build])
    await unit.put_builds({good.id: Standing(find_built([build]), CiState.SUCCEEDED)})
    pull_request = PullRequest(
        repository=SHOP,
        number=12,
        title=SUBJECTS[GOOD],
        author="ada",
        state="merged",
        url=SCRIPT_LINK,
        merged_by="grace",
        merged_at=at(60),
        approvals=(Approval(by="grace", state="approved", at=at(9)),),
    )
    await unit.put_pull_requests([pull_request])
    await unit.put_commits([replace(good, pull_request=12)])


async def bury(ledger: SqlLedger) -> None:
    """Make dead letters of all reports."""
    claimed = await ledger.outbox.claim([DEAD_SINK], owner="a", limit=10, lease=timedelta(seconds=30))
    await ledger.outbox.bury(claimed, answer="404: no such channel")
