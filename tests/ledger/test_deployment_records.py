"""What a unit keeps of deployment records."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.ledger.deployments import changed, content, record, told, unknown
from tests.ledger.world import ON_POSTGRES, ON_SQLITE, NewPlace, at, opened

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.ledger.schema import deployment_records
from fluxtrail.model.deployment import (
    Content,
    DeploymentStatus,
    KeptRecord,
    Place,
    RecordId,
    Told,
    ToldOutcome,
)
from fluxtrail.model.observation import ClusterUid

C1 = ClusterUid("c1")
GONE = content(1, status=DeploymentStatus.DECOMMISSIONED)


async def put(ledger: SqlLedger, *records: KeptRecord) -> list[KeptRecord]:
    async with ledger.unit() as unit:
        return await unit.put_deployment_records(records)


async def note(ledger: SqlLedger, *outcomes: ToldOutcome) -> list[KeptRecord]:
    async with ledger.unit() as unit:
        return await unit.note_told(outcomes)


async def kept(ledger: SqlLedger, cluster: str = "c1") -> list[KeptRecord]:
    async with ledger.unit() as unit:
        return await unit.deployment_records(ClusterUid(cluster))


async def test_only_what_is_deployed_or_was_told_lately_is_read(ledger: SqlLedger) -> None:
    made = await put(ledger, record("a"), record("b", GONE), record("c"))
    await note(ledger, told(made[0], at=at(5)), told(made[1], at=at(9)))
    async with ledger.unit() as unit:
        deployed = await unit.deployment_records(C1, status=DeploymentStatus.DEPLOYED)
        lately = await unit.deployment_records(C1, told_since=at(9))
    assert [one.deployment_name for one in deployed] == [made[0].deployment_name, made[2].deployment_name]
    assert [one.deployment_name for one in lately] == [made[1].deployment_name]


async def test_records_come_back_as_they_were_put_with_ids_in_the_order_given(ledger: SqlLedger) -> None:
    plain = content(2, name="", version="", runtime_risks=(), tags=())
    given = [
        record("b", since=at(1.000001), changed_at=at(2)),
        record("a", plain, place=Place("", "Pod", "a'%_\"", "ä")),
        record("a", cluster="c2"),
    ]
    made = await put(ledger, *given)
    assert [replace(one, id=RecordId(0)) for one in made] == given
    assert len({one.id for one in made} - {0}) == 3
    assert await kept(ledger) == [made[1], made[0]]
    assert await kept(ledger, "c2") == [made[2]]
    assert await kept(ledger, "c3") == []
    async with ledger.unit() as unit:
        assert await unit.records_by_id([made[0].id, made[2].id, made[0].id, RecordId(99)]) == [made[0], made[2]]


async def test_known_name_is_updated_whatever_its_id_says(ledger: SqlLedger) -> None:
    [first] = await put(ledger, record())
    elsewhere = replace(changed(first, content(2)), place=Place("prod", "Rollout", "shop", "app"))
    by_id = await put(ledger, elsewhere)
    assert by_id == [elsewhere]
    by_name = await put(ledger, replace(elsewhere, id=RecordId(0), content=content(3)))
    assert by_name == [replace(elsewhere, content=content(3))]
    assert await kept(ledger) == by_name


async def test_last_of_several_under_one_name_stays(ledger: SqlLedger) -> None:
    made = await put(ledger, record(what=content(1)), record("other"), record(what=content(2)))
    assert made[0] == made[2]
    assert made[0].content == content(2)
    assert await kept(ledger) == [made[1], made[0]]


async def test_record_that_was_forgotten_is_made_again_and_is_to_be_told(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    [now] = await note(ledger, told(made))
    async with ledger.unit() as unit:
        await unit.forget_deployment_records([made.id, RecordId(99)])
    assert await kept(ledger) == []
    [again] = await put(ledger, now)
    assert again.id != made.id
    assert again == replace(now, id=again.id, told=Told.PENDING)


async def test_failed_unit_keeps_no_record(ledger: SqlLedger) -> None:
    async def fail() -> None:
        async with ledger.unit() as unit:
            await unit.put_deployment_records([record()])
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await fail()
    assert await kept(ledger) == []


async def test_thousands_are_put_and_read(ledger: SqlLedger) -> None:
    made = await put(ledger, *(record(f"n{number:05}") for number in range(4001)))
    assert await kept(ledger) == made
    assert await put(ledger, *(changed(one, content(2)) for one in made)) == await kept(ledger)
    await note(ledger, *(told(one, content(2)) for one in made))
    assert {one.told for one in await kept(ledger)} == {Told.TOLD}
    async with ledger.unit() as unit:
        await unit.forget_deployment_records([one.id for one in made[1:]])
    assert [one.id for one in await kept(ledger)] == [made[0].id]


# what GitHub said


async def test_taking_clears_what_was_unknown(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    [waiting] = await note(ledger, unknown(made))
    assert waiting == replace(
        made,
        told=Told.UNKNOWN,
        tries=1,
        unknown_since=at(0),
        retry_at=at(60),
        answer="artifact not found",
    )
    [now] = await note(ledger, told(made, answer="fine", tries=3))
    assert now == replace(made, told=Told.TOLD, told_content=made.content, told_to="acme/prod//c1", told_at=at(5))
    assert await kept(ledger) == [now]


async def test_change_is_to_be_told_and_keeps_what_github_holds(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    [now] = await note(ledger, told(made))
    [same] = await put(ledger, replace(made, since=at(3)))
    assert same == replace(now, since=at(3))
    [other] = await put(ledger, changed(made, content(2)))
    assert other == replace(changed(now, content(2)), told=Told.PENDING)
    await note(ledger, unknown(other))
    [back] = await put(ledger, changed(made, content(1), seconds=2))
    assert back == replace(changed(now, content(1), seconds=2), told=Told.PENDING)
    assert (back.tries, back.retry_at, back.unknown_since, back.answer) == (0, None, None, "")


async def test_what_is_about_to_be_sent_may_have_arrived(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    await send(ledger, made)
    [sent] = await kept(ledger)
    assert sent == replace(made, told_content=made.content)
    [newer] = await put(ledger, changed(made, content(2)))
    assert newer.told_content == made.content
    assert await note(ledger, unknown(made)) == [replace(newer, told_content=None)], "it did not arrive, then"


async def test_what_is_held_as_deployed_is_not_forgotten_for_what_is_about_to_be_sent(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    await note(ledger, told(made))
    [newer] = await put(ledger, changed(made, content(2)))
    await send(ledger, newer)
    assert await kept(ledger) == [newer]


async def send(ledger: SqlLedger, *records: KeptRecord) -> None:
    async with ledger.unit() as unit:
        await unit.note_sending({item.id: item.content for item in records})


@pytest.mark.parametrize("said", [Told.UNKNOWN, Told.REFUSED, Told.SILENT])
async def test_answer_about_an_older_content_changes_nothing(ledger: SqlLedger, said: Told) -> None:
    [made] = await put(ledger, record())
    [newer] = await put(ledger, changed(made, content(2)))
    assert await note(ledger, unknown(made, told=said)) == [newer]
    assert await kept(ledger) == [newer]


async def test_taking_an_older_content_leaves_the_newer_one_as_it_stands(ledger: SqlLedger) -> None:
    """The older image is told to be gone while the newer one is unknown: that one is still asked about again."""
    [made] = await put(ledger, record())
    await note(ledger, told(made))
    [newer] = await put(ledger, changed(made, content(2)))
    [stands] = await note(ledger, unknown(newer), told(newer, GONE, at=at(7)))
    assert stands == replace(
        newer,
        told=Told.UNKNOWN,
        told_content=GONE,
        told_at=at(7),
        tries=1,
        unknown_since=at(0),
        retry_at=at(60),
        answer="artifact not found",
    )
    assert await kept(ledger) == [stands]


async def test_answers_are_kept_without_secrets_and_in_their_order(ledger: SqlLedger) -> None:
    [made] = await put(ledger, record())
    refused = told(made, told=Told.REFUSED, answer="no, https://me:hunter2@github.com/x " + "x" * 10_000)
    [now] = await note(ledger, told(made), refused, unknown(replace(made, id=RecordId(99))))
    assert (now.told, now.told_content) == (Told.REFUSED, made.content)
    assert "hunter2" not in now.answer
    assert len(now.answer) < 5000
    assert await note(ledger) == []


# two writers

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(1, 3), st.just(Told.TOLD)),
        st.tuples(st.just("take"), st.just(0), st.just(Told.TOLD)),
        st.tuples(st.just("answer"), st.integers(0, 9), st.sampled_from(list(Told))),
    ),
    max_size=14,
)
_PROPERTY: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
Steps = list[tuple[str, int, Told]]


@ON_SQLITE
@pytest.mark.timeout(90)
@settings(max_examples=30, **_PROPERTY)
@given(steps=_STEPS)
async def test_two_writers_never_undo_each_other(new_place: NewPlace, steps: Steps) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_two_writers(ledger, steps)


@ON_POSTGRES
@pytest.mark.timeout(90)
@pytest.mark.requires("postgres")
@settings(max_examples=10, **_PROPERTY)
@given(steps=_STEPS)
async def test_two_writers_never_undo_each_other_in_a_database(new_place: NewPlace, steps: Steps) -> None:
    async with new_place() as place, opened(place) as ledger:
        await _check_two_writers(ledger, steps)


async def _check_two_writers(ledger: SqlLedger, steps: Steps) -> None:
    """The trail writes from a copy that it read once; the sender answers for contents that it took at any time."""
    [mine] = await put(ledger, record())
    sent: list[Content] = []
    present, holds, stands, is_marked = mine.content, None, Told.PENDING, False
    for number, (step, choice, said) in enumerate(steps):
        if step == "change":
            if content(choice) != present:
                stands, is_marked = Told.PENDING, False
            present = content(choice)
            await put(ledger, changed(mine, present, seconds=number))
        elif step == "take":
            sent.append(present)
        elif sent:
            what = sent.pop(choice % len(sent))
            about = told(mine, what) if said is Told.TOLD else unknown(mine, what, told=said)
            await note(ledger, about)
            holds = what if said is Told.TOLD else holds
            if what == present:
                stands, is_marked = said, said is not Told.TOLD
        [now] = await kept(ledger)
        assert (now.content, now.told_content, now.told) == (present, holds, stands)
        assert (now.tries, now.retry_at is None, now.unknown_since is None, now.answer == "") == (
            (1, False, False, False) if is_marked else (0, True, True, True)
        )
        assert (now.told_to, now.told_at) == (("acme/prod//c1", at(5)) if holds else ("", None))


def test_every_field_of_a_record_has_its_column() -> None:
    fields = itertools.chain(*(kind.__struct_fields__ for kind in (KeptRecord, Place, Content)))
    assert {column.name for column in deployment_records.columns} == set(fields) - {"place", "content"}
