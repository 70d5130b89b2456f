"""Where the histograms of the last stage differ from the truth: how often something ran is the world's to say, and how
long it took follows from moments that are compared with the truth themselves.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from fluxtrail.simulator.clock import parse_precise_time

Json = Mapping[str, Any]

LEAD_TIME = "fluxtrail_lead_time_running_seconds"
DURATION = "fluxtrail_delivery_duration_seconds"
"""Of its stages only `running` is compared."""
INVERTED = timedelta(seconds=2)
"""Moments further apart than this in the wrong order are no figure."""
SUM_TOLERANCE_SECONDS = 0.001


class Place(NamedTuple):
    """A series: a target's histogram of one of the two families."""

    family: str
    cluster: str
    target: str
    """`<kind>/<namespace>/<name>`."""


class Told(NamedTuple):
    """A histogram as it was told."""

    cumulative: Mapping[float, int]
    """Upper bound, inclusive → how many samples are not longer; without the infinite one."""
    samples: int
    sum_seconds: float


def compare_running(truth: Sequence[Json], trails: Sequence[Json], told: Mapping[Place, Told]) -> list[str]:
    """Return where the figures of running are not those of what really ran, one line each.

    Args:
        truth: `commits` of the simulator's `/truth`.
        trails: of the same commits, as the API answers them: how well each moment is known, and as what. An interval
            with an estimated end is in no histogram.
        told: what `/metrics`, or a collector, has of the two families.
    """
    expected: defaultdict[Place, list[float]] = defaultdict(list)
    for place, seconds in _samples(truth, trails):
        expected[place].append(seconds)
    differences = list(_compare_carriers(truth, trails))
    for place in sorted(expected.keys() | told.keys()):
        where = f"{place.family} of {place.target} on {place.cluster}"
        differences += [f"{where}: {line}" for line in _compare(expected[place], told.get(place, _NOTHING))]
    return differences


def count_lead_times(truth: Sequence[Json], trails: Sequence[Json]) -> int:
    """Return how many lead times to running are known well enough to be figures."""
    return sum(place.family == LEAD_TIME for place, _ in _samples(truth, trails))


def count_unknown(truth: Sequence[Json], trails: Sequence[Json]) -> int:
    """Return how many deliveries ran of which it is said that nobody knows."""
    unknown = {
        (trail["commit"]["sha"], delivery["cluster"], delivery["target"])
        for trail in trails
        for delivery in trail["deliveries"]
        if delivery.get("running") == "unknown"
    }
    return sum(
        "running" in delivery["stages"] and (true["sha"], delivery["cluster"], delivery["target"]) in unknown
        for true in truth
        for delivery in true["deliveries"]
    )


def worst_lead_time(truth: Sequence[Json], trails: Sequence[Json]) -> float:
    """Return by how many seconds the figure differs most from the true lead time to running."""
    true = {(sha, *place): seconds for sha, place, seconds in _true_lead_times(truth)}
    return max(
        (
            abs(lasted - true[trail["commit"]["sha"], delivery["cluster"], delivery["target"]])
            for trail in trails
            for delivery in trail["deliveries"]
            if (trail["commit"]["sha"], delivery["cluster"], delivery["target"]) in true
            for lasted in _lasted(delivery.get("stages") or {}, "merged")
        ),
        default=0.0,
    )


_NOTHING = Told({}, 0, 0.0)


def _compare_carriers(truth: Sequence[Json], trails: Sequence[Json]) -> Iterator[str]:
    """A carrier's lead time is that of what it carries: which commits are some decides what is counted."""
    told = {trail["commit"]["sha"]: trail["commit"]["is_carrier"] for trail in trails}
    for true in truth:
        is_carrier = told.get(true["sha"], true["is_carrier"])
        if is_carrier != true["is_carrier"]:
            yield f"{true['sha'][:9]} ({true['subject']}): {'a' if is_carrier else 'no'} carrier, in truth not so"


def _samples(truth: Sequence[Json], trails: Sequence[Json]) -> Iterator[tuple[Place, float]]:
    by_sha = {trail["commit"]["sha"]: trail for trail in trails}
    for true in truth:
        trail = by_sha.get(true["sha"])
        told = {(d["cluster"], d["target"]): d for d in trail["deliveries"]} if trail else {}
        for delivery in true["deliveries"]:
            said = told.get((delivery["cluster"], delivery["target"]))
            if said is None or "running" not in delivery["stages"]:
                continue
            place = (delivery["cluster"], delivery["target"])
            stages = said.get("stages") or {}
            if not true["is_carrier"] and not said.get("is_scope_unknown"):
                yield from ((Place(LEAD_TIME, *place), lasted) for lasted in _lasted(stages, "merged"))
            yield from ((Place(DURATION, *place), lasted) for lasted in _lasted(stages, "applied"))


def _lasted(stages: Json, since: str) -> Iterator[float]:
    """Yield the seconds from a stage to running, where both are known well enough for a figure."""
    start, end = stages.get(since), stages.get("running")
    if start is None or end is None or "estimated" in (start["precision"], end["precision"]):
        return
    lasted = parse_precise_time(end["at"]) - parse_precise_time(start["at"])
    if lasted >= -INVERTED:
        yield max(lasted.total_seconds(), 0.0)


def _compare(expected: Sequence[float], told: Told) -> Iterator[str]:
    ordered = sorted(expected)
    if told.samples != len(ordered):
        yield f"{told.samples} samples, true are {len(ordered)}"
        return
    if abs(told.sum_seconds - sum(ordered)) > SUM_TOLERANCE_SECONDS * max(len(ordered), 1):
        yield f"a sum of {told.sum_seconds:.3f} s, true are {sum(ordered):.3f} s"
    for bound, count in sorted(told.cumulative.items()):
        if count != bisect.bisect_right(ordered, bound):
            yield f"{count} samples up to {bound:g} s, true are {bisect.bisect_right(ordered, bound)}"


def _true_lead_times(truth: Sequence[Json]) -> Iterator[tuple[str, tuple[str, str], float]]:
    for commit in truth:
        for delivery in commit["deliveries"] if not commit["is_carrier"] else ():
            stages = delivery["stages"]
            if "running" in stages:
                lasted = parse_precise_time(stages["running"]) - parse_precise_time(stages["merged"])
                yield commit["sha"], (delivery["cluster"], delivery["target"]), lasted.total_seconds()
