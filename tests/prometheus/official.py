"""The queries of Flux's two official dashboards, which people have in their Grafana already.

Source: fluxcd/flux2-monitoring-example, monitoring/configs/dashboards (cluster.json, control-plane.json), 2026.
"""

from __future__ import annotations

import re

_RECONCILERS = 'customresource_kind=~"Kustomization|HelmRelease"'
_SOURCES = 'customresource_kind=~"GitRepository|HelmRepository|Bucket|OCIRepository"'
_CHOSEN = 'exported_namespace=~"$namespace"'
_PODS = 'namespace="$namespace",pod=~".*-controller-.*"'


def _durations(kinds: str, by: str) -> str:
    chosen = f'namespace=~"$operator_namespace",{_CHOSEN},kind=~"{kinds}"'
    parts = [f"sum(rate(gotk_reconcile_duration_seconds_{end}{{{chosen}}}[5m])) by ({by})" for end in ("sum", "count")]
    return f"{parts[0]}\n/\n  {parts[1]}"


def _ended(controller: str, how: str, by: str = "") -> str:
    chosen = f'controller="{controller}",{how}"error"'
    return f"sum(increase(controller_runtime_reconcile_total{{{chosen}}}[1m])){by}"


def _quantile(share: str) -> str:
    chosen = 'controller="helmrelease"'
    times = f"rate(controller_runtime_reconcile_time_seconds_bucket{{{chosen}}}[5m])"
    return f"histogram_quantile({share}, sum({times}) by (le))"


CLUSTER = {
    "Cluster Reconcilers/A": f"count(gotk_resource_info{{{_CHOSEN}, {_RECONCILERS}}})",
    "Failing Reconcilers/A": f'count(gotk_resource_info{{{_CHOSEN}, {_RECONCILERS}, ready="False"}})',
    "Kubernetes Manifests Sources/A": f"count(gotk_resource_info{{{_CHOSEN}, {_SOURCES}}})",
    "Failing Sources/A": f'count(gotk_resource_info{{{_CHOSEN}, {_SOURCES}, ready="False"}})',
    "Reconciler ops avg. duration/A": _durations("Kustomization|HelmRelease", "kind"),
    "Source ops avg. duration/A": _durations("GitRepository|HelmRepository|Bucket|OCIRepository", "kind"),
    "Cluster reconciliation readiness/A": f"gotk_resource_info{{{_CHOSEN}, {_RECONCILERS}}}",
    "Source acquisition readiness/A": f"gotk_resource_info{{{_CHOSEN}, {_SOURCES}}}",
    "Suspended Objects/A": f'gotk_resource_info{{{_CHOSEN}, suspended="true"}}',
    "Cluster reconciliation duration/B": _durations("Kustomization|HelmRelease", "kind, name"),
    "Source acquisition duration/B": _durations("GitRepository|HelmRepository|Bucket|OCIRepository", "kind, name"),
}
CONTROL_PLANE = {
    "Controllers/A": f"sum(go_info{{{_PODS}}})",
    "Max Work Queue/B": f"max(workqueue_longest_running_processor_seconds{{{_PODS}}})",
    "Memory/A": f"sum(go_memstats_alloc_bytes{{{_PODS}}})",
    "API Requests/A": f"sum(rate(rest_client_requests_total{{{_PODS}}}[1m]))",
    "Kubernetes API Requests/A": 'sum(rate(rest_client_requests_total{namespace="$namespace"}[1m]))',
    "Kubernetes API Requests/B": 'sum(rate(rest_client_requests_total{namespace="$namespace",code!~"2.."}[1m]))',
    "CPU Usage/A": f"rate(process_cpu_seconds_total{{{_PODS}}}[1m])",
    "Memory Usage/A": 'sum(container_memory_working_set_bytes{namespace="$namespace",container!="POD",container!="",'
    'pod=~".*-controller-.*"}) by (pod)',
    "Cluster Reconciliation Duration/B": 'workqueue_longest_running_processor_seconds{name="kustomization"}',
    "Cluster Reconciliations ops/min/A": _ended("kustomization", "result!=", " by (controller)"),
    "Cluster Reconciliations ops/min/B": _ended("kustomization", "result=", " by (controller)"),
    "Git Repos ops/min/A": _ended("gitrepository", "result!="),
    "Git Repos ops/min/B": _ended("gitrepository", "result="),
    "OCI Repos ops/min/A": _ended("ocirepository", "result!="),
    "OCI Repos ops/min/B": _ended("ocirepository", "result="),
    "Helm Repos ops/min/A": _ended("helmrepository", "result!="),
    "Helm Repos ops/min/B": _ended("helmrepository", "result="),
    "Buckets ops/min/A": _ended("bucket", "result!="),
    "Buckets ops/min/B": _ended("bucket", "result="),
    "Helm Release Duration/A": _quantile("0.50"),
    "Helm Release Duration/B": _quantile("0.90"),
    "Helm Release Duration/C": _quantile("0.99"),
    "Helm Releases ops/min/A": _ended("helmrelease", "result!=", " by (controller)"),
    "Helm Releases ops/min/B": _ended("helmrelease", "result=", " by (controller)"),
    "Helm Charts ops/min/A": _ended("helmchart", "result!=", " by (controller)"),
    "Helm Charts ops/min/B": _ended("helmchart", "result=", " by (controller)"),
}


def filled(query: str, **variables: list[str]) -> str:
    """Return a query as Grafana sends it: one chosen value as it is, several (or All) as alternatives."""
    for name, values in variables.items():
        text = values[0] if len(values) == 1 else f"({'|'.join(re.escape(value) for value in values)})"
        # A backslash of the expression stands in PromQL's text, which has backslashes of its own.
        query = query.replace(f"${name}", text.replace("\\", r"\\"))
    return query
