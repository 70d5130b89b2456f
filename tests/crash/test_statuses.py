"""Kills, outages, limits and lost answers while GitHub is told how commits stand: in the end that is what is true."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from benchmarks.statuses_kill import differences_of_said, kill_while_saying, repeated_writes
from benchmarks.statuses_lags import Event, History, decisive
from benchmarks.statuses_world import wrong_statuses
from tests.reports.worlds import at

from fluxtrail.simulator.clock import precise_time
from fluxtrail.simulator.forges.record import Write

SHA = "a" * 40
ENVIRONMENTS = ({"name": "production", "clusters": ["prod-*"]}, {"name": "staging", "clusters": ["staging"]})


@pytest.mark.crash
@pytest.mark.timeout(400)
async def test_ten_kills_leave_every_status_as_it_should_be(tmp_path: Path) -> None:
    outcome = await kill_while_saying(tmp_path, kills=10, seed=1, changes=14, hold_seconds=6.0, patience_seconds=120.0)
    assert outcome.differences == []
    assert outcome.commits >= 14
    assert outcome.statuses >= 20
    assert outcome.troubles >= 10
    assert sum(count for call in outcome.requests.values() for status, count in call.items() if status >= "400") >= 5


def commit(verdicts: dict[str, str], **given: Any) -> dict[str, Any]:
    deliveries = [
        {"cluster": cluster, "target": "Kustomization/flux-system/apps", "verdict": verdict}
        for cluster, verdict in verdicts.items()
    ]
    return {"repository": "acme/shop", "sha": SHA, "is_carrier": False, "deliveries": deliveries} | given


def status(system: str, context: str, state: str) -> dict[str, Any]:
    return {"system": system, "repository": "acme/shop", "sha": SHA, "context": context, "state": state} | {
        "description": ""
    }


def test_what_stands_wrongly_is_said() -> None:
    truth = [commit({"prod-eu": "deployed", "staging": "failed"})]
    right = [
        status("github", "fluxtrail/production", "success"),
        status("github", "fluxtrail/staging", "failure"),
        status("github_deployments", "staging", "failure"),
    ]

    def wrong(*statuses: dict[str, Any]) -> list[str]:
        told = ("acme/shop",)
        return wrong_statuses(truth, statuses, environments=ENVIRONMENTS, told=told, deployed_to=("staging",))

    assert wrong(*right) == []
    assert len(wrong(right[0], status("github", "fluxtrail/staging", "success"), right[2])) == 1
    assert len(wrong(*right[:2])) == 1
    assert len(wrong(*right, status("github_deployments", "production", "success"))) == 1


def test_what_is_told_again_is_found() -> None:
    def write(number: int, state: str, system: str = "github") -> dict[str, Any]:
        more = {"url": "", "environment": "", "id": str(number), "at": precise_time(at(number))}
        return status(system, "fluxtrail/staging", state) | more

    writes = [write(1, "pending"), write(2, "success"), write(3, "success"), write(4, "pending"), write(5, "success")]
    assert [(first, again) for first, again, _ in repeated_writes(writes)] == [(at(2), at(3))]


def test_what_the_ledger_remembers_wrongly_is_said(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.executescript(
            f"""
            CREATE TABLE commits (id INTEGER, sha TEXT);
            CREATE TABLE said (sink TEXT, key TEXT, parent TEXT, state TEXT, content TEXT);
            CREATE TABLE reports (sink TEXT, key TEXT, state TEXT, answer TEXT);
            INSERT INTO commits VALUES (7, '{SHA}');
            INSERT INTO said VALUES ('route.checks', '7/staging', '7', 'neutral', 'x');
            INSERT INTO said VALUES ('route.checks', '7/production', '7', 'success', '');
            INSERT INTO reports VALUES ('route.hook', '1', 'dead', 'no');
            """
        )
    found = differences_of_said(ledger, [status("github", "fluxtrail/staging", "success")])
    assert [line.partition(" ")[0] for line in found] == ["route.hook", SHA[:9]]
    assert "fluxtrail/production is nothing" in found[1]


def test_a_lag_is_that_of_the_last_arrival_or_of_the_first_failure() -> None:
    events = [
        Event(at(number), at(number), kind, after)
        for number, kind, after in (
            (0, "commit_seen", SHA),
            (10, "verdict", "deployed"),
            (20, "verdict", "failed"),
            (30, "verdict", "failed"),
            (40, "verdict", "deployed"),
        )
    ]

    def write(state: str, second: float) -> Write:
        return Write(number=1, at=at(second), system="github", call="status", state=state)

    assert decisive(write("pending", 5), events, None) == events[0]
    assert decisive(write("failure", 35), events, None) == events[2]
    assert decisive(write("success", 45), events, at(35)) == events[4]
    assert decisive(write("success", 15), events, None) == events[1]
    assert decisive(write("success", 45), [], None) is None


def test_a_history_that_is_not_there_yet_is_none(tmp_path: Path) -> None:
    history = History(tmp_path / "ledger.sqlite")
    history.look(at(0) + timedelta(seconds=1))
    history.close()
