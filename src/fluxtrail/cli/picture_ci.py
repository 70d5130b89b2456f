"""What came before the deliveries, in words: the runs that built or exported a commit, and its pull request. Pure.

build #812 succeeded in 3m44s · https://github.com/acme/shop/actions/runs/7
pull request #12 by ada · approved by grace · merged by grace
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from fluxtrail.cli.words import age, printable
from fluxtrail.model.ci import CiRole, CiRun, CiState, PullRequest, last_builds
from fluxtrail.model.durations import duration
from fluxtrail.model.views import TrailView

SHOWN = 3
_STYLES = {CiState.FAILED: "failed", CiState.CANCELLED: "warn", CiState.UNKNOWN: "warn"}
_SAID = {"approved": "approved", "changes_requested": "changes requested"}


class CiLine(NamedTuple):
    parts: tuple[str, ...]
    style: str


def ci_lines(trail: TrailView, *, now: datetime, is_wide: bool) -> Iterator[CiLine]:
    """Say how the last run of each pipeline stands, of all runs where it is wide, and who let the commit in."""
    if trail.pull_request is not None:
        yield CiLine(_pull_request(trail.pull_request), "dim")
    runs = trail.ci_runs if is_wide else _telling(trail.ci_runs)
    shown = runs if is_wide else runs[-SHOWN:]
    for run in shown:
        yield CiLine(_run(run, now), _STYLES.get(run.state, "dim"))
    if len(shown) < len(runs):
        yield CiLine((f"and {len(runs) - len(shown)} more pipelines",), "dim")


def _telling(runs: Sequence[CiRun]) -> list[CiRun]:
    """Return the last build of each pipeline, but for those with nothing to do, and the exports."""
    builds = [run for run in last_builds(runs) if run.state is not CiState.SKIPPED]
    exports = {run.pipeline: run for run in runs if run.role is CiRole.EXPORT}
    return [*builds, *exports.values()]


def _run(run: CiRun, now: datetime) -> tuple[str, ...]:
    begun, ended, took = run.started_at or run.queued_at, run.finished_at, ""
    if begun is not None and run.state.is_final:
        took = f" in {duration(max((ended - begun).total_seconds(), 0.0))}" if ended is not None else ""
    elif begun is not None:
        took = f" for {age(begun, now)}"
    name = " ".join(filter(None, (printable(run.pipeline) or "pipeline", printable(run.number))))
    attempt = f", attempt {run.attempt}" if run.attempt > 1 else ""
    said = f"{run.role.value}: {name}{attempt} {run.state.value}{took}"
    return tuple(filter(None, (said, printable(run.url))))


def _pull_request(pull: PullRequest) -> tuple[str, ...]:
    parts = [f"pull request #{pull.number}" + (f" by {printable(pull.author)}" if pull.author else "")]
    for state, words in _SAID.items():
        names = [printable(item.by) for item in pull.approvals if item.state == state]
        if names:
            parts.append(f"{words} by {', '.join(names)}")
    if pull.merged_by:
        parts.append(f"merged by {printable(pull.merged_by)}")
    elif pull.state != "merged":
        parts.append(printable(pull.state))
    return tuple(parts)
