"""*Fluxtrail itself*: whether it sees the clusters, keeps up, and gets rid of what it has to say.

What the ledger holds is the same in every process on it, so it is never added up over them.
"""

from __future__ import annotations

from fluxtrail.monitoring.changing import increase, quantiles, rate
from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.grafana import RED_ABOVE_ZERO, Query, Variable, dashboard, lines, stat, table
from fluxtrail.monitoring.itself_stores import ledger, limits

_IN = 'cluster=~"$cluster"'
_SILENCE = f"time() - max by (cluster, kind) (fluxtrail_watch_last_byte_timestamp_seconds{{{_IN}}})"
_AGES = ((None, "green"), (120, "orange"), (600, "red"))
_PROCESS = "* on (instance, job) group_left () max by (instance, job) (fluxtrail_build_info)"


def itself() -> Json:
    return dashboard(
        uid="fluxtrail-itself",
        title="Fluxtrail itself",
        help_text="Watching, the ledger, the outbox and its routes, forges' limits, hooks, and the process.",
        tags=("fluxtrail",),
        variables=(Variable("cluster", "Cluster", "fluxtrail_watch_lists_total", "cluster"),),
        rows=(
            ("", _now()),
            ("Watching", _watching()),
            ("Ledger", ledger()),
            ("Outbox and routes", _outbox()),
            ("Forges' limits, and our budgets", limits()),
            ("Hooks", _hooks()),
            ("Attribution and records", _attribution()),
            ("Process", _process()),
        ),
    )


def _now() -> tuple[tuple[int, int, Json], ...]:
    clusters = f"count(count by (cluster) (fluxtrail_watch_last_byte_timestamp_seconds{{{_IN}}}))"
    return (
        (4, 4, stat("Clusters", clusters)),
        (4, 4, stat("Longest silence", f"max({_SILENCE})", unit="s", steps=_AGES, no_value="-")),
        (4, 4, stat("Syncs to attribute", "max(fluxtrail_attribution_pending)")),
        (4, 4, stat("Reports waiting", "sum(max by (sink) (fluxtrail_reports_waiting))")),
        (4, 4, stat("Routes down", "sum(max by (sink) (fluxtrail_reports_receiver_down))", steps=RED_ABOVE_ZERO)),
        (4, 4, stat("Dead letters", "sum(max by (sink) (fluxtrail_reports_dead))", steps=RED_ABOVE_ZERO)),
    )


def _watching() -> tuple[tuple[int, int, Json], ...]:
    return (
        (
            8,
            8,
            lines(
                "Silence of API servers",
                Query(f"max by (cluster) ({_SILENCE})", "{{cluster}}"),
                unit="s",
                help_text="Of the stream that was silent longest. A quiet one has a bookmark a minute.",
            ),
        ),
        (8, 8, rate("Events", "fluxtrail_watch_events_total", "cluster", where=_IN, unit="ops")),
        (8, 8, quantiles("From an event to the ledger", "fluxtrail_event_lag_seconds", "cluster", where=_IN)),
        (
            12,
            8,
            lines(
                "Requests that failed, and lists again",
                increase("fluxtrail_watch_failures_total", "cluster, kind", "failed: ", where=_IN, least=0),
                increase("fluxtrail_watch_relists_total", "cluster, kind", "listed again: ", where=_IN, least=0),
                no_value="none",
            ),
        ),
        (
            12,
            8,
            lines(
                "Left out",
                increase("fluxtrail_watch_decode_errors_total", "", "objects that could not be read", where=_IN),
                increase("fluxtrail_watch_oversized_lines_total", "", "lines that were too long", where=_IN),
                increase("fluxtrail_objects_unfollowed_total", "", "objects not judged"),
                increase("fluxtrail_workloads_unjudged_total", "", "workloads not judged"),
            ),
        ),
    )


def _outbox() -> tuple[tuple[int, int, Json], ...]:
    return (
        (12, 8, lines("Waiting", Query("max by (sink) (fluxtrail_reports_waiting)", "{{sink}}"))),
        (
            12,
            8,
            lines(
                "Age of the oldest",
                Query("max by (sink) (fluxtrail_reports_oldest_age_seconds)", "{{sink}}"),
                unit="s",
                help_text="A commit that is not settled keeps its trace waiting.",
            ),
        ),
        (12, 8, rate("Sent", "fluxtrail_reports_sent_total", "sink", unit="ops")),
        (
            12,
            8,
            lines(
                "Failed or refused",
                increase("fluxtrail_reports_failed_total", "sink", "failed: "),
                increase("fluxtrail_reports_rejected_total", "sink", "rejected: "),
            ),
        ),
        (
            24,
            7,
            table(
                "Routes that are down, and dead letters",
                'label_replace(max by (sink) (fluxtrail_reports_receiver_down) > 0, "what", "down", "", "")'
                ' or label_replace(max by (sink) (fluxtrail_reports_dead) > 0, "what", "dead letters", "", "")',
                {"sink": "Sink", "what": "What", "Value": "Count"},
            ),
        ),
    )


def _hooks() -> tuple[tuple[int, int, Json], ...]:
    return (
        (12, 8, rate("Accepted", "fluxtrail_hooks_accepted_total", "hook", unit="ops")),
        (12, 8, lines("Refused", increase("fluxtrail_hooks_refused_total", "hook, reason"))),
        (
            12,
            8,
            lines(
                "Waiting",
                Query("sum(fluxtrail_hooks_queue)", "for their transaction"),
                Query("max(fluxtrail_hooks_backlog)", "to be dealt with"),
            ),
        ),
        (
            12,
            8,
            lines(
                "Transactions",
                increase("fluxtrail_hooks_transactions_total", "", "kept"),
                increase("fluxtrail_hooks_failed_transactions_total", "", "came to nothing"),
                increase("fluxtrail_hooks_repeated_total", "", "repeated notifications"),
            ),
        ),
    )


def _attribution() -> tuple[tuple[int, int, Json], ...]:
    return (
        (
            12,
            8,
            lines(
                "Attribution",
                Query("max(fluxtrail_attribution_pending)", "pending"),
                increase("fluxtrail_attribution_gaps_total", "", "gaps"),
                Query("max(fluxtrail_image_bumps_waiting)", "images to trace"),
            ),
        ),
        (
            12,
            8,
            lines(
                "Moments that do not count",
                increase("fluxtrail_moments_estimated_total", "stage", "estimated: "),
                increase("fluxtrail_moments_inverted_total", "since, stage", "inverted: "),
            ),
        ),
        (
            12,
            8,
            lines(
                "Deployment records, by what GitHub was told",
                Query(
                    f"sum by (told) (max by (cluster, status, told) (fluxtrail_deployment_records{{{_IN}}}))",
                    "{{told}}",
                ),
            ),
        ),
        (
            12,
            8,
            lines(
                "Requests to GitHub for records",
                increase("deptracker_post_record_ok", "", "taken"),
                increase("deptracker_post_record_soft_fail", "", "to be repeated"),
                increase("deptracker_post_record_hard_fail", "", "given up"),
                increase("deptracker_post_record_client_error", "", "refused"),
                increase("deptracker_post_record_rate_limited", "", "asked to wait"),
            ),
        ),
    )


def _process() -> tuple[tuple[int, int, Json], ...]:
    return (
        (8, 7, lines("CPU", Query(f"rate(process_cpu_seconds_total[5m]) {_PROCESS}", "{{instance}}"))),
        (
            8,
            7,
            lines("Memory", Query(f"process_resident_memory_bytes {_PROCESS}", "{{instance}}"), unit="bytes"),
        ),
        (8, 7, lines("Open files", Query(f"process_open_fds {_PROCESS}", "{{instance}}"))),
    )
