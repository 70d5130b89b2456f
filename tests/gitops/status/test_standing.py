from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fluxtrail.gitops.status.objects import Reconciled, WireObject, project
from fluxtrail.gitops.status.standing import Standing, exit_code, judge
from fluxtrail.model.observation import ObjectKey

GROUPS = {
    "GitRepository": "source.toolkit.fluxcd.io",
    "HelmRepository": "source.toolkit.fluxcd.io",
    "HelmChart": "source.toolkit.fluxcd.io",
    "Kustomization": "kustomize.toolkit.fluxcd.io",
    "HelmRelease": "helm.toolkit.fluxcd.io",
    "Alert": "notification.toolkit.fluxcd.io",
    "ArtifactGenerator": "source.extensions.fluxcd.io",
}
EVERYTHING = dict.fromkeys(GROUPS, True)


def condition(kind: str, status: str, reason: str, message: str = "", seen: int | None = 1) -> dict[str, Any]:
    found = {"type": kind, "status": status, "reason": reason, "message": message}
    return found | ({"observedGeneration": seen} if seen is not None else {})


def ready(
    status: str = "True", reason: str = "ReconciliationSucceeded", message: str = "", **more: Any
) -> dict[str, Any]:
    return {"conditions": [condition("Ready", status, reason, message, **more)]}


def one(
    kind: str = "Kustomization",
    name: str = "a",
    status: dict[str, Any] | None = None,
    generation: int = 1,
    annotations: dict[str, str] | None = None,
    deleting: bool = False,
    **spec: Any,
) -> Reconciled:
    metadata: dict[str, Any] = {"name": name, "namespace": "ns", "generation": generation, "annotations": annotations}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    wire = msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, WireObject)
    return project(wire, group=GROUPS[kind], kind=kind)


def key(kind: str, name: str) -> ObjectKey:
    return ObjectKey(GROUPS[kind], kind, "ns", name)


SOURCE = {"kind": "GitRepository", "name": "src"}
NOT_FOUND = "Source artifact not found, retrying in 30s"


@pytest.mark.parametrize(
    ("alone", "state", "message"),
    [
        (one(status=ready()), "ready", ""),
        (one(status=None), "working", "no controller has looked"),
        (one(status={"observedGeneration": -1}), "working", "no controller has looked"),
        (one(status=ready(), generation=2), "working", "has not looked at generation 2"),
        (one(status={"observedGeneration": 1, **ready(seen=None)}, generation=2), "working", "generation 2"),
        (
            one(status={"observedGeneration": 1, **ready("False", "BuildFailed", "no", seen=2)}, generation=2),
            "failed",
            "no",
        ),
        (one(status=ready("Unknown", "Progressing", "building")), "working", "building"),
        (
            one(
                status={
                    "conditions": [
                        condition("Ready", "Unknown", "Progressing", "x"),
                        condition("Reconciling", "True", "Progressing", "Running health checks for revision r"),
                    ]
                }
            ),
            "working",
            "Running health checks",
        ),
        (
            one(
                status={
                    "conditions": [
                        condition("Ready", "False", "HealthCheckFailed", "timeout waiting for x"),
                        condition("Reconciling", "True", "ProgressingWithRetry", "again"),
                    ]
                }
            ),
            "failed",
            "timeout waiting",
        ),
        (
            one(
                "HelmRelease",
                status={
                    "conditions": [
                        condition("Ready", "False", "UpgradeFailed", "it broke"),
                        condition("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)"),
                    ]
                },
            ),
            "stalled",
            "RetriesExceeded: Failed to upgrade after 1 attempt(s); it broke",
        ),
        (one(status=ready(), suspend=True), "suspended", "last it was ready"),
        (one("ArtifactGenerator", annotations={"source.extensions.fluxcd.io/reconcile": "disabled"}), "suspended", ""),
        (one(status=ready(), deleting=True), "deleting", "finalizers"),
        (one("Alert"), "ready", ""),
        (one("HelmRepository", type="oci"), "ready", ""),
        (
            one(status=ready("False", "ArtifactFailed", "kustomization path not found: stat /tmp/x")),
            "failed",
            "path not",
        ),
        (one(status=ready("False", "DependencyNotReady", "dependency 'ns/x' is not ready")), "working", "'ns/x'"),
    ],
)
def test_object_stands_as_its_conditions_say(alone: Reconciled, state: str, message: str) -> None:
    (standing,) = judge([alone]).values()
    assert standing.state == state
    assert message in standing.message


def standing_of(name: str, *objects: Reconciled, listed: dict[str, bool] | None = None) -> Standing:
    found = judge(objects, listed=EVERYTHING if listed is None else listed)
    return next(each for each in found.values() if each.key.name == name)


def test_what_it_waits_for_is_named() -> None:
    target = one(name="a", status=ready("False", "ArtifactFailed", NOT_FOUND), sourceRef=SOURCE)
    waiting = standing_of("a", target, one("GitRepository", "src"))
    assert (waiting.state, waiting.waits_for) == ("waiting", (key("GitRepository", "src"),))
    assert waiting.message == "GitRepository/ns/src is not ready yet"
    failed = one("GitRepository", "src", ready("False", "GitOperationFailed", "no route"))
    assert standing_of("a", target, failed).state == "blocked"
    assert standing_of("a", target, failed).message == "GitRepository/ns/src failed"
    assert standing_of("a", target).message == "GitRepository/ns/src does not exist"
    assert standing_of("a", target, one("GitRepository", "src", ready())).state == "working"


def test_chain_waits_as_long_as_its_first_may_come() -> None:
    late = ready("False", "DependencyNotReady", "dependency 'ns/b' is not ready")
    a = one(name="a", status=late, dependsOn=[{"name": "b"}])
    b = one(name="b", status=late, dependsOn=[{"name": "c"}])
    assert standing_of("a", a, b, one(name="c", status=None)).message == "Kustomization/ns/b waits itself"
    stopped = one(name="c", status=ready("False", "BuildFailed", "no"))
    assert standing_of("a", a, b, stopped).state == "blocked"
    assert standing_of("a", a, b, one(name="c", status=ready(), suspend=True)).state == "blocked"


def test_circle_of_dependencies_never_comes() -> None:
    late = ready("False", "DependencyNotReady", "dependency is not ready")
    a = one(name="a", status=late, dependsOn=[{"name": "b"}])
    b = one(name="b", status=late, dependsOn=[{"name": "a"}])
    assert {each.state for each in judge([a, b], listed=EVERYTHING).values()} == {"blocked"}


def test_nothing_is_missing_where_not_all_was_read() -> None:
    target = one(
        status=ready("False", "DependencyNotReady", "not ready"), dependsOn=[{"name": "b", "namespace": "other"}]
    )
    assert standing_of("a", target, listed={"Kustomization": False}).state == "working"


def test_failure_of_its_own_is_told_whatever_its_source_does() -> None:
    target = one(status=ready("False", "HealthCheckFailed", "x"), sourceRef=SOURCE)
    assert standing_of("a", target, one("GitRepository", "src")).state == "failed"


def test_release_waits_for_its_repository_and_chart() -> None:
    chart = {"spec": {"chart": "web", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}
    status = ready("False", "SourceNotReady", "HelmChart 'ns/ns-web' is not ready") | {"helmChart": "ns/ns-web"}
    release = one("HelmRelease", "web", status, chart=chart)
    repository = one("HelmRepository", "charts", ready())
    assert standing_of("web", release, repository, one("HelmChart", "ns-web")).waits_for == (
        key("HelmChart", "ns-web"),
    )


def test_long_chain_is_judged() -> None:
    late = ready("False", "DependencyNotReady", "not ready")
    objects = [one(name=str(n), status=late, dependsOn=[{"name": str(n + 1)}]) for n in range(3000)]
    assert len(judge(objects, listed=EVERYTHING)) == 3000


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([], 0),
        (["ready"], 0),
        (["ready", "failed"], 1),
        (["failed", "suspended"], 1),
        (["ready", "suspended"], 4),
        (["stalled"], 4),
        (["blocked"], 4),
        (["failed", "working"], None),
        (["waiting"], None),
        (["deleting"], None),
    ],
)
def test_exit_code_says_how_it_ended(states: list[str], code: int | None) -> None:
    from fluxtrail.gitops.status.standing import State

    standings = [Standing(key=key("Kustomization", str(n)), state=State(state)) for n, state in enumerate(states)]
    assert exit_code(standings) == code
