"""What Flux tells of itself, as it looks after a scrape, and the panels that both of its dashboards share.

`gotk_resource_info` is the state of each Flux object, by Fluxtrail or by kube-state-metrics; everything else is served
by Flux's controllers. A scrape gives those the pod's `namespace`, and the object's becomes `exported_namespace`.
"""

from __future__ import annotations

RECONCILERS = ("Kustomization", "HelmRelease")
SOURCES = ("GitRepository", "HelmRepository", "Bucket", "OCIRepository")
RECONCILER_KINDS = "|".join(RECONCILERS)
SOURCE_KINDS = "|".join(SOURCES)

CONTROLLER_OF = {
    "Kustomization": "kustomize-controller",
    "HelmRelease": "helm-controller",
    "GitRepository": "source-controller",
    "OCIRepository": "source-controller",
    "Bucket": "source-controller",
}
"""Kinds that are reconciled again at their interval, with the program that does it. A HelmRepository of the type `oci`
is never reconciled, so that kind says nothing about its controller."""

CONTROLLER_METRICS = (
    "gotk_reconcile_duration_seconds",
    "controller_runtime_reconcile_total",
    "controller_runtime_reconcile_time_seconds",
    "workqueue_depth",
    "workqueue_longest_running_processor_seconds",
    "rest_client_requests_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "go_info",
    "go_memstats_alloc_bytes",
    "container_memory_working_set_bytes",
)
"""Of Flux's controllers, of their runtime or of the kubelet: any other metric in a query is served by Fluxtrail."""
