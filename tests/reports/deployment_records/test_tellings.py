"""The pure rules: which call, what is silent, what an answer about many says about each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.deployment_records.github import Rejection
from tests.reports.deployment_records.rooms import PROD, content, destination, digest, gone
from tests.reports.worlds import at

from fluxtrail.model.deployment import SINK, Content, KeptRecord, Place, RecordId, Told
from fluxtrail.model.errors import WireError
from fluxtrail.model.report import ClaimedReport, Mode, ReportId
from fluxtrail.reports.deployment_records.plan import read_record_id, report_of
from fluxtrail.reports.deployment_records.tellings import (
    Schedule,
    Telling,
    Way,
    choose_probes,
    choose_way,
    find_pending_schedules,
    is_to_be_told,
    sort_out,
    withdrawal_of,
)

HERE = destination(PROD)


def record(name: str = "web", what: Content | None = None, **given_: Any) -> KeptRecord:
    fields: dict[str, Any] = {
        "id": RecordId(abs(hash(name)) % 1_000_000),
        "cluster": PROD,
        "deployment_name": name,
        "place": Place("shop", "Deployment", name, "main"),
        "content": what or content(),
        "since": at(0),
        "changed_at": at(0),
    }
    return KeptRecord(**(fields | given_))


def telling(name: str = "web", what: Content | None = None, **given_: Any) -> Telling:
    kept = record(name, what, **given_)
    report = ClaimedReport(
        id=ReportId(kept.id),
        sink=SINK,
        key=name,
        mode=Mode.LATEST,
        body=b"",
        created_at=at(0),
        attempts=0,
        version=1,
        owner="me",
    )
    return Telling(report, kept, kept.content)


def names(tellings: list[Telling]) -> list[str]:
    return [one.record.deployment_name for one in tellings]


@pytest.mark.parametrize(
    ("count", "has_bulk", "is_first", "way"),
    [
        (1, True, True, Way.JOB),
        (1, False, True, Way.SINGLES),
        (20, True, False, Way.SINGLES),
        (21, True, False, Way.CLUSTER),
        (1_000, True, False, Way.CLUSTER),
        (1_001, True, False, Way.JOB),
        (50_000, False, False, Way.SINGLES),
    ],
)
def test_the_call_fits(count: int, has_bulk: bool, is_first: bool, way: Way) -> None:
    assert choose_way(count, has_bulk=has_bulk, is_first=is_first) is way


def told(**given_: Any) -> KeptRecord:
    return record(told=Told.TOLD, told_content=content(), told_to=HERE.text, **given_)


@pytest.mark.parametrize(
    ("kept", "is_told"),
    [
        (record(), True),
        (told(), False),
        (record(told=Told.TOLD, told_content=content(), told_to="acme/elsewhere//prod"), True),
        (record(told=Told.PENDING, told_content=content(), told_to=HERE.text), True),
        (record(told=Told.SILENT), False),
        (record(told=Told.REFUSED), True),
        (record(told=Told.UNKNOWN, retry_at=at(61)), False),
        (record(told=Told.UNKNOWN, retry_at=at(60)), True),
        (record(told=Told.UNKNOWN, retry_at=None), False),
    ],
    ids=["new", "told", "elsewhere", "back again", "silent", "replayed", "too early", "due", "given up"],
)
def test_what_is_to_be_told(kept: KeptRecord, is_told: bool) -> None:
    assert is_to_be_told(kept, HERE, at(60)) is is_told


def test_an_error_by_name_is_the_one_digest_of_that_name() -> None:
    found = sort_out([telling("a", content("nginx")), telling("b", content("busybox"))], [Rejection("busybox")])
    assert (names(found.accepted), names(found.unknown), names(found.doubtful)) == (["a"], ["b"], [])


def test_an_error_by_an_ambiguous_name_leaves_doubt() -> None:
    found = sort_out([telling("a", content(version="1")), telling("b", content(version="2"))], [Rejection("nginx")])
    assert (names(found.unknown), names(found.doubtful)) == ([], ["a", "b"])


def test_several_records_of_one_digest_are_unknown_together() -> None:
    found = sort_out([telling("a"), telling("b")], [Rejection("nginx")])
    assert names(found.unknown) == ["a", "b"]


def test_what_is_listed_as_accepted_leaves_no_doubt_about_the_other() -> None:
    both = [telling("a", content(version="1")), telling("b", content(version="2"))]
    found = sort_out(both, [Rejection("nginx")], accepted=frozenset({"a"}))
    assert (names(found.accepted), names(found.unknown), names(found.doubtful)) == (["a"], ["b"], [])


def test_what_an_answer_left_out_is_in_doubt() -> None:
    found = sort_out([telling("a"), telling("b")], [], accepted=frozenset({"a"}))
    assert names(found.doubtful) == ["b"]


def test_an_error_says_what_may_not_be_told() -> None:
    found = sort_out([telling("a", content("nginx")), telling("b")], [Rejection("nginx", "unauthorized")])
    assert (names(found.forbidden), names(found.doubtful)) == (["a", "b"], [])
    two = [telling("a", content(version="1")), telling("b", content(version="2"))]
    found = sort_out(two, [Rejection("nginx", "unauthorized")])
    assert (names(found.forbidden), names(found.doubtful)) == ([], ["a", "b"])


@pytest.mark.parametrize("cause", ["error", "", "something new"])
def test_only_not_found_means_unknown(cause: str) -> None:
    found = sort_out([telling("a")], [Rejection("nginx", cause)])
    assert names(found.doubtful) == ["a"]


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["x", "y"]), st.sampled_from("12")), max_size=6),
    st.lists(st.tuples(st.sampled_from(["x", "y", "z", ""]), st.sampled_from(["not_found", "error"])), max_size=4),
    st.none() | st.frozensets(st.sampled_from("abcdef")),
)
def test_each_entry_is_sorted_once(
    entries: list[tuple[str, str, str]], errors: list[tuple[str, str]], accepted: frozenset[str] | None
) -> None:
    tellings = list({name: telling(name, content(image, version)) for name, image, version in entries}.values())
    found = sort_out(tellings, [Rejection(*error) for error in errors], accepted=accepted)
    assert sorted(names(found.accepted + found.unknown + found.doubtful)) == sorted(names(tellings))
    wrong = {name for name, cause in errors if cause == "not_found"}
    assert all(one.content.name in wrong for one in found.unknown)


def test_a_withdrawal_says_that_what_is_held_is_gone() -> None:
    held = content("known")
    found = withdrawal_of(telling(told_content=held))
    assert found is not None
    assert found.content == gone(held)
    assert found.is_withdrawal


@pytest.mark.parametrize("held", [None, content(), gone(content("known"))], ids=["nothing", "itself", "gone"])
def test_there_is_nothing_to_withdraw(held: Content | None) -> None:
    assert withdrawal_of(telling(told_content=held)) is None


def test_the_schedule_goes_on_from_the_most_asked_record() -> None:
    heard = [
        record("a", tries=2, unknown_since=at(0), told=Told.UNKNOWN),
        record("b", tries=1, unknown_since=at(100), told=Told.UNKNOWN),
    ]
    assert Schedule.after(heard, at(500)) == Schedule(3, at(0), at(500) + timedelta(minutes=15))
    assert Schedule.after([record()], at(500)) == Schedule(1, at(500), at(560))


def test_only_what_is_not_due_is_known_to_be_unknown() -> None:
    unknown = [
        record("a", content("early"), told=Told.UNKNOWN, retry_at=at(61)),
        record("b", content("due"), told=Told.UNKNOWN, retry_at=at(60)),
        record("c", content("given-up"), told=Told.UNKNOWN),
    ]
    assert set(find_pending_schedules(unknown, at(60))) == {digest("early:1")}


def test_probes_are_of_different_images_and_told_before() -> None:
    tellings = [telling(f"d{number}", content("nginx", str(number))) for number in range(10)]
    tellings += [telling("other", content("redis")), telling("held", content("mysql"), told_content=content("mysql"))]
    assert names(choose_probes(tellings, 5))[:3] == ["held", "d0", "other"]
    assert len(choose_probes(tellings, 5)) == 5
    assert names(choose_probes([telling("a"), telling("b")], 5)) == ["a"]


def test_a_report_names_its_record() -> None:
    report = report_of(record("shop/web/main"))
    assert (report.sink, report.key, report.mode) == (SINK, "uid-prod/shop/web/main", Mode.LATEST)
    assert read_record_id(report.body) == record("shop/web/main").id


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"record": "x"}'])
def test_a_body_of_another_shape_is_no_report(body: bytes) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        read_record_id(body)
