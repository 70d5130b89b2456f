"""What events of a Kustomization come to, in whatever order they are heard, and however often. Pure.

Two facts are kept of each object, and each by its own time: the newest success, and the newest of everything else. So a
success that comes late still counts although a later attempt is known, and what is older than its like changes nothing.
The order within a second, in which Flux's timestamps are whole: what ended wins over what goes on.

Source: fluxcd/pkg apis/event/v1beta1; kustomize-controller's reasons (docs/concepts.md).
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.flux import KUSTOMIZE_GROUP, Condition, Kustomization
from fluxtrail.model.notice_commits import COMMIT, ORIGIN, REVISION, metadata_value
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.reasons import REASONS, Outcome
from fluxtrail.model.records import TargetRecord
from fluxtrail.model.redaction import redact
from fluxtrail.model.revision import Revision, RevisionKind, find_revision, same_content

SUCCESS = "ReconciliationSucceeded"
KUSTOMIZATION_KIND = "Kustomization"
SOURCE_KINDS = ("GitRepository", "OCIRepository")
NEW_ARTIFACT = "NewArtifact"

_SECOND = timedelta(seconds=1)
_RANKS = {Outcome.SUCCEEDED: 3, Outcome.FAILED: 2, Outcome.RUNNING: 1}


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One event, as far as it tells how a Kustomization stands."""

    at: datetime
    """By the controller's clock, whole seconds."""
    revision: str
    outcome: Outcome
    reason: str
    message: str = ""
    """Redacted, at most 1 KiB."""

    @property
    def place(self) -> tuple[datetime, int, str, str]:
        """Where it stands among the events of its object: the same for everybody, whenever it came."""
        return self.at, _RANKS.get(self.outcome, 0), self.revision, self.reason

    def says_as(self, other: Heard | None) -> bool:
        """True if it says no more than the other: Flux repeats itself in each interval."""
        return other is not None and self.reason == other.reason and same_content(self.revision, other.revision)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a Kustomization stands, by all events that were heard of it."""

    success: Heard | None = None
    other: Heard | None = None
    """The newest event that tells of no success."""

    def hear(self, event: Heard) -> Told:
        if event.outcome is Outcome.SUCCEEDED:
            return Told(success=_newer(self.success, event), other=self.other)
        return Told(success=self.success, other=_newer(self.other, event))

    @property
    def newest(self) -> Heard | None:
        """What it does now. A revision that succeeded within the very second has ended there."""
        success, other = self.success, self.other
        if success is None or other is None:
            return success or other
        if other.at == success.at:
            return success if same_content(other.revision, success.revision) else other
        return max(success, other, key=lambda item: item.at)

    def news_after(self, before: Told) -> list[Told]:
        """Return the states that follow from what was not known before, the oldest first; often none."""
        steps: list[Told] = []
        success, newest = self.success, self.newest
        if success is not None and success is not newest and not success.says_as(before.success):
            steps.append(Told(success=success))
        if newest is not None and (steps or not newest.says_as(before.newest)):
            steps.append(self)
        return steps


def find_heard(notice: FluxNotice) -> Heard | None:
    """Return what an event tells of a Kustomization, or None where it tells nothing that could be relied on.

    That is one of another kind, without a time, without a commit, or of a reason that is neither known nor an error.
    """
    if notice.kind != KUSTOMIZATION_KIND or notice.at is None or not notice.name:
        return None
    revision = find_commit_revision(notice)
    outcome = REASONS.get(notice.reason, Outcome.FAILED if notice.severity == "error" else Outcome.UNKNOWN)
    if revision is None or outcome is Outcome.UNKNOWN:
        return None
    return Heard(
        at=notice.at,
        revision=revision.text,
        outcome=outcome,
        reason=notice.reason,
        message=redact(notice.message),
    )


def find_commit_revision(notice: FluxNotice) -> Revision | None:
    """Return the revision that names a whole commit: what the event says it is, what the artifact was made from, or
    what was applied.

    A bare commit gets the pointer of another one that has one, so that it is known which branch it is on.
    """
    parsed = [find_revision(metadata_value(notice, name)) for name in (COMMIT, ORIGIN, REVISION)]
    commits = [item for item in parsed if item is not None and item.commit_sha and item.kind is RevisionKind.COMMIT]
    if not commits:
        return None
    same = (item for item in commits if item.pointer and item.same_content(commits[0]))
    return next(same, commits[0])


def recall(target: TargetRecord | None) -> Told:
    """Return what was told of a target, as far as the ledger has it: enough to know what is older."""
    if target is None or target.phase_since is None:
        return Told()
    success = other = None
    is_success = target.phase is Outcome.SUCCEEDED
    if target.applied is not None:
        at = target.phase_since if is_success else target.phase_since - _SECOND  # it was before what came after it
        success = Heard(at=at, revision=target.applied, outcome=Outcome.SUCCEEDED, reason=SUCCESS)
    if not is_success:
        other = Heard(
            at=target.phase_since,
            revision=target.attempted or "",
            outcome=target.phase,
            reason=target.reason,
            message=target.message,
        )
    return Told(success=success, other=other)


def picture(
    told: Told, key: ObjectKey, *, uid: str, generation: int, path: str, source: ObjectKey
) -> Kustomization | None:
    """Return the Kustomization as its status would be; None where nothing was told.

    What no event tells is left out: checks, dependencies, history, inventory.
    """
    newest, success = told.newest, told.success
    if newest is None:
        return None
    applied = success.revision if success is not None else None
    # Flux names a revision as attempted only once it has begun: waiting for a dependency is before that.
    attempted = applied if newest.outcome is Outcome.WAITING else newest.revision
    return Kustomization(
        key=key,
        uid=ObjectUid(uid),
        generation=generation,
        observed_generation=generation,
        is_deleting=False,
        is_suspended=False,
        path=path or "./",
        components=(),
        source=source,
        kube_config=None,
        depends_on=(),
        has_checks=False,
        last_applied=applied,
        last_applied_origin=None,
        last_attempted=attempted,
        conditions=(_ready(newest),),
        history=(),
    )


def kustomization_key(notice: FluxNotice) -> ObjectKey:
    return ObjectKey(KUSTOMIZE_GROUP, KUSTOMIZATION_KIND, notice.namespace, notice.name)


def _ready(newest: Heard) -> Condition:
    status = {Outcome.SUCCEEDED: "True", Outcome.RUNNING: "Unknown"}.get(newest.outcome, "False")
    return Condition("Ready", status, newest.reason, newest.message, newest.at)


def _newer(known: Heard | None, event: Heard) -> Heard:
    return event if known is None or event.place > known.place else known
