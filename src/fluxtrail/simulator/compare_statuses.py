"""Where the statuses that forges hold differ from what is true, by commit and environment.

What is right follows from the truth about every delivery (`compare.py` has the same input) by these rules, the first
that fits, over the targets of an environment that a commit concerns:

    one failed                                              failure
    one is pending                                          pending, or running
    one was rolled back                                     error
    one is deployed                                         success, whatever became of targets that went
    all are lost or abandoned                               error
    none is concerned                                       neutral: said only where something else was said before
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fluxtrail.model.status import StatusState

Json = Mapping[str, Any]
Right = Mapping[tuple[str, str, str], frozenset[StatusState]]
"""(repository, sha, environment) -> the states that are right."""

DEFAULT_CONTEXT = "fluxtrail/{environment}"

_UNDER_WAY = frozenset({StatusState.PENDING, StatusState.RUNNING})
_DONE = frozenset({StatusState.SUCCESS})
_NOTHING = frozenset({StatusState.NEUTRAL})
_GOOD = _DONE | _NOTHING
_BAD = frozenset({StatusState.FAILURE, StatusState.ERROR})
_ODD = frozenset({StatusState.ERROR, StatusState.NEUTRAL})
_FAILURE = frozenset({StatusState.FAILURE})
_ERROR = frozenset({StatusState.ERROR})

_WORDS: dict[str, tuple[tuple[str, frozenset[StatusState]], ...]] = {
    "github": (("pending", _UNDER_WAY), ("success", _GOOD), ("failure", _FAILURE), ("error", _ERROR)),
    "github_deployments": (
        ("created queued pending in_progress", _UNDER_WAY),
        ("success", _DONE),
        ("failure", _FAILURE),
        ("error", _ERROR),
        ("inactive", _ODD),
    ),
    "gitlab": (("pending running", _UNDER_WAY), ("success", _GOOD), ("failed", _BAD), ("canceled skipped", _ODD)),
    "gitlab_deployments": (("created running", _UNDER_WAY), ("success", _DONE), ("failed", _BAD), ("canceled", _ODD)),
    "azure_devops": (
        ("notSet pending", _UNDER_WAY),
        ("succeeded partiallySucceeded", _GOOD),
        ("failed", _FAILURE),
        ("error", _ERROR),
        ("notApplicable", _NOTHING),
    ),
    "gitea": (
        ("pending", _UNDER_WAY),
        ("success", _GOOD),
        ("failure", _BAD),
        ("error warning", _ERROR),
        ("skipped", _NOTHING),
    ),
    "bitbucket": (("INPROGRESS", _UNDER_WAY), ("SUCCESSFUL", _GOOD), ("FAILED", _BAD), ("STOPPED", _ODD)),
    "bitbucket_server": (
        ("INPROGRESS", _UNDER_WAY),
        ("SUCCESSFUL", _GOOD),
        ("FAILED", _BAD),
        ("CANCELLED UNKNOWN", _ODD),
    ),
}
"""What each system's words may mean."""


def right_statuses(truth: Sequence[Json], environments: Sequence[Json]) -> Right:
    """Return what is right for every commit in every environment.

    Args:
        truth: `commits` of the simulator's `/truth`.
        environments: as the settings have them: `{name, clusters, targets}`, the first that fits has a target, and
            where none fits the cluster is one by itself.
    """
    right = {}
    for commit in truth:
        verdicts: dict[str, set[str]] = {}
        for delivery in commit["deliveries"]:
            name = _environment_of(delivery["cluster"], delivery["target"], environments)
            verdicts.setdefault(name, set()).add(delivery["verdict"])
        for name, found in verdicts.items():
            right[commit["repository"], commit["sha"], name] = _right(found - {"unaffected"})
    return right


def differences_of_statuses(
    truth: Sequence[Json],
    statuses: Sequence[Json],
    environments: Sequence[Json],
    *,
    system: str = "github",
    context: str = DEFAULT_CONTEXT,
    repositories: Sequence[str] = ("*",),
) -> list[str]:
    """Return every difference, one line each; empty means that all that is told is right, and nothing is missing.

    Args:
        statuses: of the forges' record: `{system, repository, sha, context, state, …}`.
        system: whose statuses are looked at.
        context: under which a status stands, `{environment}` filled in.
        repositories: patterns of those whose commits are told of.
    """
    contexts = {name: context.format(environment=name).lower() for name in _names(truth, environments)}
    held = {
        (status["repository"], status["sha"], status["context"].lower()): status
        for status in statuses
        if status["system"] == system
    }
    meanings = {word: states for words, states in _WORDS[system] for word in words.split()}
    differences: list[str] = []
    for (repository, sha, environment), states in right_statuses(truth, environments).items():
        if any(fnmatchcase(repository, pattern) for pattern in repositories):
            found = held.pop((repository, sha, contexts[environment]), None)
            differences += _compare(f"{repository} {sha[:9]} in {environment}", states, found, meanings)
    return differences + [
        f"{repository} {sha[:9]}: {name} is {status['state']}, and there is no such thing to tell"
        for (repository, sha, name), status in sorted(held.items())
    ]


def repeated_statuses(statuses: Sequence[Json]) -> list[str]:
    """Return where the same was said twice running, one line each."""
    return [
        f"{status['system']} {status['repository']} {status['sha'][:9]}: {status['context']} was told "
        f"{status['repeats']} times as it was already"
        for status in statuses
        if status["repeats"]
    ]


def _compare(
    name: str, states: frozenset[StatusState], found: Json | None, words: Mapping[str, frozenset[StatusState]]
) -> Iterator[str]:
    true = " or ".join(sorted(states))
    if found is None:
        if states != _NOTHING:
            yield f"{name}: nothing is told, true is {true}"
    elif not words.get(found["state"], frozenset()) & states:
        yield f"{name}: {found['state']} ({found['description']}), true is {true}"


def _right(verdicts: set[str]) -> frozenset[StatusState]:
    """Return what the verdicts of the targets that are concerned come to."""
    for verdict, states in (
        ("failed", _FAILURE),
        ("pending", _UNDER_WAY),
        ("rolled_back", _ERROR),
        ("deployed", _DONE),
    ):
        if verdict in verdicts:
            return states
    return _ERROR if verdicts else _NOTHING


def _environment_of(cluster: str, target: str, environments: Sequence[Json]) -> str:
    for item in environments:
        is_there = any(fnmatchcase(cluster, pattern) for pattern in item.get("clusters", ("*",)))
        if is_there and any(fnmatchcase(target, pattern) for pattern in item.get("targets", ("*",))):
            return str(item["name"])
    return cluster


def _names(truth: Sequence[Json], environments: Sequence[Json]) -> set[str]:
    return {_environment_of(d["cluster"], d["target"], environments) for commit in truth for d in commit["deliveries"]}


def main() -> int:
    """`python -m fluxtrail.simulator.compare_statuses verdicts.json demo.json`: the truth, what the demo printed."""
    truth, told = (json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:3])
    differences = differences_of_statuses(
        truth["commits"], told["statuses"], told["environments"], repositories=told["told_repositories"]
    )
    for line in differences:
        sys.stdout.write(line + "\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
