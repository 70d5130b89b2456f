from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.model.figures import BUCKETS_SECONDS, Figures, HistogramSeries
from fluxtrail.model.moment import Evidence, Moment, bracket, exact
from fluxtrail.model.views import DeliveryFacts

T = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def moment(seconds: float, *, estimated: bool = False) -> Moment:
    at = T + timedelta(seconds=seconds)
    return bracket(at - timedelta(minutes=5), at) if estimated else exact(at, Evidence.STATUS_OBSERVED)


def facts(commit_id: int = 1, target_id: int = 1, **known: object) -> DeliveryFacts:
    base = DeliveryFacts(
        commit_id=commit_id,
        target_id=target_id,
        cluster="prod",
        namespace="flux-system",
        name="apps",
        kind="Kustomization",
        is_carrier=False,
        has_carrier=False,
        merged=None,
        exported=None,
        stated_at=None,
        carrier_committed_at=None,
        fetched=None,
        applied=None,
        healthy=None,
        succeeded=None,
        is_scope_unknown=False,
    )
    return msgspec.structs.replace(base, **known)


def folded(*rows: DeliveryFacts) -> Figures:
    figures = Figures()
    figures.add_all(rows)
    return figures


def samples(figures: Figures) -> dict[str, tuple[int, float]]:
    """Count and sum by family, and by stage where it has one."""
    found: dict[str, tuple[int, float]] = {}
    for series in figures.histograms():
        name = series.family.name
        if series.family.labels[-1] == "stage":
            name = f"{name}/{series.labels[-1]}"
        found[name] = (series.cumulative[-1], series.sum_seconds)
    return found


def counts(figures: Figures) -> dict[str, int]:
    return {"/".join([c.family.name.removeprefix("fluxtrail_"), *c.labels]): c.value for c in figures.counters()}


WHOLE = facts(
    merged=moment(0), exported=moment(60), fetched=moment(75), applied=moment(130), healthy=moment(150),
    succeeded=moment(150),
)  # fmt: skip


def test_each_stage_is_timed_from_the_previous_known_one() -> None:
    assert samples(folded(WHOLE)) == {
        "fluxtrail_delivery_duration_seconds/exported": (1, 60.0),
        "fluxtrail_delivery_duration_seconds/fetched": (1, 15.0),
        "fluxtrail_delivery_duration_seconds/applied": (1, 55.0),
        "fluxtrail_delivery_duration_seconds/healthy": (1, 20.0),
        "fluxtrail_lead_time_seconds": (1, 130.0),
    }
    assert counts(folded(WHOLE)) == {}


def test_an_absent_stage_is_skipped_not_zero() -> None:
    found = samples(folded(facts(merged=moment(0), applied=moment(40))))
    assert found == {
        "fluxtrail_delivery_duration_seconds/applied": (1, 40.0),
        "fluxtrail_lead_time_seconds": (1, 40.0),
    }


def test_nothing_is_counted_before_applied() -> None:
    assert samples(folded(facts(merged=moment(0), exported=moment(60), fetched=moment(75)))) == {}


def test_a_delivery_that_progresses_counts_each_stage_once() -> None:
    applied = msgspec.structs.replace(WHOLE, healthy=None, succeeded=None)
    assert folded(applied, applied, WHOLE, WHOLE, applied).dump() == folded(WHOLE).dump()


def test_a_carrier_has_durations_but_no_lead_time() -> None:
    found = samples(folded(facts(is_carrier=True, merged=moment(0), fetched=moment(10), applied=moment(30))))
    assert "fluxtrail_lead_time_seconds" not in found
    assert found["fluxtrail_delivery_duration_seconds/applied"] == (1, 20.0)


def test_estimated_moments_are_counted_and_in_no_fluxtrail_histogram() -> None:
    figures = folded(
        facts(merged=moment(0), fetched=moment(10), applied=moment(60, estimated=True), healthy=moment(70))
    )
    assert samples(figures) == {"fluxtrail_delivery_duration_seconds/fetched": (1, 10.0)}
    assert counts(figures) == {"moments_estimated/applied": 1}


@pytest.mark.parametrize(("fetched", "expected"), [(-2.0, (1, 0.0)), (-2.001, None)], ids=["within", "beyond"])
def test_inverted_pairs_are_zero_within_two_seconds_and_left_out_beyond(
    fetched: float, expected: tuple[int, float] | None
) -> None:
    figures = folded(facts(merged=moment(0), fetched=moment(fetched), applied=moment(30)))
    assert samples(figures).get("fluxtrail_delivery_duration_seconds/fetched") == expected
    assert counts(figures) == ({} if expected else {"moments_inverted/merged/fetched": 1})


def test_an_inverted_pair_is_counted_once_for_duration_and_lead_time() -> None:
    assert counts(folded(facts(merged=moment(0), applied=moment(-30)))) == {"moments_inverted/merged/applied": 1}


def test_an_inverted_lead_time_is_counted_where_a_stage_lies_between() -> None:
    figures = folded(facts(merged=moment(0), fetched=moment(-50), applied=moment(-30)))
    assert counts(figures) == {"moments_inverted/merged/applied": 1, "moments_inverted/merged/fetched": 1}
    assert samples(figures) == {"fluxtrail_delivery_duration_seconds/applied": (1, 20.0)}


def test_unknown_scope_is_counted_and_not_in_the_lead_time() -> None:
    figures = folded(facts(merged=moment(0), applied=moment(30), is_scope_unknown=True))
    assert list(samples(figures)) == ["fluxtrail_delivery_duration_seconds/applied"]
    assert counts(figures) == {"deliveries_scope_unknown/prod": 1}


CARRIER = facts(commit_id=1, is_carrier=True, carrier_committed_at=T - timedelta(minutes=10), succeeded=moment(0))
SOURCE = facts(
    commit_id=2,
    has_carrier=True,
    carrier_committed_at=T - timedelta(minutes=10),
    stated_at=T - timedelta(minutes=25),
    succeeded=moment(0),
)


def test_the_old_tools_case_a11_gives_the_same_numbers() -> None:
    assert samples(folded(CARRIER, SOURCE)) == {
        "flux_commit_tracker_flux_reconcile_time_seconds": (1, 600.0),
        "flux_commit_tracker_kube_manifests_exporter_export_time_seconds": (1, 900.0),
        "flux_commit_tracker_e2e_export_time_seconds": (1, 1500.0),
    }


def test_old_samples_include_estimates() -> None:
    late = msgspec.structs.replace(SOURCE, succeeded=moment(0, estimated=True))
    assert samples(folded(late))["flux_commit_tracker_e2e_export_time_seconds"] == (1, 1500.0)


@pytest.mark.parametrize(("ahead", "expected"), [(2, (1, 0.0)), (3, None)], ids=["within", "beyond"])
def test_old_samples_are_never_negative(ahead: int, expected: tuple[int, float] | None) -> None:
    """The old tool recorded negative samples; a source commit dated after its delivery gives none here."""
    figures = folded(facts(stated_at=T + timedelta(seconds=ahead), succeeded=moment(0)))
    assert samples(figures).get("flux_commit_tracker_e2e_export_time_seconds") == expected
    assert counts(figures) == ({} if expected else {"moments_inverted/stated/succeeded": 1})


def test_a_commit_without_a_carrier_has_no_old_samples() -> None:
    assert samples(folded(facts(succeeded=moment(0)))) == {}


RUNNING = facts(merged=moment(0), fetched=moment(20), applied=moment(50), running=moment(75))


def test_running_counts_its_stage_and_its_lead_time() -> None:
    assert samples(folded(RUNNING)) == {
        "fluxtrail_delivery_duration_seconds/fetched": (1, 20.0),
        "fluxtrail_delivery_duration_seconds/applied": (1, 30.0),
        "fluxtrail_delivery_duration_seconds/running": (1, 25.0),
        "fluxtrail_lead_time_seconds": (1, 50.0),
        "fluxtrail_lead_time_running_seconds": (1, 75.0),
    }


@pytest.mark.parametrize("healthy", [60, 90], ids=["before", "after"])
def test_checks_that_end_before_or_after_change_nothing_about_running(healthy: int) -> None:
    found = samples(folded(msgspec.structs.replace(RUNNING, healthy=moment(healthy))))
    assert found.pop("fluxtrail_delivery_duration_seconds/healthy") == (1, healthy - 50)
    assert found == samples(folded(RUNNING))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"is_carrier": True}, {}),
        ({"is_scope_unknown": True}, {"deliveries_scope_unknown/prod": 1}),
        ({"running": moment(75, estimated=True)}, {"moments_estimated/running": 1}),
        (
            {"running": moment(-10)},
            {"moments_inverted/applied/running": 1, "moments_inverted/merged/running": 1},
        ),
        (
            {"running": moment(-10), "applied": moment(50, estimated=True)},
            {"moments_inverted/merged/running": 1, "moments_estimated/applied": 1},
        ),
        ({"running": None}, {}),
    ],
    ids=["carrier", "scope unknown", "estimated", "inverted", "applied seen late", "absent"],
)
def test_no_lead_time_to_running(known: dict[str, object], expected: dict[str, int]) -> None:
    figures = folded(msgspec.structs.replace(RUNNING, **known))
    assert "fluxtrail_lead_time_running_seconds" not in samples(figures)
    assert counts(figures) == expected


def test_running_without_applied_counts_nothing() -> None:
    assert samples(folded(msgspec.structs.replace(RUNNING, applied=None))) == {}


@pytest.mark.parametrize("version", [1, 2])
def test_what_was_counted_before_running_was_known_is_not_counted_again(version: int) -> None:
    """Earlier versions kept three bits a delivery; those of many words, of all places and of all phases go on."""
    rows = [
        msgspec.structs.replace(RUNNING, commit_id=commit_id, target_id=target_id, **known)
        for commit_id in (0, 1, 170, 171, 511, 512, 100_000)
        for target_id, known in enumerate(({}, {"healthy": moment(60)}, {"succeeded": moment(60)}), start=1)
    ]
    before = [msgspec.structs.replace(row, running=None) for row in rows]
    state = msgspec.msgpack.decode(folded(*before).dump(), strict=False)
    state |= {"version": version, "counted": {word: _packed_by_three(bits) for word, bits in state["counted"].items()}}
    loaded = Figures.load(msgspec.msgpack.encode(state))
    assert loaded.dump() == folded(*before).dump()
    loaded.add_all(rows)
    assert loaded.dump() == folded(*rows).dump()


def _packed_by_three(bits: bytes) -> bytes:
    digits = f"{int.from_bytes(bits, 'little'):x}"[::-1]
    packed = sum(int(digit, 16) << 3 * place for place, digit in enumerate(digits))
    return packed.to_bytes(-(-packed.bit_length() // 8), "little")


def test_a_later_version_is_refused() -> None:
    state = msgspec.msgpack.decode(folded(WHOLE).dump(), strict=False) | {"version": 4}
    with pytest.raises(WireError, match="version 4"):
        Figures.load(msgspec.msgpack.encode(state))


@pytest.mark.parametrize("bound", BUCKETS_SECONDS)
def test_a_value_on_a_bound_is_in_its_bucket(bound: int) -> None:
    (series,) = [
        s for s in folded(facts(merged=moment(0), applied=moment(bound))).histograms() if "lead" in s.family.name
    ]
    assert series.cumulative[BUCKETS_SECONDS.index(bound)] == 1
    assert sum(series.cumulative) == len(BUCKETS_SECONDS) - BUCKETS_SECONDS.index(bound) + 1


@pytest.mark.parametrize("data", [b"", b"\x80", b"nonsense", msgspec.msgpack.encode({"version": 1})])
def test_load_refuses_what_dump_did_not_write(data: bytes) -> None:
    with pytest.raises(WireError, match="rebuild"):
        Figures.load(data)


def test_load_refuses_other_buckets() -> None:
    state = msgspec.msgpack.decode(folded(WHOLE).dump())
    state["bounds"] = [1, 2, 3]
    with pytest.raises(WireError, match="rebuild"):
        Figures.load(msgspec.msgpack.encode(state))


def test_a_base_stands_for_removed_rows() -> None:
    base = Figures.load(folded(WHOLE, SOURCE).dump(remember_deliveries=False))
    third = msgspec.structs.replace(CARRIER, commit_id=3)
    base.add(third)
    assert samples(base) == samples(folded(WHOLE, SOURCE, third))
    remembered = msgspec.msgpack.decode(base.dump(), strict=False)["counted"]
    assert sum(bits.bit_count() for word in remembered.values() for bits in word) == 1


# How a delivery grows: stages are only ever added behind those known, and what is known does not change.
_SECONDS = st.integers(-10, 100_000).map(lambda n: n / 8)
_MOMENTS = st.builds(moment, _SECONDS, estimated=st.booleans())


@st.composite
def deliveries(draw: st.DrawFn) -> list[DeliveryFacts]:
    rows = []
    for commit_id in draw(st.lists(st.sampled_from([0, 1, 511, 512, 513, 100_000]), unique=True, max_size=4)):
        for target_id in draw(st.lists(st.integers(1, 3), unique=True, max_size=2)):
            row = facts(
                commit_id,
                target_id,
                name=f"apps-{target_id}",
                is_carrier=draw(st.booleans()),
                is_scope_unknown=draw(st.booleans()),
                merged=draw(st.none() | _MOMENTS),
                exported=draw(st.none() | _MOMENTS),
                fetched=draw(st.none() | _MOMENTS),
                applied=draw(st.none() | _MOMENTS),
                healthy=draw(st.none() | _MOMENTS),
                running=draw(st.none() | _MOMENTS),
                succeeded=draw(st.none() | _MOMENTS),
                stated_at=draw(st.none() | _SECONDS.map(lambda s: T + timedelta(seconds=s))),
                carrier_committed_at=draw(st.none() | _SECONDS.map(lambda s: T + timedelta(seconds=s))),
            )
            rows.append(row)
    return rows


def earlier_versions(row: DeliveryFacts) -> list[DeliveryFacts]:
    healthy_unknown = msgspec.structs.replace(row, healthy=None, succeeded=None)
    running_unknown = msgspec.structs.replace(row, running=None)
    neither = msgspec.structs.replace(healthy_unknown, running=None)
    return [msgspec.structs.replace(neither, applied=None), neither, healthy_unknown, running_unknown]


@given(deliveries(), st.randoms(use_true_random=False))
def test_any_order_and_repetition_gives_the_same_figures(rows: list[DeliveryFacts], chance: random.Random) -> None:
    rebuilt = folded(*rows)
    offered = [*rows, *rows, *(version for row in rows for version in earlier_versions(row))]
    chance.shuffle(offered)
    assert folded(*offered).dump() == rebuilt.dump()


@given(deliveries(), deliveries())
def test_dump_and_load_change_nothing(before: list[DeliveryFacts], after: list[DeliveryFacts]) -> None:
    loaded = Figures.load(folded(*before).dump())
    loaded.add_all([*before, *after])
    assert loaded.dump() == folded(*before, *after).dump()


@given(deliveries())
def test_series_are_cumulative(rows: list[DeliveryFacts]) -> None:
    def is_sound(series: HistogramSeries) -> bool:
        return list(series.cumulative) == sorted(series.cumulative) and series.cumulative[-1] > 0

    figures = folded(*rows)
    assert all(is_sound(series) and series.sum_seconds >= 0 for series in figures.histograms())
