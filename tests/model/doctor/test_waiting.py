from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.doctor.wards import (
    FLEET,
    READY,
    Object,
    ago,
    condition,
    findings_of,
    kustomization,
    release,
    source,
    ward_of,
)

from fluxtrail.model.doctor.cycles import find_cycles
from fluxtrail.model.doctor.examining import examine
from fluxtrail.model.doctor.findings import Code, Severity
from fluxtrail.model.observation import ObjectKey

WAITS = condition("Ready", "False", "DependencyNotReady", "dependency 'apps/infra' is not ready")


def waiting(name: str, *on: str) -> Object:
    depends = [
        dict(zip(("namespace", "name"), each.split("/"), strict=True)) if "/" in each else {"name": each} for each in on
    ]
    return kustomization(name, WAITS, spec={"dependsOn": depends})


def one(name: str, *objects: Object) -> tuple[Code, str]:
    (found,) = [each for each in findings_of(*objects) if each.name == name]
    return found.code, found.cause


def test_a_dependency_that_is_not_there_is_missing() -> None:
    assert one("apps", waiting("apps", "infra")) == (
        Code.DEPENDENCY_MISSING,
        "It waits for ks apps/infra, which does not exist.",
    )


def test_a_dependency_in_a_namespace_that_was_not_listed_is_not_called_missing() -> None:
    ward = dataclasses.replace(
        ward_of(waiting("apps", "other/infra"), FLEET), listed=frozenset({("Kustomization", "apps")})
    )
    assert [(each.code, each.cause.rpartition(": ")[2]) for each in examine(ward)] == [
        (Code.DEPENDENCY_UNMET, "ks other/infra was not read.")
    ]


def test_a_suspended_dependency_is_named_with_who_suspended_it() -> None:
    owner = {"manager": "flux", "time": ago(minutes=30), "fieldsV1": {"f:spec": {"f:suspend": {}}}}
    infra = kustomization(
        "infra", condition("Ready", "False", "BuildFailed"), spec={"suspend": True}, metadata={"managedFields": [owner]}
    )
    code, cause = one("apps", waiting("apps", "infra"), infra)
    assert code is Code.DEPENDENCY_SUSPENDED
    assert cause.endswith("which is suspended by flux.")


def test_a_ready_dependency_that_is_suspended_behind_its_source_holds_up_for_ever() -> None:
    infra = kustomization("infra", READY, spec={"suspend": True}, status={"lastAppliedRevision": "main@sha1:0"})
    assert one("apps", waiting("apps", "infra"), infra)[0] is Code.DEPENDENCY_SUSPENDED


def test_a_chain_is_followed_to_the_one_that_fails() -> None:
    crds = kustomization("crds", condition("Ready", "False", "BuildFailed", "no such file"))
    code, cause = one("apps", waiting("apps", "infra"), waiting("infra", "crds"), crds)
    assert code is Code.DEPENDENCY_FAILING
    assert cause == "It waits for ks apps/infra, which waits for ks apps/crds, which fails (BuildFailed)."


def test_a_dependency_that_is_under_way_is_no_finding() -> None:
    infra = kustomization("infra", condition("Ready", "Unknown", "Progressing", since=ago(minutes=1)))
    infra["metadata"]["managedFields"] = []
    assert findings_of(waiting("apps", "infra"), infra) == ()


def test_dependencies_that_look_met_are_a_finding_once_it_takes_longer_than_the_interval() -> None:
    infra = kustomization("infra", READY)
    assert one("apps", waiting("apps", "infra"), infra)[0] is Code.DEPENDENCY_UNMET


def test_a_cycle_is_named_whole_for_each_that_is_on_it() -> None:
    found = findings_of(waiting("a", "b"), waiting("b", "c"), waiting("c", "a"), waiting("outside", "a"))
    assert [(each.name, each.code) for each in found] == [
        ("a", Code.DEPENDENCY_CYCLE),
        ("b", Code.DEPENDENCY_CYCLE),
        ("c", Code.DEPENDENCY_CYCLE),
        ("outside", Code.DEPENDENCY_CYCLE),
    ]
    assert "Kustomization a → b → c → a in apps" in found[0].cause
    assert "Kustomization b → c → a → b in apps" in found[1].cause
    assert "which is in a circle: Kustomization a → b → c → a in apps" in found[3].cause
    assert all(each.severity is Severity.CRITICAL for each in found)


def test_a_cycle_of_objects_that_are_ready_is_a_warning() -> None:
    objects = [kustomization(name, READY, spec={"dependsOn": [{"name": other}]}) for name, other in ("ab", "ba")]
    assert [each.severity for each in findings_of(*objects)] == [Severity.WARNING, Severity.WARNING]


def test_one_that_depends_on_itself_is_a_cycle() -> None:
    assert "Kustomization a → a" in one("a", waiting("a", "a"))[1]


def test_a_chain_of_ten_thousand_is_followed_without_recursion() -> None:
    keys = [ObjectKey("g", "Kustomization", "ns", f"{n:05}") for n in range(10_000)]
    graph = {key: [keys[(n + 1) % len(keys)]] for n, key in enumerate(keys)}
    found = find_cycles({key: graph[key] for key in keys[:-1]})
    assert found == {}


@given(st.dictionaries(st.integers(0, 7), st.lists(st.integers(0, 7), max_size=3), max_size=8))
def test_a_cycle_is_a_way_along_dependencies_back_to_its_start(edges: dict[int, list[int]]) -> None:
    keys = [ObjectKey("g", "K", "ns", str(n)) for n in range(8)]
    graph = {keys[n]: [keys[m] for m in others] for n, others in edges.items()}
    found = find_cycles(graph)
    for start, way in found.items():
        assert way[0] == way[-1] == start
        assert all(after in graph[before] for before, after in itertools.pairwise(way))
    for key in graph:
        assert (key in found) == _reaches(graph, key, key)


def _reaches(graph: dict[ObjectKey, list[ObjectKey]], start: ObjectKey, goal: ObjectKey) -> bool:
    seen: set[ObjectKey] = set()
    todo = [each for each in graph.get(start, ()) if each in graph]
    while todo:
        key = todo.pop()
        if key == goal:
            return True
        if key not in seen:
            seen.add(key)
            todo += [each for each in graph.get(key, ()) if each in graph]
    return False


@pytest.mark.parametrize(
    ("obj", "code"),
    [
        (
            kustomization(
                "k",
                condition("Ready", "False", "ArtifactFailed", "Source 'x' not found"),
                spec={"sourceRef": {"kind": "GitRepository", "name": "gone"}},
            ),
            Code.SOURCE_MISSING,
        ),
        (
            release(
                "r",
                condition("Ready", "False", "SourceNotReady", "could not get Source object"),
                spec={"chartRef": {"kind": "OCIRepository", "name": "gone"}},
            ),
            Code.SOURCE_MISSING,
        ),
        (
            release(
                "r",
                condition("Ready", "False", "SourceNotReady", "is not ready"),
                spec={"chartRef": {"kind": "OCIRepository", "name": "down"}},
            ),
            Code.SOURCE_NOT_READY,
        ),
    ],
    ids=["kustomization", "release", "release-source-down"],
)
def test_what_an_object_is_made_from_is_to_blame(obj: Object, code: Code) -> None:
    down = source(
        "OCIRepository",
        "down",
        condition("FetchFailed", "True", "OCIArtifactPullFailed", "x", since=ago(minutes=1)),
        condition("Ready", "False", "OCIArtifactPullFailed", since=ago(minutes=1)),
    )
    (found,) = [each for each in findings_of(obj, down, FLEET) if each.name in "kr"]
    assert found.code is code


def test_the_repository_behind_a_chart_is_named() -> None:
    chart = source(
        "HelmChart",
        "apps-api",
        condition("Ready", "False", "NoSourceArtifact"),
        spec={"sourceRef": {"kind": "HelmRepository", "name": "repo"}},
        status={"artifact": None},
    )
    repo = source(
        "HelmRepository",
        "repo",
        condition("Ready", "False", "IndexationFailed", "404 Not Found"),
        status={"artifact": None},
    )
    spec = {
        "chartRef": None,
        "chart": {"spec": {"chart": "api", "sourceRef": {"kind": "HelmRepository", "name": "repo"}}},
    }
    obj = release(
        "api", condition("Ready", "False", "SourceNotReady", "HelmChart 'apps/apps-api' is not ready: x"), spec=spec
    )
    (found,) = [each for each in findings_of(obj, chart, repo) if each.kind == "HelmRelease"]
    assert found.cause == "What it is made from is not to be had: helmrepo apps/repo is not ready."
    assert found.commands[1] == "flux reconcile source helm repo -n apps"


@pytest.mark.parametrize("way", ["source", "dependency", "cycle"])
def test_what_would_fail_again_for_sure_has_an_obstacle(way: str) -> None:
    gone_up = [condition("Ready", "False", "UpgradeFailed"), condition("Stalled", "True", "RetriesExceeded", "x")]
    spec: Object = {}
    if way == "source":
        spec = {"chartRef": {"kind": "OCIRepository", "name": "gone"}}
    elif way == "dependency":
        spec = {"dependsOn": [{"name": "db"}]}
    else:
        spec = {"dependsOn": [{"name": "api"}]}
    (found,) = findings_of(release("api", *gone_up, spec=spec))
    assert found.obstacle or found.remedy is None
