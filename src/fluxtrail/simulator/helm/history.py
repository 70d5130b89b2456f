"""`status.history` of a HelmRelease: Helm's releases as helm-controller 1.6 keeps them, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.helm.charts import Chart, digest_of

Snapshot = dict[str, Any]


def released(
    history: list[Snapshot], *, chart: Chart, config: str, action: str, status: str, at: datetime, release: Snapshot
) -> list[Snapshot]:
    """Return the history with one more release of Helm.

    A deployed one makes those before it superseded; only of the newest it is said which action made it.

    Args:
        release: its `name` and `namespace`.
    """
    number = max((item["version"] for item in history), default=0) + 1
    first = history[-1]["firstDeployed"] if history else wire_time(at)
    snapshot = {
        "action": action,
        "apiVersion": "v2",
        "appVersion": chart.app_version,
        "chartName": chart.name,
        "chartVersion": chart.version,
        "configDigest": config,
        "digest": digest_of([number, status, chart.version, config]),
        "firstDeployed": first,
        "lastDeployed": wire_time(at),
        "status": status,
        "version": number,
    } | release
    if chart.oci_digest:
        snapshot["ociDigest"] = chart.oci_digest
    return [snapshot, *(_older(item, is_over=status == "deployed") for item in history)]


def _older(snapshot: Snapshot, *, is_over: bool) -> Snapshot:
    older = {key: value for key, value in snapshot.items() if key != "action"} if is_over else dict(snapshot)
    if is_over and older["status"] == "deployed":
        older["status"] = "superseded"
    return older


def truncated(history: list[Snapshot]) -> list[Snapshot]:
    """Return what is kept once all is well: back to the last release before the newest that was deployed."""
    for index, item in enumerate(history[1:], start=1):
        if item["status"] in ("deployed", "superseded"):
            return history[: index + 1]
    return history
