"""Each identity against its issuer: the first token, the next in time, and all that can be wrong with an issuer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.credentials.conftest import Skew
from tests.credentials.identities import CASES, Case, World, obtain, until

from fluxtrail.credentials.providers import exchange
from fluxtrail.credentials.providers.place import Provider
from fluxtrail.model.errors import AuthError, FluxtrailError, RateLimitedError, UpstreamError
from fluxtrail.simulator.issuers.desk import Fault

ALL = pytest.mark.parametrize("case", CASES, ids=str)
ISSUED = pytest.mark.parametrize("case", [case for case in CASES if case.asked], ids=str)

ONE_EACH = ("github", "azure workload", "google key", "aws", "gitlab")


@ALL
async def test_the_first_is_good_and_kept(case: Case, world: World) -> None:
    provider = case.make(world)
    first = await obtain(provider, case)
    assert case.is_good(world, first)
    assert first.username.startswith(case.username)
    assert dict(world.issuers.desk.asked) == case.systems
    world.now += case.life_seconds * 0.8 - 1
    assert await obtain(provider, case) == first
    assert case.is_good(world, first)
    assert dict(world.issuers.desk.asked) == case.systems


@ALL
async def test_the_next_comes_before_the_end(case: Case, world: World) -> None:
    provider = case.make(world)
    first = await obtain(provider, case)
    world.now += case.life_seconds * 0.8
    if case.name != "gitlab":  # a refresh there ends the token before
        assert case.is_good(world, first)
    second = await obtain(provider, case)
    assert case.is_good(world, second)
    assert second.secret != first.secret
    if case.asked:
        assert world.issuers.desk.asked[case.asked] > case.systems[case.asked]


@ALL
async def test_a_thousand_askers_cause_one_request(case: Case, world: World) -> None:
    provider = case.make(world)
    gate = asyncio.Event()
    for system in case.systems:
        world.issuers.fail(system, Fault(gate=gate))
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(obtain(provider, case)) for _ in range(1_000)]
        await world.issuers.desk.arrived.wait()
        await until(lambda: sum(world.cache.counts.misses.values()) >= 1_000)
        gate.set()
    assert len({task.result().secret for task in asking}) == 1
    assert dict(world.issuers.desk.asked) == case.systems


@ALL
async def test_a_rejected_one_is_replaced(case: Case, world: World) -> None:
    provider = case.make(world)
    first = await obtain(provider, case)
    provider.reject("another's")
    assert await obtain(provider, case) == first
    world.now += 1
    provider.reject(first.secret)
    second = await obtain(provider, case)
    assert case.is_good(world, second)
    assert second.secret != first.secret


@ALL
@pytest.mark.parametrize("minutes", [-90, 90])
async def test_a_clock_that_differs_changes_nothing(case: Case, world: World, skew: Skew, minutes: int) -> None:
    skew.seconds = minutes * 60.0
    provider = case.make(world)
    first = await obtain(provider, case)
    assert case.is_good(world, first)
    world.now += case.life_seconds * 0.7
    assert await obtain(provider, case) == first
    world.now += case.life_seconds * 0.15
    second = await obtain(provider, case)
    assert second.secret != first.secret
    assert case.is_good(world, second)


@ALL
async def test_errors_are_not_kept(case: Case, world: World) -> None:
    provider = case.make(world)
    system = next(iter(case.systems))
    for status, kind in ((503, UpstreamError), (429, RateLimitedError)):
        world.issuers.fail(system, Fault(status=status, headers={"Retry-After": "7"}))
        with pytest.raises(kind) as caught:
            await obtain(provider, case)
        assert type(caught.value) is kind
        assert caught.value.retryable
    assert caught.value.retry_after_seconds == 7
    world.issuers.fail(system, None)
    assert case.is_good(world, await obtain(provider, case))
    assert sum(world.cache.counts.failures.values()) >= 2


@ISSUED
async def test_what_holds_is_given_while_its_issuer_is_down(case: Case, world: World) -> None:
    provider = case.make(world)
    first = await obtain(provider, case)
    world.issuers.fail(case.asked, Fault(status=503))
    world.now += case.life_seconds * 0.85
    with capture_logs() as logs:
        assert await obtain(provider, case) == first
        asked = world.issuers.desk.asked[case.asked]
        assert await obtain(provider, case) == first
    assert world.issuers.desk.asked[case.asked] == asked, "it is left alone for some seconds"
    assert [entry["event"] for entry in logs] == ["token not renewed"]
    assert first.secret not in str(logs)
    world.now += 24 * 3600.0
    with pytest.raises(UpstreamError):
        await obtain(provider, case)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in ONE_EACH], ids=str)
async def test_a_slow_issuer_delays_nobody_else(case: Case, world: World) -> None:
    slow, gate = case.make(world), asyncio.Event()
    for system in case.systems:
        world.issuers.fail(system, Fault(gate=gate))
    others = [other for other in CASES if other.name in ONE_EACH and other is not case]
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(obtain(slow, case))
        await world.issuers.desk.arrived.wait()
        for other in others:
            async with asyncio.timeout(30):
                assert other.is_good(world, await obtain(other.make(world), other))
        assert not waiting.done()
        gate.set()
    assert case.is_good(world, waiting.result())


async def test_an_issuer_that_never_answers_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "REQUEST_TIMEOUT_SECONDS", 0.01)
    case = next(case for case in CASES if case.name == "azure machine")
    world.issuers.fail("azure machine", Fault(gate=asyncio.Event()))
    with pytest.raises(UpstreamError, match="no answer in time") as caught:
        await obtain(case.make(world), case)
    assert caught.value.retryable
    assert "?" not in str(caught.value)


async def test_others_are_given_what_holds_while_one_asks_for_the_next(world: World) -> None:
    case = next(case for case in CASES if case.name == "azure workload")
    provider = case.make(world)
    first = await obtain(provider, case)
    gate = asyncio.Event()
    world.issuers.fail("azure", Fault(gate=gate))
    world.issuers.desk.arrived.clear()
    world.now += case.life_seconds * 0.85
    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(obtain(provider, case))
        await world.issuers.desk.arrived.wait()
        assert await obtain(provider, case) == first
        gate.set()
    assert renewing.result() != first


async def test_a_cancelled_asker_leaves_the_others_theirs(world: World) -> None:
    case = next(case for case in CASES if case.name == "azure workload")
    provider, gate = case.make(world), asyncio.Event()
    world.issuers.fail("azure", Fault(gate=gate))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(obtain(provider, case))
        await world.issuers.desk.arrived.wait()
        second = group.create_task(obtain(provider, case))
        await until(lambda: world.cache.counts.misses["azure"] == 2)
        first.cancel()
        gate.set()
    assert first.cancelled()
    assert case.is_good(world, second.result())


@pytest.mark.parametrize("case", [case for case in CASES if case.rotate is not None], ids=str)
async def test_a_rotated_identity_is_a_miss(case: Case, world: World) -> None:
    provider = case.make(world)
    first = await obtain(provider, case)
    assert case.rotate is not None
    case.rotate(world)
    second = await obtain(provider, case)
    assert second.secret != first.secret
    assert case.is_good(world, second)
    assert await obtain(provider, case) == second


async def test_the_same_service_account_with_another_proof_is_no_miss(world: World) -> None:
    case = next(case for case in CASES if case.name == "azure workload")
    provider = case.make(world)
    first = await obtain(provider, case)
    world.now += 600
    case.make(world)  # Kubernetes writes another token of the same account
    assert await obtain(provider, case) == first


@pytest.mark.parametrize("case", [case for case in CASES if case.spoil is not None], ids=str)
async def test_a_wrong_audience_is_refused_and_said(case: Case, world: World) -> None:
    provider = case.make(world)
    assert case.spoil is not None
    case.spoil(world)
    with pytest.raises(AuthError, match=case.says) as caught:
        await obtain(provider, case)
    assert not caught.value.retryable
    assert_holds_no_secret(caught.value, world, provider)


@pytest.mark.parametrize("case", [case for case in CASES if case.says == "the audience"], ids=str)
async def test_an_expired_proof_is_refused(case: Case, world: World) -> None:
    provider = case.make(world)
    world.now += 86_500
    with pytest.raises(AuthError, match="expired") as caught:
        await obtain(provider, case)
    assert_holds_no_secret(caught.value, world, provider)


def assert_holds_no_secret(error: FluxtrailError, world: World, provider: Provider) -> None:
    shown: list[Any] = [str(error), repr(error), provider, world.cache, error.__cause__, error.__context__]
    for secret in (*provider.secrets, *world.issuers.desk.tokens):
        assert secret not in repr(shown)
