from __future__ import annotations

import shlex

import msgspec
import pytest
from tests.web import runs
from tests.web.worlds import ON_ITS_WAY, delivery

from fluxtrail.model.verdict import PendingReason
from fluxtrail.model.views import BlockerView
from fluxtrail.web.pages.next_steps import next_steps, waits_for

PENDING = delivery(ON_ITS_WAY, "prod-eu", "pending")


@pytest.mark.parametrize("reason", list(PendingReason))
def test_each_reason_is_a_sentence_and_can_be_followed(reason: PendingReason) -> None:
    view = msgspec.structs.replace(PENDING, reason=reason.value)
    assert waits_for(view).endswith(".")
    assert next_steps(view)[-1].command == "fluxtrail trace 9f3c1ab2 --cluster prod-eu --target apps --watch"


@pytest.mark.parametrize(
    ("reason", "command"),
    [
        ("suspended", "flux resume kustomization apps -n flux-system"),
        ("awaiting_fetch", "flux reconcile kustomization apps -n flux-system --with-source"),
        ("source_failing", "flux get sources all -n flux-system"),
        ("waiting_for_dependency", "kubectl get kustomization apps -n flux-system -o jsonpath='{.spec.dependsOn}'"),
        ("syncing", "flux get kustomizations apps -n flux-system"),
        ("a_new_one", "flux get kustomizations apps -n flux-system"),
    ],
)
def test_command_for_a_reason(reason: str, command: str) -> None:
    assert next_steps(msgspec.structs.replace(PENDING, reason=reason))[0].command == command


def test_failure_names_what_flux_said_and_how_to_try_again() -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "failed", reason="BuildFailed", target="HelmRelease/shop/cart")
    assert waits_for(view) == "Flux gave up with BuildFailed."
    assert [step.command for step in next_steps(view)][:2] == [
        "flux events --for HelmRelease/cart -n shop",
        "flux reconcile helmrelease cart -n shop --with-source",
    ]


@pytest.mark.parametrize(
    ("blocker", "command"),
    [
        (runs.BLOCKED, "kubectl describe pod checkout-7d9c5b9f4-x2x9p -n shop"),
        (
            msgspec.structs.replace(runs.BLOCKED, cause="crash_loop"),
            "kubectl logs checkout-7d9c5b9f4-x2x9p -n shop -c checkout --previous",
        ),
        (BlockerView(workload="Deployment/shop/cart", state="blocked", cause="paused"),
         "kubectl rollout resume deployment/cart -n shop"),
        (runs.ROLLING_SET, "kubectl rollout status statefulset/search -n shop"),
        (BlockerView(workload="Rollout.argoproj.io/shop/cart", state="blocked", cause="quota"),
         "kubectl describe rollout.argoproj.io/cart -n shop"),
    ],
)  # fmt: skip
def test_command_for_a_workload_that_does_not_run(blocker: BlockerView, command: str) -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", running="waiting", blockers=[blocker])
    assert next_steps(view)[0].command == command


def test_what_has_arrived_needs_nothing() -> None:
    view = delivery(ON_ITS_WAY, "prod-eu", "deployed", running="reached")
    assert (waits_for(view), next_steps(view)) == ("", [])
    assert next_steps(delivery(ON_ITS_WAY, "prod-eu", "lost")) == []


@pytest.mark.parametrize("reason", [*PendingReason, "BuildFailed"])
def test_names_of_a_cluster_are_words_of_a_shell_and_nothing_more(reason: str) -> None:
    evil = "x; rm -n $HOME -n `id` ' \""
    blocker = BlockerView(
        workload=f"Deployment/{evil}/{evil}", state="blocked", cause="crash_loop", pod=evil, container=evil
    )
    view = msgspec.structs.replace(
        PENDING,
        verdict="failed" if reason == "BuildFailed" else "pending",
        reason=reason,
        target=f"Kustomization/{evil}/{evil}",
        cluster=evil,
        blockers=[blocker],
    )
    for step in next_steps(view):
        words = shlex.split(step.command)
        assert words[0] in ("flux", "kubectl", "fluxtrail")
        assert evil in words
        assert "rm" not in words
