"""*Flux Control Plane*: how Flux's controllers themselves are, with the panels of the official dashboard of that name.

Source: fluxcd/flux2-monitoring-example monitoring/configs/dashboards/control-plane.json
"""

from __future__ import annotations

from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.grafana import Query, Variable, dashboard, lines, stat

_IN = 'cluster=~"$cluster",namespace=~"$namespace"'
_PODS = f'{_IN},pod=~".*-controller-.*"'
_WORKING_SET = f'container_memory_working_set_bytes{{{_PODS},container!="POD",container!=""}}'

_RESIDENT = f"sum by (pod) (process_resident_memory_bytes{{{_PODS}}})"


def control_plane() -> Json:
    return dashboard(
        uid="flux-control-plane",
        title="Flux Control Plane",
        help_text="Flux's controllers: their work, their use of the API server, of memory and of CPU.",
        tags=("flux",),
        variables=(
            Variable("cluster", "Cluster", "gotk_reconcile_duration_seconds_count", "cluster"),
            Variable("namespace", "Flux's namespace", "gotk_reconcile_duration_seconds_count", "namespace"),
        ),
        rows=(
            (
                "",
                (
                    (6, 5, stat("Controllers", f"sum(go_info{{{_PODS}}})")),
                    (
                        6,
                        5,
                        stat(
                            "Max Work Queue",
                            f"max(workqueue_longest_running_processor_seconds{{{_PODS}}})",
                            unit="s",
                            help_text="How long the longest reconciliation has been running.",
                        ),
                    ),
                    (6, 5, stat("Memory", f"sum(go_memstats_alloc_bytes{{{_PODS}}})", unit="bytes")),
                    (6, 5, stat("API Requests", f"sum(rate(rest_client_requests_total{{{_PODS}}}[5m]))", unit="reqps")),
                    (24, 8, _requests()),
                ),
            ),
            (
                "Resource Usage",
                (
                    (
                        12,
                        9,
                        lines(
                            "CPU Usage",
                            Query(f"sum by (pod) (rate(process_cpu_seconds_total{{{_PODS}}}[5m]))", "{{pod}}"),
                            help_text="Cores.",
                        ),
                    ),
                    (
                        12,
                        9,
                        lines(
                            "Memory Usage",
                            Query(
                                f"sum by (pod) ({_WORKING_SET}) or {_RESIDENT}",
                                "{{pod}}",
                            ),
                            unit="bytes",
                            help_text="The pod's working set; without the kubelet's metrics, the process's own.",
                        ),
                    ),
                ),
            ),
            (
                "Reconciliation Stats",
                (
                    (24, 8, _longest()),
                    (24, 8, _operations("Cluster Reconciliations ops/min", "kustomization", "reconciliations")),
                ),
            ),
            (
                "Sources Stats",
                (
                    (12, 8, _operations("Git Repos ops/min", "gitrepository", "git pulls")),
                    (12, 8, _operations("OCI Repos ops/min", "ocirepository", "oci pulls")),
                    (12, 8, _operations("Helm Repos ops/min", "helmrepository", "helm pulls")),
                    (12, 8, _operations("Buckets ops/min", "bucket", "bucket pulls")),
                ),
            ),
            (
                "Helm Stats",
                (
                    (24, 8, _helm_durations()),
                    (12, 8, _operations("Helm Releases ops/min", "helmrelease", "reconciliations")),
                    (12, 8, _operations("Helm Charts ops/min", "helmchart", "chart pulls")),
                ),
            ),
        ),
        span="now-15m",
    )


def _requests() -> Json:
    return lines(
        "Kubernetes API Requests",
        Query(f"sum(rate(rest_client_requests_total{{{_IN}}}[5m]))", "total"),
        Query(f'sum(rate(rest_client_requests_total{{{_IN},code!~"2.."}}[5m]))', "errors"),
        unit="reqps",
    )


def _longest() -> Json:
    busy = f'workqueue_longest_running_processor_seconds{{{_IN},name="kustomization"}}'
    return lines("Cluster Reconciliation Duration", Query(f"max by (pod) ({busy})", "{{pod}}"), unit="s")


def _operations(title: str, controller: str, noun: str) -> Json:
    """Return a panel of operations a minute; over five of them, so that a scrape a minute is enough to see them."""

    def rate(condition: str) -> str:
        where = f'{_IN},controller="{controller}",{condition}'
        return f"60 * sum(rate(controller_runtime_reconcile_total{{{where}}}[5m]))"

    return lines(
        title,
        Query(rate('result!="error"'), f"successful {noun}"),
        Query(rate('result="error"'), f"failed {noun}"),
        unit="opm",
    )


def _helm_durations() -> Json:
    buckets = f'controller_runtime_reconcile_time_seconds_bucket{{{_IN},controller="helmrelease"}}'
    return lines(
        "Helm Release Duration",
        *(
            Query(f"histogram_quantile({share:.2f}, sum by (le) (rate({buckets}[5m])))", f"P{share:.0%}".rstrip("%"))
            for share in (0.5, 0.9, 0.99)
        ),
        unit="s",
    )
