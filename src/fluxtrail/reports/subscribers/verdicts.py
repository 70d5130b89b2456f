"""A delivery's verdict as the record that gitops-connector's subscribers know. Pure.

Its name has the cluster and the target, so that no two of them overwrite each other; its state is a word that those who
read such records know already.
"""

from __future__ import annotations

from collections.abc import Callable

from fluxtrail.model.status import StatusState
from fluxtrail.model.telling import DeliveryTelling
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.phases.maps import state_of
from fluxtrail.reports.phases.records import NAME_LIMIT, PhaseRecord
from fluxtrail.reports.plan import Content

_SUCCEEDED = {"HelmRelease": "UpgradeSucceeded"}
_FAILED = {"HelmRelease": "UpgradeFailed"}
_MESSAGES = {
    Verdict.DEPLOYED: "Delivered",
    Verdict.FAILED: "Failed",
    Verdict.ROLLED_BACK: "Rolled back: what is applied now does not contain it",
    Verdict.LOST: "Lost: its branch was rewritten before it was delivered",
    Verdict.ABANDONED: "Abandoned: its target is gone or follows something else",
}


def verdict_record(content: Content, told: DeliveryTelling, *, link: Callable[[str], str]) -> PhaseRecord:
    """Return the record of a verdict.

    Args:
        link: the commit's sha → where people read more of it.
    """
    target, verdict = told.target, content.verdict or told.verdict
    where = "/".join(part for part in (target.cluster, target.namespace, target.name) if part)
    return PhaseRecord(
        commit_id=told.commit.sha,
        status_name=where[:NAME_LIMIT],
        state=_state(content, told, verdict),
        message=_message(told, verdict),
        callback_url=link(told.commit.sha),
        gitops_operator="Flux",
        genre=target.kind,
    )


def _state(content: Content, told: DeliveryTelling, verdict: Verdict) -> str:
    """Return Flux's own reason where it says the same as the verdict, else the word for it."""
    reason = content.reason or (told.sync.reason if told.sync else "")
    kind = told.target.kind
    if verdict is Verdict.DEPLOYED:
        is_so = state_of(reason) is StatusState.SUCCESS
        return reason if is_so else _SUCCEEDED.get(kind, "ReconciliationSucceeded")
    if verdict is Verdict.FAILED:
        is_so = state_of(reason, severity="error") in (StatusState.FAILURE, StatusState.ERROR)
        return reason if reason and is_so else _FAILED.get(kind, "ReconciliationFailed")
    return "Failed" if verdict is Verdict.ROLLED_BACK else "NotApplicable"


def _message(told: DeliveryTelling, verdict: Verdict) -> str:
    said = told.sync.message if told.sync and verdict in (Verdict.DEPLOYED, Verdict.FAILED) else ""
    return said or _MESSAGES.get(verdict, verdict.value)
