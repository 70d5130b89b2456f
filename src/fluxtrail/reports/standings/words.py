"""A standing in words: what templates are filled in with, and the sentence that stands there without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from fluxtrail.model.durations import duration
from fluxtrail.model.redaction import redact
from fluxtrail.model.standing import Standing
from fluxtrail.model.status import StatusState
from fluxtrail.model.verdict import Verdict
from fluxtrail.model.views import DeliveryView
from fluxtrail.reports.standings.example import EXAMPLE

SHORT = 8
MESSAGE_BYTES = 300
DEFAULT_DESCRIPTION = "{{ summary }}"
_BY_THEMSELVES = {Verdict.LOST.value: "no longer on its branch", Verdict.ABANDONED.value: "its target is gone"}


def values_of(standing: Standing, *, public_url: str) -> dict[str, Any]:
    """Return everything that a template may use. Texts are empty, and numbers None, where there is nothing to say.

    Args:
        public_url: where people reach our pages; empty where they cannot.
    """
    commit, speaker = standing.commit, standing.speaker
    return {
        "commit": {
            "sha": commit.sha,
            "short_sha": commit.sha[:SHORT],
            "subject": commit.subject,
            "author": commit.author,
            "repository": commit.repository,
            "branch": standing.branch,
            "pull_request": commit.pull_request,
            "url": commit.web_url or "",
        },
        "environment": standing.environment,
        "state": standing.state.value,
        "summary": summary(standing),
        "verdict": standing.verdict,
        "reason": _reason(standing),
        "message": _message(standing),
        "stage": standing.stage,
        "cluster": speaker.cluster if speaker else "",
        "target": speaker.target if speaker else "",
        "clusters": standing.clusters,
        "done": standing.done,
        "total": len(standing.deliveries),
        "lead": duration(standing.lead_seconds) if standing.lead_seconds is not None else "",
        "url": link(public_url, commit.sha),
    }


def link(public_url: str, sha: str) -> str:
    """Return where people read a commit's trail; empty where our pages cannot be reached."""
    return f"{public_url.rstrip('/')}/commits/{sha}" if public_url else ""


def summary(standing: Standing) -> str:
    """Return the sentence that says it all: the stage, the slowest cluster, what is wrong."""
    speaker = standing.speaker
    if speaker is not None and standing.is_retired:
        return f"not delivered: cluster {speaker.cluster} is retired"
    if speaker is None or standing.state is StatusState.NEUTRAL:
        return "nothing to deliver here"
    match standing.state:
        case StatusState.SUCCESS:
            done = "running" if standing.stage == "running" else "deployed"
            took = f" in {duration(standing.lead_seconds)}" if standing.lead_seconds is not None else ""
            last = f", {speaker.cluster} last" if len(standing.clusters) > 1 else ""
            return f"{done} on {_where(standing)}{took}{last}"
        case StatusState.FAILURE:
            what = _name(speaker, standing)
            if standing.stuck is not None:
                what = f"{what} {standing.stuck.workload.partition('/')[2]}"
            return ": ".join(part for part in (what, _reason(standing).replace("_", " "), _message(standing)) if part)
        case StatusState.ERROR:
            what = _BY_THEMSELVES.get(speaker.verdict, speaker.verdict.replace("_", " "))
            return f"{what}: {_name(speaker, standing)}"
        case _:
            return _under_way(standing, speaker)


def _under_way(standing: Standing, speaker: DeliveryView) -> str:
    count = f"{standing.done}/{len(standing.deliveries)} there; " if len(standing.deliveries) > 1 else ""
    waits = speaker.reason.replace("_", " ")
    if speaker.verdict == Verdict.DEPLOYED.value:
        waits = _blocked(speaker)
    elif speaker.verdict == Verdict.FAILED.value:
        waits = f"failing, {speaker.reason}"
    stage = f"{standing.stage}, " if standing.stage else ""
    return f"{count}{_name(speaker, standing)} {stage}{waits or 'on its way'}"


def _blocked(speaker: DeliveryView) -> str:
    if not speaker.blockers:
        return "not running yet"
    first = speaker.blockers[0]
    return f"{first.workload} {first.cause or first.state}".replace("_", " ")


def _name(speaker: DeliveryView, standing: Standing) -> str:
    target = speaker.target.rpartition("/")[2]
    return f"{speaker.cluster} {target}" if speaker.cluster != standing.environment else target


def _where(standing: Standing) -> str:
    clusters = len(standing.clusters)
    if clusters > 1:
        return f"{clusters} clusters"
    targets = len(standing.deliveries)
    return standing.clusters[0] if targets == 1 else f"{standing.clusters[0]} ({targets} targets)"


def _reason(standing: Standing) -> str:
    """Return Flux's reason, or what a pending one waits for; of what is stuck where it must run, the cause of that."""
    if standing.stuck is not None:
        return standing.stuck.cause or standing.stuck.state
    return standing.speaker.reason if standing.speaker else ""


def _message(standing: Standing) -> str:
    said = standing.stuck or standing.speaker
    return redact(" ".join(said.message.split()), limit_bytes=MESSAGE_BYTES) if said else ""


def example_values() -> Mapping[str, Any]:
    """Return the values that a template is tried with when it is read."""
    return values_of(EXAMPLE, public_url="https://fluxtrail.example")


def bare_values() -> Mapping[str, Any]:
    """Return as little as there may be to say: without a pull request, a cluster, a link."""
    commit = structs.replace(EXAMPLE.commit, author="", subject="", pull_request=None, web_url=None)
    return values_of(Standing(commit=commit, environment="production", state=StatusState.NEUTRAL), public_url="")
