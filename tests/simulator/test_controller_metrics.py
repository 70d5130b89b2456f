"""What the simulated programs of Flux tell of themselves is what they did."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.simulator.worlds import Play

from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.apiserver.statuses import StatusError
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.control import Control
from fluxtrail.simulator.controller_metrics import ControllerMetrics, Reconciliation, Result
from fluxtrail.simulator.script import Action, Step

SETTINGS = Step(Action.SETTINGS, app="cart", folder="staging")
BROKEN = Step(Action.LASTING_FAILURE, folder="staging")


def value(text: str, sample: str, /, **labels: str) -> float:
    """Return the sum of the samples that have the labels."""
    samples = [item for family in text_string_to_metric_families(text) for item in family.samples]
    found = [item.value for item in samples if item.name == sample and labels.items() <= item.labels.items()]
    assert found, f"there is no {sample} {labels}"
    return sum(found)


def told(metrics: ControllerMetrics, sample: str, /, **labels: str) -> float:
    return value(metrics.exposition().decode(), sample, **labels)


def test_every_controller_is_there_before_it_did_anything() -> None:
    metrics = ControllerMetrics("source-controller", SimulatedClock())
    assert told(metrics, "controller_runtime_reconcile_total", controller="bucket") == 0
    assert told(metrics, "workqueue_longest_running_processor_seconds", name="helmchart") == 0
    assert "gotk_reconcile_duration_seconds_count" not in metrics.exposition().decode()
    assert "_created" not in metrics.exposition().decode()


@pytest.mark.parametrize(
    ("wait", "has_failed", "result"),
    [(60.0, False, Result.REQUEUE_AFTER), (None, False, Result.SUCCESS), (2.0, True, Result.ERROR)],
)
def test_reconciliations_are_counted_by_their_end(wait: float | None, has_failed: bool, result: Result) -> None:
    metrics = ControllerMetrics("helm-controller", SimulatedClock())
    with metrics.reconciling("HelmRelease", "apps", "web") as work:
        assert told(metrics, "workqueue_longest_running_processor_seconds") > 0
        work.end(wait, has_failed=has_failed)
    assert told(metrics, "controller_runtime_reconcile_total", result=result.value) == 1
    assert told(metrics, "controller_runtime_reconcile_total") == 1
    assert told(metrics, "gotk_reconcile_duration_seconds_count", name="web", namespace="apps") == 1
    assert told(metrics, "workqueue_longest_running_processor_seconds") == 0
    metrics.forget("HelmRelease", "apps", "web")
    assert "gotk_reconcile_duration_seconds_count" not in metrics.exposition().decode()
    assert told(metrics, "controller_runtime_reconcile_total") == 1


def test_what_is_broken_off_is_not_counted() -> None:
    metrics = ControllerMetrics("kustomize-controller", SimulatedClock())

    def begin_and_break() -> None:
        with metrics.reconciling("Kustomization", "apps", "web") as work:
            assert isinstance(work, Reconciliation)
            raise TimeoutError

    with pytest.raises(TimeoutError):
        begin_and_break()
    assert told(metrics, "controller_runtime_reconcile_total") == 0
    assert told(metrics, "workqueue_longest_running_processor_seconds") == 0


def test_writes_are_counted_with_their_answers_and_reads_are_not() -> None:
    metrics = ControllerMetrics("kustomize-controller", SimulatedClock())
    store = metrics.counted(ApiServer().store)
    made: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default"}, "spec": {}}
    store.create("kustomizations", made)
    with pytest.raises(StatusError):
        store.create("kustomizations", made)
    store.patch_status("kustomizations", "web", "default", {"observedGeneration": 1})
    assert store.get("kustomizations", "web", "default")["status"]["observedGeneration"] == 1
    store.delete("kustomizations", "web", "default")
    assert told(metrics, "rest_client_requests_total", code="201", method="POST") == 1
    assert told(metrics, "rest_client_requests_total", code="409", method="POST") == 1
    assert told(metrics, "rest_client_requests_total", code="200", method="PATCH") == 1
    assert told(metrics, "rest_client_requests_total") == 4


async def test_a_world_tells_what_its_programs_did(play: Play) -> None:
    async with play(SETTINGS, BROKEN) as world:
        control = Control(world)
        await control.start()
        try:
            async with aiohttp.ClientSession(control.url) as session:
                groups = await (await session.get("/controllers")).json()
                pods = {group["labels"].get("pod", "").partition("-5")[0]: group["labels"] for group in groups}
                assert set(pods) == {"kustomize-controller", "source-controller", "helm-controller", ""}
                assert {group["targets"][0] for group in groups} == {control.url.removeprefix("http://")}
                texts = {
                    name: await (await session.get(labels["__metrics_path__"])).text() for name, labels in pods.items()
                }
                assert (await session.get("/controllers/staging/no-such/metrics")).status == 404
        finally:
            await control.stop()
        attempts = {target.name.rpartition("/")[2]: len(target.attempts) for target in world.truth.targets}
        for name, count in attempts.items():
            reconciled = value(texts["kustomize-controller"], "gotk_reconcile_duration_seconds_count", name=name)
            # A wait for a dependency is a reconciliation, and no attempt.
            assert reconciled >= count
        assert value(texts["kustomize-controller"], "controller_runtime_reconcile_total", result="error") == 0
        assert value(texts["source-controller"], "controller_runtime_reconcile_total", controller="gitrepository") >= 3
        assert value(texts["source-controller"], "controller_runtime_reconcile_total", controller="bucket") == 0
        releases = world.clusters["staging"].server.store.list("helmreleases")
        for release in releases:
            assert value(texts["helm-controller"], "gotk_reconcile_duration_seconds_count", **_place(release)) >= 1
        memory = value(texts[""], "container_memory_working_set_bytes", container="manager")
        assert memory > 3 * 10_000_000


def _place(obj: dict[str, Any]) -> dict[str, str]:
    return {key: obj["metadata"][key] for key in ("name", "namespace")}
