"""What people annotate pods and their owners with, as it comes into records."""

from __future__ import annotations

import pytest
from tests.trail.records.follower import Follower
from tests.trail.workloads.cluster import (
    CRON_JOB,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    ROLLOUT,
    STATEFUL_SET,
    Cluster,
    Json,
    Kind,
)

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import MAX_TAG_LENGTH, read_notes

Notes = dict[str, str]
RISKS = "runtime-risks"
SERVICE_ACCOUNT: Kind = ("", "ServiceAccount")


@pytest.mark.parametrize(
    ("notes", "risks", "tags"),
    [
        pytest.param({RISKS: "critical-resource"}, ["critical-resource"], {}, id="one risk"),
        pytest.param({RISKS: "critical-resource "}, ["critical-resource"], {}, id="with a space"),
        pytest.param({RISKS: ""}, [], {}, id="empty"),
        pytest.param({RISKS: "unknown-risk"}, [], {}, id="unknown"),
        pytest.param(
            {RISKS: "Critical-Resource, internet-exposed, sensitive-data"},
            ["critical-resource", "internet-exposed", "sensitive-data"],
            {},
            id="three risks",
        ),
        pytest.param({RISKS: "critical-resource,not-a-risk"}, ["critical-resource"], {}, id="one of two"),
        pytest.param(
            {RISKS: "internet-exposed", "team": "platform", "env": "prod"},
            ["internet-exposed"],
            {"team": "platform", "env": "prod"},
            id="risks are no tag",
        ),
        pytest.param(
            {f"tag{number}": "x" for number in range(1, 7)},
            [],
            {f"tag{number}": "x" for number in range(1, 6)},
            id="the first five",
        ),
        pytest.param({"a" * (MAX_TAG_LENGTH + 1): "x", "good": "y"}, [], {"good": "y"}, id="key of 101"),
        pytest.param({"long": "x" * (MAX_TAG_LENGTH + 1), "good": "y"}, [], {"good": "y"}, id="value of 101"),
        pytest.param({"": "x"}, [], {}, id="nothing behind the prefix"),
        pytest.param({"k" * MAX_TAG_LENGTH: "ä" * MAX_TAG_LENGTH}, [], {"k" * 100: "ä" * 100}, id="100 of each"),
    ],
)
async def test_an_object_states_risks_and_tags(
    cluster: Cluster, follower: Follower, notes: Notes, risks: list[str], tags: Notes
) -> None:
    assert read_notes([sorted(notes.items())]) == (tuple(risks), tuple(sorted(tags.items())))
    pod = cluster.pod("web", notes=notes)
    pod["metadata"]["annotations"]["app.kubernetes.io/name"] = "web"
    cluster.put(pod)
    assert await _told(follower) == (risks, tags)


async def _told(follower: Follower) -> tuple[list[str], Notes]:
    """Return the risks and tags of the only record."""
    await follower.settle()
    (record,) = (await follower.records()).values()
    return list(record.content.runtime_risks), dict(record.content.tags)


async def test_risks_are_united_and_tags_gathered_over_the_chain(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web", notes={RISKS: "sensitive-data", "env": "prod"})
    made = cluster.make(REPLICA_SET, "web-1", owner=web, notes={RISKS: "internet-exposed"})
    cluster.pod("web-1-x", owner=made, notes={"team": "platform"})
    assert await _told(follower) == (["internet-exposed", "sensitive-data"], {"team": "platform", "env": "prod"})


async def test_a_risk_stated_twice_is_told_once(cluster: Cluster, follower: Follower) -> None:
    made = cluster.make(REPLICA_SET, "web-1", notes={RISKS: "sensitive-data,internet-exposed"})
    cluster.pod("web-1-x", owner=made, notes={RISKS: "sensitive-data"})
    assert await _told(follower) == (["internet-exposed", "sensitive-data"], {})


async def test_the_nearest_tag_wins(cluster: Cluster, follower: Follower) -> None:
    made = cluster.make(REPLICA_SET, "web-1", notes={"team": "from-rs"})
    cluster.pod("web-1-x", owner=made, notes={"team": "from-pod"})
    assert await _told(follower) == ([], {"team": "from-pod"})


async def test_an_owner_that_is_not_there_states_nothing(cluster: Cluster, follower: Follower) -> None:
    made = cluster.make(REPLICA_SET, "web-1", notes={"org": "acme"})
    cluster.pod("web-1-x", owner=made, notes={"team": "platform"})
    cluster.delete(made)
    await follower.settle()
    cluster.clock.turn(6)
    assert await _told(follower) == ([], {"team": "platform"})


async def test_two_owners_are_both_read(cluster: Cluster, follower: Follower) -> None:
    first = cluster.make(REPLICA_SET, "web-1", notes={"org": "acme"})
    second = cluster.make(REPLICA_SET, "web-2", notes={"env": "prod"})
    cluster.pod("web-1-x", owner=[first, second], notes={"team": "platform"})
    assert await _told(follower) == ([], {"team": "platform", "org": "acme", "env": "prod"})


async def test_an_owner_that_runs_nothing_is_read_too(cluster: Cluster, follower: Follower) -> None:
    """deployment-tracker leaves out owners of other kinds; here whatever owns is read."""
    account = cluster.make(SERVICE_ACCOUNT, "robot", notes={"env": "prod"})
    cluster.pod("web", owner=account, notes={"team": "platform"})
    assert await _told(follower) == ([], {"team": "platform", "env": "prod"})


async def test_owners_that_own_each_other_are_read_once(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web", notes={"env": "prod"})
    made = cluster.make(REPLICA_SET, "web-1", owner=web, notes={"org": "acme"})
    web["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": made["metadata"]["uid"]}
    ]
    cluster.put(web)
    cluster.pod("web-1-x", owner=made, notes={"team": "platform"})
    assert await _told(follower) == ([], {"team": "platform", "org": "acme", "env": "prod"})


@pytest.mark.parametrize(
    "chain",
    [[CRON_JOB, JOB], [DAEMON_SET], [STATEFUL_SET], [ROLLOUT, REPLICA_SET], [DEPLOYMENT, REPLICA_SET]],
    ids=lambda chain: chain[0][1],
)
async def test_every_chain_is_read_to_its_end(cluster: Cluster, follower: Follower, chain: list[Kind]) -> None:
    owners: list[Json] = []
    for number, kind in enumerate(chain):
        owners.append(cluster.make(kind, "web", owner=owners[-1:], notes={f"level{number}": kind[1]}))
    cluster.pod("web-x", owner=owners[-1])
    assert await _told(follower) == ([], {f"level{number}": kind[1] for number, kind in enumerate(chain)})


async def test_owners_that_may_not_be_read_leave_the_pods_own_notes(cluster: Cluster, ledger: SqlLedger) -> None:
    made = cluster.make(REPLICA_SET, "web-1", notes={"org": "acme"})
    cluster.pod("web-1-x", owner=made, notes={"team": "platform"})
    cluster.forbid(REPLICA_SET)
    follower = Follower(cluster, ledger)
    await follower.begin()
    assert await _told(follower) == ([], {"team": "platform"})


@pytest.mark.parametrize("edited", [POD, REPLICA_SET, DEPLOYMENT], ids=lambda kind: kind[1])
async def test_weakness_11_notes_edited_anywhere_in_the_chain_are_told_again(
    cluster: Cluster, follower: Follower, edited: Kind
) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    made = cluster.roll_out(web, 1, revision=1)
    docs = {POD: cluster.pods_of(made)[0], REPLICA_SET: made, DEPLOYMENT: web}
    assert await _told(follower) == ([], {})
    cluster.annotate(docs[edited], {"team": "shop", RISKS: "internet-exposed"})
    assert await _told(follower) == (["internet-exposed"], {"team": "shop"})
    cluster.annotate(docs[edited], {})
    assert await _told(follower) == ([], {})
    assert follower.planned == [("prod/web/app", 1)] * 3


async def test_notes_of_others_make_no_report(cluster: Cluster, follower: Follower) -> None:
    web = cluster.make(DEPLOYMENT, "web")
    cluster.roll_out(web, 1, revision=1)
    await follower.settle()
    web["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    cluster.put(web)
    await follower.settle()
    assert len(follower.planned) == 1
