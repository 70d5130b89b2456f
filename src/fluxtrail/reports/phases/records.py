"""A notice → the records that gitops-connector makes of it, in the order in which they are to be read. Pure."""

import hashlib
from collections.abc import Sequence

import msgspec

from fluxtrail.model.notice_commits import commit_of
from fluxtrail.model.notices import ArgoNotice, FluxNotice, Hook, NewNotice
from fluxtrail.model.report import Mode, NewReport
from fluxtrail.reports.phases.summaries import unhealthy_names, work_done

STATUS = "Status"
PROGRESSING = "Progressing"
HEALTH_CHECK_FAILED = "HealthCheckFailed"
NOT_APPLICABLE = "NotApplicable"
NAME_LIMIT = 255
"""Characters of a status's name."""

_TEXTS = {
    PROGRESSING: "Reconciliation underway.",
    HEALTH_CHECK_FAILED: "Health Check Failed",
    "ValidationFailed": "Manifests validation failed.",
}
"""Said instead of what Flux says."""
_APPLYING = frozenset({"Kustomization", "HelmRelease"})
"""Kinds that bring something to a cluster; the others fetch, or push."""
_HOOKS = (Hook.GITOPSPHASE, Hook.ARGOCD)


class PhaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One status, and the JSON that subscribers get of it: these names are gitops-connector's."""

    commit_id: str
    status_name: str
    state: str
    """As Flux or Argo CD says it: a reason, a phase, a sync or a health status."""
    message: str
    callback_url: str
    gitops_operator: str
    """`Flux` or `ArgoCD`."""
    genre: str
    """Flux's kind, or `ArgoCD`."""


Phase = FluxNotice | ArgoNotice

_encode = msgspec.json.Encoder(order="deterministic").encode


def phase_records(notice: Phase, *, callback_url: str) -> list[PhaseRecord]:
    """Return what a notice comes to; nothing where it names no commit, or only that something was fetched."""
    if isinstance(notice, ArgoNotice):
        return _argo_records(notice, callback_url)
    commit = commit_of(notice)
    if not commit or not _is_supported(notice):
        return []
    return [
        PhaseRecord(
            commit_id=commit,
            status_name=name[:NAME_LIMIT],
            state=state,
            message=message,
            callback_url=callback_url,
            gitops_operator="Flux",
            genre=notice.kind,
        )
        for name, state, message in _flux_lines(notice)
    ]


def plan_phases(notice: NewNotice, *, sinks: Sequence[str], callback_url: str) -> list[NewReport]:
    """Return the reports of a notice: every record to every subscriber.

    Only what a sender's secret signed is passed on, and only by the hooks that gitops-connector's notices come by:
    who has Flux post to both has it make us look with the other. The same notice again has the same keys, and is not
    said twice.
    """
    said = notice.said
    if not notice.is_signed or notice.hook not in _HOOKS or not isinstance(said, FluxNotice | ArgoNotice):
        return []
    identity = _identity(notice)
    bodies = [_encode(record) for record in phase_records(said, callback_url=callback_url)]
    return [
        NewReport(sink=sink, key=f"{identity}.{index}", mode=Mode.EVERY, body=body)
        for index, body in enumerate(bodies)
        for sink in sinks
    ]


def _is_supported(notice: FluxNotice) -> bool:
    """That a source has something new is nobody's status; whoever applies it says so."""
    return notice.kind in _APPLYING or notice.reason != "NewArtifact"


def _flux_lines(notice: FluxNotice) -> list[tuple[str, str, str]]:
    """Return (name, state, message) of each record."""
    reason = notice.reason or notice.severity or "info"
    text = _TEXTS.get(reason, notice.message)
    status = (STATUS, reason, text)
    if notice.kind not in _APPLYING:
        return [status]
    if reason == PROGRESSING:
        # Said again at the end, so that who shows the newest shows that it is under way.
        work = [(name, NOT_APPLICABLE, done) for name, done in work_done(notice.message)]
        return [status, *work, status]
    if reason == HEALTH_CHECK_FAILED:
        names = unhealthy_names(notice.message)
        whole = notice.message.strip()
        failed = [(name, reason, text) for name in names] or [(_first_line(whole) or STATUS, reason, whole or text)]
        return [status, *failed]
    return [status]


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _argo_records(notice: ArgoNotice, callback_url: str) -> list[PhaseRecord]:
    if notice.commit == "<no value>":  # what a Go template writes where there is nothing
        return []
    total = len(notice.resources)
    lines = (
        ("Phase", notice.phase, f"{notice.phase}: {notice.message}"),
        ("Sync", notice.sync_status, _shares([item.status for item in notice.resources], total)),
        ("Health", notice.health, _shares([item.health for item in notice.resources], total)),
    )
    return [
        PhaseRecord(
            commit_id=notice.commit,
            status_name=name,
            state=state,
            message=message,
            callback_url=callback_url,
            gitops_operator="ArgoCD",
            genre="ArgoCD",
        )
        for name, state, message in lines
    ]


def _shares(words: Sequence[str], total: int) -> str:
    """Return `3/5 Synced, 2/5 OutOfSync`: of all resources, also of those that have no such word."""
    counts: dict[str, int] = {}
    for word in words:
        if word:
            counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count}/{total} {word}" for word, count in counts.items())


def _identity(notice: NewNotice) -> str:
    """Return what makes a notice the same again: its sender's own id of it, else all that it says."""
    told = notice.key.encode() if notice.key else _encode(notice.said)
    return hashlib.sha256(b"\0".join([notice.hook.encode(), notice.sender.encode(), told])).hexdigest()[:32]
