"""What the messages of a Kustomization's events say of its apply and of the health checks after it. Pure.

kustomize-controller posts, as far as each came about: the objects that the apply changed, one a line; `Health check
passed in <duration>` (only where it was not healthy before, or a new revision changed something); and `Reconciliation
finished in <duration>, next run in <interval>`. A failed check says how long it lasted too.

Events have whole seconds, cut towards the past, and durations have all their digits. So what began <duration> before an
event began within one second from `event - duration` on; in there is one whole second, and that is what is said. It is
never before the second of what came before it: nothing is put in the wrong order by it.

Source: kustomize-controller internal/controller/kustomization_controller.go (apply, checkHealth, Reconcile).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_DURATION = rf"(?P<duration>(?:{_NUMBER}(?:h|ms|m|s|us|µs|μs|ns)){{1,4}})"
_PART = re.compile(rf"({_NUMBER})([a-zµμ]+)")
_CHECKED = re.compile(rf"health check (?:passed in|failed after) {_DURATION}(?![0-9a-z.])", re.IGNORECASE)
_FINISHED = re.compile(rf"Reconciliation finished in {_DURATION}(?![0-9a-z.])")
_CHANGED = re.compile(r"^[^\s/]{1,253}/\S{1,507} (?:created|configured)$", re.MULTILINE)


def find_checks_began(message: str, at: datetime) -> datetime | None:
    """Return when the health checks began whose end an event of this time tells; None where it tells of none.

    They begin once everything is applied.
    """
    seconds = _seconds(_CHECKED.match(message))
    return at - timedelta(seconds=int(seconds)) if seconds is not None else None


def find_run_began(message: str, at: datetime) -> datetime | None:
    """Return the earliest instant at which the run may have begun whose good end an event of this time tells."""
    seconds = _seconds(_FINISHED.match(message))
    return at - timedelta(seconds=seconds) if seconds is not None else None


def tells_of_changes(message: str) -> bool:
    """True if it lists what an apply has changed: it is posted right after it, and before the checks."""
    return _CHANGED.search(message) is not None


def _seconds(match: re.Match[str] | None) -> float | None:
    """Read Go's notation: `1m30.5s`, `46.145855ms`. More than a day is no check's."""
    if match is None:
        return None
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(match["duration"]))
    return total if total <= 86_400 else None
