"""Alerts over deliveries, and over Fluxtrail itself."""

from __future__ import annotations

from fluxtrail.monitoring.rules import Alert, Group

_TARGET = "cluster, namespace, name, kind"
_NAMED = "{{ $labels.kind }}/{{ $labels.namespace }}/{{ $labels.name }} on {{ $labels.cluster }}"
_TRACES = 'sink!~"(otlp|stdout)[.]traces"'
"""A commit that is not settled keeps its trace's root waiting: the age of those says nothing."""


def delivery_rules() -> Group:
    return Group(
        "fluxtrail-deliveries",
        (
            Alert(
                name="ChangeStuckInStage",
                expr=f"max by ({_TARGET}) (fluxtrail_commits_oldest_age_seconds) > 1800",
                lasts="5m",
                severity="warning",
                summary=f"A commit does not arrive at {_NAMED}",
                description="The oldest one has been pending for {{ $value | humanizeDuration }}; nobody holds it.",
            ),
            Alert(
                name="AppliedNotRunning",
                expr=f'sum by ({_TARGET}, cause) (fluxtrail_workloads_not_running{{cause!="progressing"}}) > 0',
                lasts="15m",
                severity="warning",
                summary=f"What was applied by {_NAMED} does not run",
                description="{{ $value }} workloads do not run it: {{ $labels.cause }}.",
            ),
            Alert(
                name="CommitsUnknown",
                expr="sum(increase(fluxtrail_attribution_gaps_total[1h])) > 0",
                lasts="0m",
                severity="warning",
                summary="The commits of a sync could not be found out",
                description="{{ $value | humanize }} syncs of the last hour have no commits, and will have none.",
            ),
        ),
    )


def itself_rules() -> Group:
    return Group("fluxtrail-itself", (*_sight(), *_reports(), *_limits(), *_hooks()))


def _sight() -> tuple[Alert, ...]:
    return (
        Alert(
            name="FluxtrailAbsent",
            expr="absent(fluxtrail_build_info)",
            lasts="10m",
            severity="critical",
            summary="Fluxtrail is not there",
            description="No Fluxtrail has been scraped for 10 minutes. No other alert of it can fire.",
        ),
        Alert(
            name="ClusterDark",
            expr="time() - max by (cluster) (fluxtrail_watch_last_byte_timestamp_seconds) > 600",
            lasts="5m",
            severity="critical",
            summary="Fluxtrail does not see {{ $labels.cluster }}",
            description="Its API server was last heard of {{ $value | humanizeDuration }} ago.",
        ),
    )


def _reports() -> tuple[Alert, ...]:
    return (
        Alert(
            name="OutboxBacklog",
            expr=f"max by (sink) (fluxtrail_reports_oldest_age_seconds{{{_TRACES}}}) > 900",
            lasts="5m",
            severity="warning",
            summary="Reports to {{ $labels.sink }} are late",
            description="The oldest one has been waiting for {{ $value | humanizeDuration }}.",
        ),
        Alert(
            name="RouteDown",
            expr="max by (sink) (fluxtrail_reports_receiver_down) == 1",
            lasts="10m",
            severity="warning",
            summary="{{ $labels.sink }} takes nothing",
            description="Its receiver cannot be reached, or refuses everything; reports wait in the outbox.",
        ),
        Alert(
            name="DeadLetters",
            expr="max by (sink) (fluxtrail_reports_dead) > 0",
            lasts="5m",
            severity="warning",
            summary="Reports to {{ $labels.sink }} were given up",
            description="{{ $value }} of them lie in the outbox with the receiver's answer.",
        ),
        Alert(
            name="RecordUploadFailing",
            expr="label_replace(sum(increase(deptracker_post_record_hard_fail[1h])"
            ' + increase(deptracker_post_record_client_error[1h])) > 0, "what", "requests failed", "", "")\n'
            'or label_replace(sum(max by (cluster, status) (fluxtrail_deployment_records{told="refused"})) > 0,'
            ' "what", "records are refused", "", "")',
            lasts="10m",
            severity="warning",
            summary="GitHub does not take deployment records",
            description="{{ $value | humanize }} {{ $labels.what }}.",
        ),
    )


def _limits() -> tuple[Alert, ...]:
    return (
        Alert(
            name="SCMRateLimitLow",
            expr="min by (credential, resource)"
            " (fluxtrail_forge_requests_remaining / fluxtrail_forge_requests_limit) < 0.1",
            lasts="5m",
            severity="warning",
            summary="The limit of {{ $labels.credential }} is nearly used up",
            description="{{ $value | humanizePercentage }} of it is left ({{ $labels.resource }}) until it is reset.",
        ),
        Alert(
            name="SCMRateLimited",
            expr="sum by (credential) (increase(fluxtrail_forge_limited_total[15m])) > 3",
            lasts="10m",
            severity="warning",
            summary="The forge of {{ $labels.credential }} asks to wait",
            description="{{ $value | humanize }} answers of the last 15 minutes said so: what is told there is late.",
        ),
    )


def _hooks() -> tuple[Alert, ...]:
    return (
        Alert(
            name="HooksNotKept",
            expr="sum(increase(fluxtrail_hooks_failed_transactions_total[15m])) > 0",
            lasts="5m",
            severity="warning",
            summary="Notifications cannot be kept",
            description="Their senders were told to come again. Flux does so a few times only.",
        ),
        Alert(
            name="HooksBacklog",
            expr="max(fluxtrail_hooks_backlog) > 1000",
            lasts="15m",
            severity="warning",
            summary="Notifications are not dealt with",
            description="{{ $value }} of them wait in the ledger.",
        ),
    )
