"""What events of a Kustomization come to, in whatever order they are heard, and however often. Pure.

Two facts are kept of each object, and each by its own time: the newest success, and the newest of everything else. So a
success that comes late still counts although a later attempt is known, and what is older than its like changes nothing.
The order within a second, in which Flux's timestamps are whole: what ended wins over what goes on.

Beside them, three that date the apply where health is checked, for then a success or failure tells the end of the
checks: the newest end of checks, the newest list of what an apply has changed, and the first sign of any check.

Source: fluxcd/pkg apis/event/v1beta1; kustomize-controller's reasons (docs/concepts.md).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from fluxtrail.model.flux import KUSTOMIZE_GROUP, Condition, Kustomization
from fluxtrail.model.notice_commits import COMMIT, ORIGIN, REVISION, metadata_value
from fluxtrail.model.notices import FluxNotice
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.reasons import HEALTH_CHECKS, REASONS, Outcome
from fluxtrail.model.records import TargetRecord
from fluxtrail.model.redaction import redact
from fluxtrail.model.revision import Revision, RevisionKind, find_revision, same_content
from fluxtrail.trail.notices.phrases import find_checks_began, find_run_began, tells_of_changes

SUCCESS = "ReconciliationSucceeded"
CHECK_FAILED = "HealthCheckFailed"
CHECK_REASONS = (CHECK_FAILED, "HealthCheckCanceled")
BUILDING = "Building manifests"
KUSTOMIZATION_KIND = "Kustomization"
SOURCE_KINDS = ("GitRepository", "OCIRepository")
NEW_ARTIFACT = "NewArtifact"

replace = msgspec.structs.replace

_SECOND = timedelta(seconds=1)
_ALWAYS = datetime.min.replace(tzinfo=UTC)
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
    def place(self) -> tuple[datetime, int, str, str, bool, str]:
        """Where it stands among the events of its object: the same for everybody, whenever it came."""
        is_check = self.checks_began is not None  # it ends after what was applied
        return self.at, _RANKS.get(self.outcome, 0), self.revision, self.reason, is_check, self.message

    @property
    def checks_began(self) -> datetime | None:
        """When the checks began whose end it tells: then its revision had just been applied."""
        return find_checks_began(self.message, self.at)

    @property
    def is_sign_of_checks(self) -> bool:
        return self.reason in CHECK_REASONS or self.checks_began is not None

    @property
    def is_change(self) -> bool:
        """True if it lists what an apply of its revision has just changed."""
        return self.outcome is Outcome.RUNNING and tells_of_changes(self.message)

    def ends_checks_after(self, other: Heard | None) -> bool:
        """True if it tells the good end of checks, and the other, which says as much, did not."""
        is_end = self.outcome is Outcome.RUNNING and self.checks_began is not None
        return is_end and other is not None and other.checks_began is None

    def is_of(self, end: Heard) -> bool:
        """True if it tells of the revision that ended so, and not of a later time."""
        return self.at <= end.at and same_content(self.revision, end.revision)

    def says_as(self, other: Heard | None) -> bool:
        """True if it says no more than the other: Flux repeats itself in each interval."""
        return other is not None and self.reason == other.reason and same_content(self.revision, other.revision)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a Kustomization stands, by all events that were heard of it."""

    success: Heard | None = None
    other: Heard | None = None
    """The newest event that tells of no success."""
    checked: Heard | None = None
    """The newest event that tells when checks began, and that they are over."""
    changed: Heard | None = None
    """The newest event that lists what an apply has changed."""
    checks_since: datetime | None = None
    """The first sign that the object's health is checked; None while there was none."""

    def hear(self, event: Heard) -> Told:
        is_success, is_sign = event.outcome is Outcome.SUCCEEDED, event.is_sign_of_checks
        return Told(
            success=_newer(self.success, event) if is_success else self.success,
            other=self.other if is_success else _newer(self.other, event),
            checked=_newer(self.checked, event) if event.checks_began is not None else self.checked,
            changed=_newer(self.changed, event) if event.is_change else self.changed,
            checks_since=min(self.checks_since or event.at, event.at) if is_sign else self.checks_since,
        )

    def has_checks(self, at: datetime) -> bool:
        """True if there had been a sign of checks by then: a later one says nothing of what was before it."""
        return self.checks_since is not None and self.checks_since <= at

    def find_applied(self, end: Heard) -> datetime | None:
        """Return when the revision was applied of an attempt whose checks ended so; None where nobody told.

        Of a success only what its own run told counts: a revision that comes back was applied before.
        """
        if end.checks_began is not None:
            return end.checks_began
        run_began = find_run_began(end.message, end.at)
        signs = [sign for sign in (self.checked, self.changed) if sign is not None and sign.is_of(end)]
        dated = [(sign.at, sign.checks_began or sign.at) for sign in signs]
        own = [item for item in dated if run_began is None or item[1] > run_began - _SECOND]
        return max(own)[1] if own else None

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
        is_dated = success is not None and self._dates_anew(success, before)
        if success is not None and success is not newest and (is_dated or not success.says_as(before.success)):
            steps.append(replace(self, other=None))
        is_news = newest is not None and (not newest.says_as(before.newest) or newest.ends_checks_after(before.newest))
        if newest is not None and (steps or is_dated or is_news):
            steps.append(self)
        return steps

    def _dates_anew(self, success: Heard, before: Told) -> bool:
        """True if the apply behind the same success is dated another way now: its checks were told after it."""
        known = before.success
        return (
            known is not None
            and known.at == success.at
            and success.says_as(known)
            and (self._dating(success) != before._dating(known))
        )

    def _dating(self, success: Heard) -> tuple[bool, datetime | None]:
        return (True, self.find_applied(success)) if self.has_checks(success.at) else (False, None)


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
    told = Told(checks_since=_ALWAYS if target.has_checks else None)
    is_success = target.phase is Outcome.SUCCEEDED
    if target.applied is not None:
        at = target.phase_since if is_success else target.phase_since - _SECOND  # it was before what came after it
        message = target.message if is_success else ""
        told = told.hear(
            Heard(at=at, revision=target.applied, outcome=Outcome.SUCCEEDED, reason=SUCCESS, message=message)
        )
    if is_success:
        return told
    return told.hear(
        Heard(
            at=target.phase_since,
            revision=target.attempted or "",
            outcome=target.phase,
            reason=target.reason,
            message=target.message,
        )
    )


def picture(
    told: Told, key: ObjectKey, *, uid: str, generation: int, path: str, source: ObjectKey
) -> Kustomization | None:
    """Return the Kustomization as its status would be; None where nothing was told.

    What no event tells is left out: dependencies, history, inventory. Where health is checked, the step that is named
    beside the end says how far the attempt is known to have come, and since when, as Flux's own status does.
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
        has_checks=told.has_checks(newest.at),
        last_applied=applied,
        last_applied_origin=None,
        last_attempted=attempted,
        conditions=(_ready(newest), *_steps(told, newest)),
        history=(),
    )


def kustomization_key(notice: FluxNotice) -> ObjectKey:
    return ObjectKey(KUSTOMIZE_GROUP, KUSTOMIZATION_KIND, notice.namespace, notice.name)


def _ready(newest: Heard) -> Condition:
    status = {Outcome.SUCCEEDED: "True", Outcome.RUNNING: "Unknown"}.get(newest.outcome, "False")
    return Condition("Ready", status, newest.reason, newest.message, newest.at)


def _steps(told: Told, newest: Heard) -> tuple[Condition, ...]:
    """Return the last step of an attempt whose checks were told: they began then, or else its run did."""
    is_good, is_bad = newest.outcome is Outcome.SUCCEEDED, newest.reason == CHECK_FAILED
    step, began = HEALTH_CHECKS, newest.checks_began
    if began is None and (is_good or is_bad) and told.has_checks(newest.at):
        began = told.find_applied(newest)
        if began is None and is_good:
            step, began = BUILDING, find_run_began(newest.message, newest.at)
    if began is None:
        return ()
    message = f"{step} for revision {newest.revision}"
    return (Condition("Reconciling", "True", "ProgressingWithRetry" if is_bad else "Progressing", message, began),)


def _newer(known: Heard | None, event: Heard) -> Heard:
    return event if known is None or event.place > known.place else known
