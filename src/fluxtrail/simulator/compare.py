"""Where what Fluxtrail says differs from the truth: one comparison for the demo, the tests and the benchmarks."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fluxtrail.simulator.clock import parse_precise_time

RESOLUTION = timedelta(seconds=1)
"""Kubernetes, git and GitHub write whole seconds, cut."""

Json = Mapping[str, Any]

_FLEETING = frozenset({"fetched"})
"""Stages of which nothing is left once the next revision is there."""
_DATED = frozenset({"deployed", "rolled_back", "failed"})
"""Verdicts whose moments are compared: the others have reached nothing."""


def compare(
    truth: Sequence[Json],
    commits: Sequence[Json],
    *,
    slack_seconds: float = 0.5,
    was_away: bool = False,
) -> list[str]:
    """Return every difference, one line each; empty means that all is as it was.

    Args:
        truth: `commits` of the simulator's `/truth`.
        commits: `commits` of `fluxtrail demo -o json`.
        slack_seconds: simulated seconds that pass between a deed and its note in the truth log.
        was_away: Fluxtrail was not there all the time. Flux keeps neither when a replaced artifact was fetched nor
            which of two revisions with the same manifests came first, so the one may be absent (but not wrong), the
            other a later one that was applied. Nor which of two changed a workload: that it runs may be unknown.
    """
    slack = timedelta(seconds=slack_seconds)
    told = {commit["sha"]: commit for commit in commits}
    differences = []
    for true in truth:
        name = f"{true['sha'][:9]} ({true['subject']})"
        found = told.get(true["sha"])
        if found is None:
            differences.append(f"{name}: unknown to Fluxtrail")
            continue
        differences += [f"{name} {line}" for line in _compare_commit(true, found, slack, was_away)]
        differences += [f"{name} {line}" for line in _compare_build(true, found)]
    return differences


def expected_counts(truth: Sequence[Json]) -> dict[str, Counter[tuple[str, str]]]:
    """Return how many samples each of flux-commit-tracker's histograms has, by (cluster, Kustomization).

    What image automation pushes is a manifests commit as exports are, and is reconciled as they are; but no exporter
    has stated when the commits behind its images were made.
    """
    carriers: Counter[tuple[str, str]] = Counter()
    sources: Counter[tuple[str, str]] = Counter()
    for commit in truth:
        for delivery in commit["deliveries"]:
            if delivery["succeeded_at"] is None:
                continue
            key = (delivery["cluster"], delivery["target"].rpartition("/")[2])
            if commit["is_export"] or commit["is_carrier"]:
                carriers[key] += 1
            elif commit["is_exported"]:
                sources[key] += 1
    return {
        "flux_commit_tracker_kube_manifests_exporter_export_time_seconds": sources,
        "flux_commit_tracker_flux_reconcile_time_seconds": carriers,
        "flux_commit_tracker_e2e_export_time_seconds": sources,
    }


def compare_counts(truth: Sequence[Json], told: Mapping[tuple[str, str, str], int]) -> list[str]:
    """Return where histogram counts differ.

    Args:
        truth: `commits` of the simulator's `/truth`.
        told: (family, cluster, Kustomization) -> count, as `/metrics` has it.
    """
    differences = []
    for family, counts in expected_counts(truth).items():
        keys = set(counts) | {(cluster, name) for other, cluster, name in told if other == family}
        for cluster, name in sorted(keys):
            said = told.get((family, cluster, name), 0)
            if said != counts[cluster, name]:
                differences.append(f"{family} of {name} on {cluster}: {said}, true is {counts[cluster, name]}")
    return differences


def _compare_commit(true: Json, found: Json, slack: timedelta, was_away: bool) -> Iterator[str]:
    told = {(delivery["cluster"], delivery["target"]): delivery for delivery in found["deliveries"]}
    for delivery in true["deliveries"]:
        key = (delivery["cluster"], delivery["target"])
        said = told.pop(key, None)
        where = f"on {key[0]} {key[1]}"
        if said is None and delivery["verdict"] == "unaffected" and (true["is_dropped"] or _is_release(delivery)):
            continue  # a commit that is nowhere any more, or comes to a release by others, claims only whom it concerns
        if said is None:
            yield f"{where}: no delivery, true is {delivery['verdict']}"
            continue
        yield from (f"{where}: {line}" for line in _compare_delivery(delivery, said, slack, was_away))
    for key in told:
        yield f"on {key[0]} {key[1]}: there is no such target"


def _compare_build(true: Json, found: Json) -> Iterator[str]:
    """How CI left it, where CI is simulated; when it was built is a stage of its deliveries."""
    state = true.get("build_state")
    if state is not None and found.get("build_state") != state:
        yield f"build {found.get('build_state')}, true is {state}"


def _compare_delivery(true: Json, said: Json, slack: timedelta, was_away: bool) -> Iterator[str]:
    if said["verdict"] != true["verdict"]:
        yield f"verdict {said['verdict']}, true is {true['verdict']}"
        return
    if said.get("undone_by") != true["undone_by"]:
        yield f"undone_by {said.get('undone_by')}, true is {true['undone_by']}"
    is_unknown = (was_away and _is_unknown_carrier(true, said)) or _is_chart(true, said)
    if said.get("via") != true["via"] and not is_unknown:
        yield f"via {said.get('via')}, true is {true['via']}"
    if true["verdict"] not in _DATED:
        return
    for stage, text in true["stages"].items():
        moment = (said.get("stages") or {}).get(stage)
        if moment is None and was_away and (stage in _FLEETING or _is_unknown_stage(stage, said)):
            continue
        if moment is None:
            yield f"no {stage}, true is {text}"
        else:
            yield from _compare_moment(stage, moment, parse_precise_time(text), slack)
    for stage in said.get("stages") or {}:
        if stage in _FLEETING and _is_release(true):
            yield from _compare_chart(true, said, slack)
        elif stage not in true["stages"]:
            yield f"{stage} {said['stages'][stage]['at']}, in truth it has no such stage"


def _is_unknown_stage(stage: str, said: Json) -> bool:
    """Of two syncs that nobody watched, what either may have changed is told of none: and it is said to be unknown."""
    return stage == "running" and said.get("running") == "unknown"


def _is_release(delivery: Json) -> bool:
    """Of a HelmRelease nobody can list the commits that it never had to do with, unless its chart is in their git."""
    return str(delivery["target"]).startswith("HelmRelease/")


def _is_chart(true: Json, said: Json) -> bool:
    """Whether a release says with which chart a commit came: the newest of those that were there by then."""
    return _is_release(true) and said["via"] in true["revisions"]


def _compare_chart(true: Json, said: Json, slack: timedelta) -> Iterator[str]:
    """A release may say when its chart had been fetched: then that of one of its attempts with the commit."""
    moment, charts = said["stages"]["fetched"], true["charts"]
    if all(any(_compare_moment("fetched", moment, parse_precise_time(text), slack)) for text in charts.values()):
        yield f"fetched {moment['at']}, in truth its charts were fetched {sorted(charts.values())[:3]}"


def _is_unknown_carrier(true: Json, said: Json) -> bool:
    """True where nobody can say which revision carried a commit, and the answer does not pretend to know.

    Flux overwrites the revision of a snapshot when the next one gives the same manifests: of what was applied in
    an absence, a later revision with the commit may be all that is left. The moment must be a bracket then.
    """
    applied = (said.get("stages") or {}).get("applied") or {}
    if applied.get("precision") != "estimated":
        return False
    return said.get("via") is None or said["via"] in true["revisions"]


def _compare_moment(stage: str, moment: Json, true: datetime, slack: timedelta) -> Iterator[str]:
    """A moment promises more or less by its precision, and must keep that, to the resolution of its sources.

    An estimate without bounds promises only that it was not earlier.
    """
    at = parse_precise_time(moment["at"])
    earliest = parse_precise_time(moment["not_before"]) if moment.get("not_before") else None
    latest = parse_precise_time(moment["not_after"]) if moment.get("not_after") else None
    tolerance = RESOLUTION + slack
    match moment["precision"]:
        case "exact":
            is_kept = abs(at - true) <= tolerance
        case "observed":
            is_kept = true <= at + tolerance and (earliest is None or earliest - tolerance <= true)
        case _:
            is_bounded = earliest is not None or latest is not None
            earliest = earliest if is_bounded else at
            is_kept = (earliest is None or earliest - tolerance <= true) and (
                latest is None or true <= latest + tolerance
            )
    if not is_kept:
        between = f" ({earliest} to {latest})" if earliest or latest else ""
        yield f"{stage} {at} {moment['precision']} by {moment['evidence']}{between}, true is {true}"


def main() -> int:
    """`python -m fluxtrail.simulator.compare verdicts.json demo.json`: the truth, and what the demo printed."""
    truth, told = (json.loads(Path(name).read_text(encoding="utf-8"))["commits"] for name in sys.argv[1:3])
    differences = compare(truth, told)
    for line in differences:
        sys.stdout.write(line + "\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
