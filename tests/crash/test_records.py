"""Kills, lost jobs, an outage and hostile pods while GitHub is told what runs: in the end it holds what is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.records import follow_hostile_pods
from benchmarks.records_kill import kill_beside_lost_jobs, kill_while_telling
from benchmarks.records_outage import excess_over_pace, most_within, ride_out
from benchmarks.records_rule import differences
from benchmarks.records_world import WorldPlan
from tests.ledger.postgres import PostgresServer, running_server

TIME_SCALE = 40.0
LOST_JOB_TIME_SCALE = 12.0
"""What is played and killed while a job is lost takes its time on a busy machine, of which the world's clock knows."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_server() as server:
        yield server


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_ten_kills_lose_no_record(tmp_path: Path) -> None:
    plan = WorldPlan(seed=1, changes=6, rounds=10, time_scale=TIME_SCALE)
    outcome = await kill_while_telling(tmp_path, plan, kills=10)
    assert outcome.differences == []
    assert outcome.kills_with_jobs >= 1
    assert outcome.kills_with_calls == 2
    assert outcome.names >= 60
    assert sum(outcome.requests.get(call, {}).get("200", 0) for call in ("single", "cluster")) >= 5
    assert outcome.troubles >= 5


@pytest.mark.crash
@pytest.mark.timeout(400)
@pytest.mark.requires("postgres")
async def test_kills_lose_no_single_record_of_a_ledger_in_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    plan = WorldPlan(seed=2, changes=6, rounds=5, time_scale=TIME_SCALE)
    outcome = await kill_while_telling(tmp_path, plan, kills=5, bulk=False, ledger=postgres.create())
    assert outcome.differences == []
    assert outcome.names >= 60
    assert outcome.requests.keys() == {"single"}


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_job_that_a_killed_process_lost_does_not_have_the_last_word(tmp_path: Path) -> None:
    """The job is carried out after newer things were told, and after who knew of it was killed."""
    plan = WorldPlan(seed=1, changes=6, rounds=1, time_scale=LOST_JOB_TIME_SCALE)
    outcome = await kill_beside_lost_jobs(tmp_path, plan)
    assert outcome.differences == []
    assert outcome.kills_with_jobs == 1
    assert outcome.requests["job"]["409"] >= 1


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_outage_loses_nothing_and_keeps_pace_and_budget(tmp_path: Path) -> None:
    plan = WorldPlan(seed=1, changes=6, rounds=6, time_scale=30.0)
    outcome = await ride_out(tmp_path, plan, outage_seconds=450.0, requests_per_hour=500, patience_seconds=90.0)
    assert outcome.differences == []
    assert outcome.requests_in_outage >= 3
    assert outcome.changed > 30
    assert 0 < outcome.most_waiting <= outcome.names


@pytest.mark.crash
@pytest.mark.timeout(120)
async def test_pods_patched_at_full_speed_are_told_as_they_end(tmp_path: Path) -> None:
    outcome = await follow_hostile_pods(tmp_path, pods=200, seconds=5.0)
    assert outcome.differences == []
    assert outcome.running > 50
    assert outcome.writes > 500


def test_what_is_held_wrongly_is_said() -> None:
    held = [
        {"deployment_name": name, "digest": digest, "status": "deployed"} for name, digest in [("a", "1"), ("b", "1")]
    ]
    expected, names = {"a": "1"}, {"a", "b"}
    assert differences(expected, names, held, ever={"b": {"1"}}) == []
    assert differences(expected, names, held, ever={"b": {"2"}}) == ["b is 1, which never ran there"]
    assert differences({"a": "2"}, names, held, ever={"b": {"1"}}) == ["a is ('1', 'deployed'), true is 2"]
    assert differences({}, {"a"}, held, ever={"a": {"1"}}) == ["b is there, and never was"]
    assert differences(expected | {"c": "3"}, names | {"c"}, held, ever={"b": {"1"}}) == ["c is None, true is 3"]


def test_pace_is_judged_by_burst_and_rate() -> None:
    assert excess_over_pace([0.0] * 20) == 0
    assert excess_over_pace([0.0] * 25) == 5
    assert excess_over_pace([0.0] * 20 + [1.0] * 4) == 1
    assert excess_over_pace([float(second) for second in range(100)]) == 0


def test_requests_of_an_hour_are_those_of_any_hour() -> None:
    assert most_within([], 10.0) == 0
    assert most_within([0.0, 5.0, 9.0, 10.0, 14.0, 30.0], 10.0) == 4
