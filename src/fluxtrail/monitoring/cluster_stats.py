"""*Flux Cluster Stats*: the state of Flux's objects, with the panels of the official dashboard of that name.

An object counts as failing only where it says `ready="False"`: one that is never reconciled, as a HelmRepository of the
type `oci`, says nothing, and is shown as ready.

Source: fluxcd/flux2-monitoring-example monitoring/configs/dashboards/cluster.json
"""

from __future__ import annotations

from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.flux import RECONCILER_KINDS, SOURCE_KINDS
from fluxtrail.monitoring.grafana import RED_ABOVE_ZERO, Query, Variable, bars, dashboard, lines, stat, table

_IN = 'cluster=~"$cluster",exported_namespace=~"$namespace"'
_READINESS = {
    "True": ("Ready", "blue"),
    "False": ("Not Ready", "red"),
    "Unknown": ("In Progress", "orange"),
    "": ("Ready", "blue"),
}
_SUSPENDED = {"true": ("Suspended", "orange"), "": ("-", "transparent")}
_COLUMNS = {
    "cluster": "Cluster",
    "exported_namespace": "Namespace",
    "customresource_kind": "Kind",
    "name": "Name",
    "ready": "Status",
}


def cluster_stats() -> Json:
    return dashboard(
        uid="flux-cluster",
        title="Flux Cluster Stats",
        help_text="Readiness of Flux's objects, and how long reconciling them takes.",
        tags=("flux",),
        variables=(
            Variable("cluster", "Cluster", "gotk_resource_info", "cluster"),
            Variable("operator_namespace", "Flux's namespace", "gotk_reconcile_duration_seconds_sum", "namespace"),
            Variable("namespace", "Namespace", "gotk_resource_info", "exported_namespace"),
        ),
        rows=(
            (
                "",
                (
                    (6, 5, stat("Cluster Reconcilers", _count(RECONCILER_KINDS))),
                    (6, 5, stat("Failing Reconcilers", _count(RECONCILER_KINDS, _FAILING), steps=RED_ABOVE_ZERO)),
                    (6, 5, stat("Kubernetes Manifests Sources", _count(SOURCE_KINDS))),
                    (6, 5, stat("Failing Sources", _count(SOURCE_KINDS, _FAILING), steps=RED_ABOVE_ZERO)),
                    (12, 4, bars("Reconciler ops avg. duration", _average(RECONCILER_KINDS, "kind"), unit="s")),
                    (12, 4, bars("Source ops avg. duration", _average(SOURCE_KINDS, "kind"), unit="s")),
                ),
            ),
            (
                "Status",
                (
                    (12, 11, _objects("Cluster reconciliation readiness", RECONCILER_KINDS, revision="Revision")),
                    (12, 11, _objects("Source acquisition readiness", SOURCE_KINDS, revision="Revision", url="URL")),
                    (
                        24,
                        8,
                        table("Suspended Objects", f'gotk_resource_info{{{_IN},suspended="true"}}', _COLUMNS, texts=_T),
                    ),
                ),
            ),
            (
                "Timing",
                (
                    (24, 8, lines("Cluster reconciliation duration", _average(RECONCILER_KINDS, _EACH), unit="s")),
                    (24, 8, lines("Source acquisition duration", _average(SOURCE_KINDS, _EACH), unit="s")),
                ),
            ),
        ),
    )


_FAILING = ',ready="False"'
_EACH = "kind, name"
_T = {"Status": _READINESS, "Suspended": _SUSPENDED}


def _count(kinds: str, more: str = "") -> str:
    return f'count(gotk_resource_info{{{_IN},customresource_kind=~"{kinds}"{more}}})'


def _objects(title: str, kinds: str, **more: str) -> Json:
    expr = f'gotk_resource_info{{{_IN},customresource_kind=~"{kinds}"}}'
    return table(title, expr, {**_COLUMNS, "suspended": "Suspended", **more}, texts=_T)


def _average(kinds: str, by: str) -> Query:
    where = f'cluster=~"$cluster",namespace=~"$operator_namespace",exported_namespace=~"$namespace",kind=~"{kinds}"'
    total, count = (
        f"sum by ({by}) (rate(gotk_reconcile_duration_seconds_{part}{{{where}}}[5m]))" for part in ("sum", "count")
    )
    # What was not reconciled in that time is 0 / 0, and has no duration.
    return Query(f"{total} / {count} >= 0", "/".join(f"{{{{{label}}}}}" for label in by.split(", ")))
