from __future__ import annotations

import pytest
from tests.web.conftest import Ask
from tests.web.worlds import World

from fluxtrail.web.status import Check


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
async def test_the_process_lives_whatever_is_missing(ask: Ask, world: World, path: str) -> None:
    world.checks_now = [Check(name="ledger", is_ok=False, reason="read-only file system")]
    answer = await ask("health", path)
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_ready_when_every_check_is_well(ask: Ask) -> None:
    answer = await ask("health", "/readyz")
    assert answer.status == 200
    assert answer.body == b"[+]ledger ok\n[+]cluster/prod-eu/Kustomization ok\nready\n"


async def test_not_ready_names_what_is_missing_first(ask: Ask, world: World) -> None:
    world.checks_now.append(
        Check(name="cluster/prod-us/Kustomization", is_ok=False, reason="its first list is not complete")
    )
    answer = await ask("health", "/readyz")
    assert answer.status == 503
    assert answer.body.decode().splitlines() == [
        "[-]cluster/prod-us/Kustomization not ready: its first list is not complete",
        "[+]ledger ok",
        "[+]cluster/prod-eu/Kustomization ok",
        "not ready",
    ]


async def test_readiness_as_json_where_asked_for(ask: Ask, world: World) -> None:
    world.checks_now = [Check(name="ledger", is_ok=False, reason="disk full")]
    answer = await ask("health", "/readyz", headers={"Accept": "application/json"})
    assert answer.status == 503
    assert answer.json == {"is_ready": False, "checks": [{"name": "ledger", "is_ok": False, "reason": "disk full"}]}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/readyz", 405), ("HEAD", "/readyz", 200)]
)
async def test_other_paths_and_methods(ask: Ask, method: str, path: str, status: int) -> None:
    assert (await ask("health", path, method)).status == status
