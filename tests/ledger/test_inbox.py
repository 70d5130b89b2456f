"""The inbox: what was posted to us waits in the ledger until it is dealt with."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.ledger.world import ON_SQLITE, StillClock, at

from fluxtrail.ledger.engine import writing
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
from fluxtrail.model.notices import (
    AnyNotice,
    ArgoNotice,
    ArgoResource,
    EventNotice,
    FluxNotice,
    Hook,
    KeptNotice,
    NewNotice,
    NoticeId,
    PullRequestNotice,
    PushNotice,
)

FLUX = FluxNotice(kind="Kustomization", namespace="flux-system", name="apps", metadata={"revision": "main@sha1:1"})
EVERYTHING: list[tuple[Hook, AnyNotice]] = [
    (Hook.FLUX, FluxNotice(kind="GitRepository", namespace="a", name="b", message="é\x00 \U0001f680", at=at(-5))),
    (Hook.GITOPSPHASE, ArgoNotice(commit="1" * 40, phase="Running", resources=(ArgoResource(health="Healthy"),))),
    (Hook.CDEVENTS, EventNotice(type="dev.cdevents.change.merged.0.3.0", id="7", at=at(1))),
    (Hook.GITHUB, PushNotice(repository="https://github.com/acme/shop", ref="refs/heads/main", is_forced=True)),
    (Hook.GITHUB, PullRequestNotice(repository="https://github.com/acme/shop", number=3, action="closed")),
]


def notice(name: str = "apps", **given: Any) -> NewNotice:
    said = FluxNotice(kind="Kustomization", namespace="flux-system", name=name)
    values: dict[str, Any] = {"hook": Hook.FLUX, "received_at": at(), "said": said}
    return NewNotice(**(values | given))


def names(found: list[KeptNotice]) -> list[str]:
    return [item.said.name for item in found if isinstance(item.said, FluxNotice)]


async def break_row(ledger: SqlLedger, number: NoticeId, what: str) -> None:
    async with writing(ledger._engine) as session:
        await session.run(text(f"UPDATE notices SET {what} WHERE id = {number}"))


def unreadable(ledger: SqlLedger) -> str:
    return "body = 'nonsense'::bytea" if ledger.is_shared else "body = x'ff'"


@pytest.mark.parametrize(("hook", "said"), EVERYTHING, ids=[type(said).__name__ for _, said in EVERYTHING])
async def test_what_is_kept_comes_back_as_it_was(ledger: SqlLedger, hook: Hook, said: AnyNotice) -> None:
    given = NewNotice(hook=hook, sender="prod", received_at=at(0.000001), key="k-1", said=said)
    await ledger.inbox.keep([given])
    (found,) = await ledger.inbox.take(10)
    assert (found.hook, found.sender, found.received_at, found.key, found.said) == (
        *(given.hook, given.sender, given.received_at, given.key),
        given.said,
    )
    assert found.is_signed


async def test_take_gives_the_oldest_first_and_leaves_them(ledger: SqlLedger) -> None:
    await ledger.inbox.keep([notice("a"), notice("b")])
    await ledger.inbox.keep([notice("c")])
    assert names(await ledger.inbox.take(2)) == ["a", "b"]
    assert names(await ledger.inbox.take(10)) == ["a", "b", "c"]
    assert await ledger.inbox.count() == 3


async def test_settled_ones_are_gone_and_the_same_again_changes_nothing(ledger: SqlLedger) -> None:
    await ledger.inbox.keep([notice("a"), notice("b")])
    first, _ = await ledger.inbox.take(10)
    for _ in range(2):
        await ledger.inbox.settle([first.id, first.id, NoticeId(987_654)])
    assert names(await ledger.inbox.take(10)) == ["b"]
    assert await ledger.inbox.count() == 1


async def test_many_are_settled_at_once(ledger: SqlLedger) -> None:
    await ledger.inbox.keep([notice(str(number)) for number in range(2_500)])
    taken = await ledger.inbox.take(5_000)
    assert len(taken) == 2_500
    await ledger.inbox.settle([item.id for item in taken])
    assert await ledger.inbox.count() == 0


async def test_nothing_is_no_transaction(ledger: SqlLedger) -> None:
    await ledger.inbox.keep([])
    await ledger.inbox.settle([])
    assert await ledger.inbox.take(10) == []


async def test_an_id_is_never_given_twice(ledger: SqlLedger) -> None:
    """Else a settlement that comes late would forget another notice."""
    await ledger.inbox.keep([notice("a")])
    (first,) = await ledger.inbox.take(1)
    await ledger.inbox.settle([first.id])
    await ledger.inbox.keep([notice("b")])
    (second,) = await ledger.inbox.take(1)
    assert second.id > first.id


@pytest.mark.parametrize("broken", ["body", "hook = 'of a later version'", "received_at = 9223372036854775807"])
async def test_a_row_that_cannot_be_read_stops_nobody(ledger: SqlLedger, broken: str) -> None:
    await ledger.inbox.keep([notice("a"), notice("b"), notice("c"), notice("d")])
    for item in (await ledger.inbox.take(10))[:2]:
        await break_row(ledger, item.id, broken if "=" in broken else unreadable(ledger))
    assert names(await ledger.inbox.take(1)) == ["c"]
    assert names(await ledger.inbox.take(10)) == ["c", "d"]
    assert await ledger.inbox.count() == 4


async def test_a_row_that_cannot_be_read_is_forgotten_after_a_day(ledger: SqlLedger, clock: StillClock) -> None:
    await ledger.inbox.keep([notice("a"), notice("b")])
    first, _ = await ledger.inbox.take(10)
    await break_row(ledger, first.id, unreadable(ledger))
    clock.time += timedelta(days=1, seconds=1)
    assert names(await ledger.inbox.take(10)) == ["b"]
    assert await ledger.inbox.count() == 1


async def test_those_that_keep_at_once_all_keep(ledger: SqlLedger) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(ledger.inbox.keep([notice(f"{number}-{index}") for index in range(5)]))
    assert len(names(await ledger.inbox.take(200))) == 100


@ON_SQLITE
async def test_what_is_kept_survives_the_process(ledger: SqlLedger, where: Path | str, clock: StillClock) -> None:
    await ledger.inbox.keep([notice("a")])
    await ledger.close()
    again = await SqlLedger.open(where, clock=clock)
    try:
        assert names(await again.inbox.take(10)) == ["a"]
    finally:
        await again.close()


async def test_either_all_are_kept_or_none(ledger: SqlLedger) -> None:
    no_sender: Any = None
    with pytest.raises(StoreError):
        await ledger.inbox.keep([notice("a"), notice("b", sender=no_sender)])
    assert await ledger.inbox.count() == 0
