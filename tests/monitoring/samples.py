"""What Flux's controllers, Fluxtrail and the kubelet of a cluster would serve, as text that grows at each scrape."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fluxtrail.model.figures import BUCKETS_SECONDS

RECONCILED = ("Kustomization", "HelmRelease", "GitRepository", "HelmRepository", "OCIRepository", "Bucket", "HelmChart")
_STAGES = ("exported", "fetched", "applied", "healthy", "running")
_TARGET = 'cluster="prod-eu",namespace="flux-system",name="apps",kind="Kustomization"'


def exposition(tick: int) -> str:
    return "\n".join([*_objects(), *_controllers(tick), *_deliveries(tick), *_itself(tick), ""])


def _objects() -> Iterator[str]:
    for kind in RECONCILED:
        for name, state in (("apps", 'ready="True"'), ("infra", 'ready="False"'), ("held", 'suspended="true"')):
            labels = f'customresource_kind="{kind}",exported_namespace="flux-system",name="{name}",{state}'
            yield f'gotk_resource_info{{{labels},customresource_version="v1",source_name="manifests",revision="1"}} 1'


def _controllers(tick: int) -> Iterator[str]:
    for program in ("kustomize-controller", "helm-controller", "source-controller"):
        pod = f'namespace="flux-system",pod="{program}-7d9c5b"'
        yield f"go_info{{{pod}}} 1"
        yield f"go_memstats_alloc_bytes{{{pod}}} 3e7"
        yield f"process_cpu_seconds_total{{{pod}}} {tick}"
        yield f"process_resident_memory_bytes{{{pod}}} 5e7"
        yield f'container_memory_working_set_bytes{{{pod},container="manager"}} 6e7'
        yield f'workqueue_longest_running_processor_seconds{{{pod},name="kustomization"}} 2'
        for code in (200, 500):
            yield f'rest_client_requests_total{{{pod},code="{code}"}} {3 * tick}'
    pod = 'namespace="flux-system",pod="kustomize-controller-7d9c5b"'
    for kind in RECONCILED:
        each = f'{pod},kind="{kind}",name="apps",exported_namespace="flux-system"'
        yield from _histogram("gotk_reconcile_duration_seconds", each, tick)
        yield from _histogram("controller_runtime_reconcile_time_seconds", f'{pod},controller="{kind.lower()}"', tick)
        for result in ("success", "error"):
            yield f'controller_runtime_reconcile_total{{{pod},controller="{kind.lower()}",result="{result}"}} {tick}'


def _deliveries(tick: int) -> Iterator[str]:
    for name in ("fluxtrail_lead_time_seconds", "fluxtrail_lead_time_running_seconds"):
        yield from _histogram(name, _TARGET, tick)
    for stage in _STAGES:
        yield from _histogram("fluxtrail_delivery_duration_seconds", f'{_TARGET},stage="{stage}"', tick)
        yield f'fluxtrail_moments_estimated_total{{stage="{stage}"}} {tick}'
    yield f'fluxtrail_moments_inverted_total{{since="merged",stage="fetched"}} {tick}'
    yield f"fluxtrail_commits_inflight{{{_TARGET}}} 2"
    yield f"fluxtrail_commits_oldest_age_seconds{{{_TARGET}}} 2400"
    yield f'fluxtrail_workloads_not_running{{{_TARGET},cause="image_pull"}} 1'
    yield 'fluxtrail_images{cluster="prod-eu",state="traced"} 12'


def _itself(tick: int) -> Iterator[str]:
    yield 'fluxtrail_build_info{version="1",python="3.11"} 1'
    yield f"process_cpu_seconds_total {tick}"
    yield "process_resident_memory_bytes 9e7"
    yield "process_open_fds 40"
    kind = 'cluster="prod-eu",kind="Kustomization"'
    yield f"fluxtrail_watch_last_byte_timestamp_seconds{{{kind}}} 1.7e9"
    for name in ("lists", "relists", "resumes", "events", "decode_errors", "oversized_lines", "failures"):
        yield f"fluxtrail_watch_{name}_total{{{kind}}} {tick}"
    for name in ("objects_unfollowed", "workloads_unjudged", "attribution_gaps"):
        yield f"fluxtrail_{name}_total {tick}"
    yield from _limits(tick)
    for transaction in ("unit", "other"):
        which = f'transaction="{transaction}"'
        yield f"fluxtrail_ledger_waiting{{{which}}} 1"
        yield f"fluxtrail_ledger_undone_total{{{which}}} {tick}"
        for name in ("wait", "transaction"):
            yield from _histogram(f"fluxtrail_ledger_{name}_seconds", which, tick)
    for part in ("data", "log"):
        yield f'fluxtrail_ledger_size_bytes{{part="{part}"}} 4e6'
    yield 'fluxtrail_ledger_rows{table="commits"} 1000'
    yield from _histogram("fluxtrail_event_lag_seconds", 'cluster="prod-eu"', tick)
    yield "fluxtrail_attribution_pending 1"
    yield "fluxtrail_image_bumps_waiting 1"
    yield 'fluxtrail_deployment_records{cluster="prod-eu",status="deployed",told="refused"} 3'
    for name in ("waiting", "oldest_age_seconds", "receiver_down", "dead"):
        yield f'fluxtrail_reports_{name}{{sink="route.chat"}} 1'
    for name in ("sent", "failed", "rejected"):
        yield f'fluxtrail_reports_{name}_total{{sink="route.chat"}} {tick}'
    yield f'fluxtrail_hooks_accepted_total{{hook="flux",signed="true"}} {tick}'
    yield f'fluxtrail_hooks_refused_total{{hook="flux",reason="signature"}} {tick}'
    for name in ("transactions", "failed_transactions", "repeated"):
        yield f"fluxtrail_hooks_{name}_total {tick}"
    yield "fluxtrail_hooks_queue 0"
    yield "fluxtrail_hooks_backlog 4"
    for name in ("ok", "soft_fail", "hard_fail", "client_error", "rate_limited"):
        yield f"deptracker_post_record_{name} {tick}"


def _limits(tick: int) -> Iterator[str]:
    which = 'credential="github.com/acme",resource="core"'
    yield f"fluxtrail_forge_requests_limit{{{which}}} 5000"
    yield f"fluxtrail_forge_requests_remaining{{{which}}} 400"
    yield f"fluxtrail_forge_limit_reset_timestamp_seconds{{{which}}} 4e9"
    yield f'fluxtrail_forge_limited_total{{credential="github.com/acme"}} {tick}'
    for name in ("used", "allowed"):
        yield f'fluxtrail_budget_{name}{{budget="statuses/github.com/acme",window="1h"}} 400'
    yield f'fluxtrail_budget_refused_total{{budget="statuses/github.com/acme"}} {tick}'


def _histogram(name: str, labels: str, tick: int) -> Iterator[str]:
    """Two observations a tick: one of 100 s, one of 1000 s."""
    for bound in BUCKETS_SECONDS:
        yield f'{name}_bucket{{{labels},le="{float(bound)}"}} {tick * ((bound >= 100) + (bound >= 1000))}'
    yield f'{name}_bucket{{{labels},le="+Inf"}} {2 * tick}'
    yield f"{name}_count{{{labels}}} {2 * tick}"
    yield f"{name}_sum{{{labels}}} {1100 * tick}"


@contextmanager
def served() -> Iterator[str]:
    """Serve it on loopback until the end, and yield `host:port`."""
    ticks = iter(range(1, 1_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(next(ticks)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
