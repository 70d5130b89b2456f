"""Whatever happens, in whatever order it is heard: in the end the records are those of the cluster as it is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from tests.trail.records.follower import Follower
from tests.trail.records.histories import History, Step, histories, is_wanted

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.deployment import Content, DeploymentStatus, Place

_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
COLLIDING = "{{namespace}}"

pytestmark = pytest.mark.timeout(120)


async def _deployed(follower: Follower) -> dict[str, tuple[Place, Content]]:
    found = (await follower.records()).values()
    return {
        record.deployment_name: (record.place, record.content)
        for record in found
        if record.content.status is DeploymentStatus.DEPLOYED
    }


async def _check(history: History) -> None:
    """Who speaks now is recorded; what nobody speaks for is kept for as long as it is meant to be."""
    await history.end()
    found, fresh = await _deployed(history.follower), await _deployed(await history.afresh())
    assert {name: found.get(name) for name in fresh} == fresh
    records = (await history.follower.records()).values()
    silent = {record.deployment_name: record.place for record in records if record.deployment_name not in fresh}
    wanted = {name for name, place in silent.items() if is_wanted(history.cluster, place)}
    assert found.keys() - fresh.keys() == wanted


@settings(max_examples=40, suppress_health_check=_FIXTURES)
@given(steps=histories())
async def test_streams_in_any_interleaving_end_in_the_same_records(ledger: SqlLedger, steps: list[Step]) -> None:
    history = History(ledger)
    await history.play(steps)
    await _check(history)


@settings(max_examples=40, suppress_health_check=_FIXTURES)
@given(steps=histories("restart", "restart"))
async def test_a_restart_at_any_point_changes_nothing_in_the_end(ledger: SqlLedger, steps: list[Step]) -> None:
    history = History(ledger)
    await history.play(steps)
    await _check(history)


@settings(max_examples=20, suppress_health_check=_FIXTURES)
@given(steps=histories(most=20))
async def test_workloads_that_share_a_name_agree_on_who_speaks(ledger: SqlLedger, steps: list[Step]) -> None:
    history = History(ledger, template=COLLIDING)
    await history.play(steps)
    await history.end()
    fresh = await _deployed(await history.afresh())
    assert await _deployed(await history.afresh(is_reversed=True)) == fresh
    assert not fresh or await _deployed(history.follower) == fresh


@settings(max_examples=15, suppress_health_check=_FIXTURES)
@given(steps=histories(most=20))
async def test_the_end_of_everything_ends_every_record(ledger: SqlLedger, steps: list[Step]) -> None:
    history = History(ledger)
    await history.play(steps)
    history.cluster.delete(*list(history.cluster.objects.values()))
    await history.end()
    assert await _deployed(history.follower) == {}
