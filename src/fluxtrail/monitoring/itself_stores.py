"""Of *Fluxtrail itself*: what it writes to the ledger, and what it may still ask and say outside."""

from __future__ import annotations

from fluxtrail.monitoring.changing import increase, quantiles, rate
from fluxtrail.monitoring.documents import Json
from fluxtrail.monitoring.grafana import Query, lines, table


def limits() -> tuple[tuple[int, int, Json], ...]:
    each = "by (credential, resource)"
    left = f"min {each} (fluxtrail_forge_requests_remaining / fluxtrail_forge_requests_limit)"
    reset = f"max {each} (fluxtrail_forge_limit_reset_timestamp_seconds)"
    return (
        (
            12,
            8,
            lines(
                "Left of forges' limits",
                Query(left, "{{credential}} {{resource}}"),
                unit="percentunit",
                help_text="By the newest answer of the process that knows least left. Below a tenth is an alert.",
            ),
        ),
        (
            12,
            8,
            lines(
                "Used of our own budgets",
                Query(
                    "max by (budget, window) (fluxtrail_budget_used / fluxtrail_budget_allowed)",
                    "{{budget}} in {{window}}",
                ),
                unit="percentunit",
                help_text="Over all processes. What is not final may use 60 % of each.",
            ),
        ),
        (
            12,
            8,
            lines(
                "Asked to wait",
                increase("fluxtrail_forge_limited_total", "credential", "by "),
                increase("fluxtrail_budget_refused_total", "budget", "by our own budget "),
            ),
        ),
        (
            12,
            8,
            table(
                "Until all is there again",
                f"clamp_min({reset} - time(), 0)",
                {"credential": "Credential", "resource": "Limit", "Value": "In"},
                unit="s",
            ),
        ),
    )


def ledger() -> tuple[tuple[int, int, Json], ...]:
    return (
        (
            8,
            8,
            lines(
                "Size", Query("max by (part) (fluxtrail_ledger_size_bytes)", "{{part}}"), unit="bytes", is_stacked=True
            ),
        ),
        (8, 8, lines("Rows", Query("max by (table) (fluxtrail_ledger_rows)", "{{table}}"))),
        (8, 8, rate("Transactions", "fluxtrail_ledger_transaction_seconds_count", "transaction", unit="ops")),
        (8, 8, quantiles("Time of a transaction", "fluxtrail_ledger_transaction_seconds", "transaction")),
        (8, 8, quantiles("Wait for the turn", "fluxtrail_ledger_wait_seconds", "transaction")),
        (
            8,
            8,
            lines(
                "Waiting and undone",
                Query("sum by (transaction) (fluxtrail_ledger_waiting)", "waiting: {{transaction}}"),
                increase("fluxtrail_ledger_undone_total", "transaction", "undone: "),
            ),
        ),
    )
