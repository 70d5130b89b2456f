"""What the hooks listener counts, for `/metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from fluxtrail.model.notices import Hook
from fluxtrail.web.hooks.answers import Reason
from fluxtrail.web.hooks.intake import Intake
from fluxtrail.web.measures import Kind, Measure, counter, gauge

NO_HOOK = "none"
"""The label of requests to other paths."""


class Numbers:
    """Of this process since it started. Satisfies `MetricSource`."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.accepted: Counter[tuple[str, str]] = Counter()
        """By (hook, whether somebody's secret signed it)."""
        self.refused: Counter[tuple[str, str]] = Counter()
        """By (hook, reason)."""
        self.ignored: Counter[str] = Counter()
        """Read, and of no use to us: by hook."""
        self.bytes: Counter[str] = Counter()

    def accept(self, hook: Hook, *, is_signed: bool) -> None:
        self.accepted[hook.value, "true" if is_signed else "false"] += 1

    def refuse(self, hook: Hook | None, reason: Reason) -> None:
        self.refused[hook.value if hook is not None else NO_HOOK, reason.value] += 1

    def measures(self) -> Iterable[Measure]:
        intake = self._intake.numbers
        yield _counted(
            "fluxtrail_hooks_accepted",
            "Notices that are in the ledger, and answered so; those that came again too.",
            ("hook", "signed"),
            self.accepted.items(),
        )
        yield _counted(
            "fluxtrail_hooks_refused",
            "Requests that nothing was kept of, by why.",
            ("hook", "reason"),
            self.refused.items(),
        )
        yield _counted(
            "fluxtrail_hooks_ignored",
            "Notices that were taken and tell nothing we have a use for.",
            ("hook",),
            [((hook,), number) for hook, number in self.ignored.items()],
        )
        yield _counted(
            "fluxtrail_hooks_received_bytes",
            "Bytes of bodies that were read whole.",
            ("hook",),
            [((hook,), number) for hook, number in self.bytes.items()],
        )
        yield counter(
            "fluxtrail_hooks_repeated", "Notices that were in the ledger already, by their key.", intake.repeated
        )
        yield counter("fluxtrail_hooks_transactions", "Transactions that kept notices.", intake.transactions)
        yield counter("fluxtrail_hooks_failed_transactions", "Transactions that came to nothing.", intake.failed)
        yield gauge("fluxtrail_hooks_queue", "Requests that wait for their transaction.", self._intake.waiting)
        yield gauge(
            "fluxtrail_hooks_backlog",
            "Notices in the ledger that wait to be dealt with, as last counted.",
            intake.backlog,
        )


def _counted(name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], int]]) -> Measure:
    told = [(key, float(value)) for key, value in sorted(values)]
    return Measure(name=name, help=text, kind=Kind.COUNTER, labels=labels, values=told)
