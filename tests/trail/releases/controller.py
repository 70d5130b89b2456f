"""What helm-controller writes, one status write at a time, and somebody who keeps what `judge_release` makes of it.

The order of writes is that of helm-controller 1.6: conditions first, the other fields after them, `observedGeneration`
last; where nothing is to be done for a generation, Ready=True comes before `lastAttempted…`.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from tests.trail.transcripts import CLUSTER, NOON, SLACK

from fluxtrail.model.flux import HELM_GROUP, SOURCE_GROUP, Condition
from fluxtrail.model.observation import ObjectKey, ObjectUid
from fluxtrail.model.reasons import Outcome
from fluxtrail.model.records import SourceRecord, SyncId, SyncRecord, TargetId, TargetRecord
from fluxtrail.model.releases import HelmRelease, ReleaseSnapshot, project_helm_release
from fluxtrail.model.wire import WireAppliedMeta
from fluxtrail.model.wire_releases import WireHelmRelease
from fluxtrail.trail.judgement import Look
from fluxtrail.trail.releases.judge import judge_release

KEY = ObjectKey(HELM_GROUP, "HelmRelease", "shop", "cart")
SOURCE = ObjectKey(SOURCE_GROUP, "HelmChart", "shop", "shop-cart")
TIMEOUT = "timeout waiting for: [Deployment/shop/cart status: 'InProgress']"

replace = msgspec.structs.replace


def config(name: str) -> str:
    return f"sha256:{name.encode().hex():0<64}"


class Write(NamedTuple):
    at: datetime
    object: HelmRelease


class HelmController:
    """One HelmRelease as its controller writes it. Each write takes 0.1 s; `wait` lets time pass."""

    def __init__(self, *, has_checks: bool = True, has_tests: bool = False, chart: str = "1.0.0") -> None:
        self.now = NOON
        self.writes: list[Write] = []
        blank = project_helm_release(WireHelmRelease(metadata=WireAppliedMeta(name="cart", namespace="shop")))
        self.object = replace(
            blank, uid=ObjectUid("u1"), generation=1, source=SOURCE, has_checks=has_checks, has_tests=has_tests
        )
        self.chart = chart
        self.digest: str | None = None
        self.values = config("v1")
        self.actions: list[datetime] = []
        """When each action ended, as the status says it."""
        self._version = 0

    # -- what people do ------------------------------------------------------------------------------------------

    def change(self, values: str | None = None, **fields: Any) -> None:
        """Change the spec; with other values, or otherwise."""
        self.values = config(values) if values else self.values
        self.note(generation=self.object.generation + 1, **fields)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # -- what Flux does ------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        self.say(("Reconciling", "True", "Progressing", "Fulfilling prerequisites"), without=("Stalled",))

    def refuse(self, reason: str, message: str = "") -> None:
        """End before anything is attempted."""
        self.prepare()
        self.say(("Ready", "False", reason, message))

    def attempt(self, action: str) -> None:
        """Begin an action; returns once Helm has begun."""
        self.prepare()
        running = f"Running '{action}' action with timeout of 5m0s"
        self.say(("Reconciling", "True", "Progressing", running), ("Ready", "Unknown", "Progressing", running))
        self._note_attempt()
        self._began = self.now
        self.wait(20)

    def end_well(self, action: str) -> None:
        version, name = self._version + 1, action.capitalize()
        message = f"Helm {action} succeeded for release shop/cart.v{version} with chart cart@{self.chart}"
        released = ("Released", "True", f"{name}Succeeded", message)
        if self.object.has_tests:
            waiting = f"Helm release shop/cart.v{version} with chart cart@{self.chart} is awaiting tests"
            tested = ("TestSuccess", "Unknown", "AwaitingTests", waiting)
            self.say(("Ready", *tested[1:]), released, tested, without=("Remediated",))
        else:
            self.say(("Ready", *released[1:]), released, without=("Remediated",))
        self.actions.append(self.now)
        self._store(action, "deployed", failures=self.object.failures)

    def end_badly(self, action: str, why: str = "") -> None:
        """Args:
        why: by default that waiting was in vain, where Helm waits.
        """
        why = why or (TIMEOUT if self.object.has_checks else "Deployment is invalid")
        message = f"Helm {action} failed for release shop/cart with chart cart@{self.chart}: {why}"
        released = ("Released", "False", f"{action.capitalize()}Failed", message)
        self.say(("Ready", *released[1:]), released, without=("Remediated", "TestSuccess"))
        self.actions.append(self.now)
        self._store(action, "failed", failures=self.object.failures + 1)

    def test(self, *, is_good: bool = True) -> None:
        self.say(("Reconciling", "True", "Progressing", "Running 'test' action with timeout of 5m0s"))
        self.wait(10)
        word = "succeeded" if is_good else "failed"
        message = f"Helm test {word} for release shop/cart.v{self._version} with chart cart@{self.chart}: hooks"
        tested = ("TestSuccess", "True" if is_good else "False", f"Test{word.capitalize()}", message)
        self.say(("Ready", *tested[1:]), tested)
        self.actions.append(self.now)
        newest = replace(self.object.history[0], has_failed_test=not is_good, tested_at=_second(self.now))
        self.note(history=(newest, *self.object.history[1:]), failures=self.object.failures + (0 if is_good else 1))

    def settle(self) -> None:
        self.say(without=("Reconciling",))
        standing = [index for index, item in enumerate(self.object.history) if index and item.is_standing]
        kept = self.object.history[: standing[0] + 1] if standing else self.object.history
        self.note(observed_generation=self.object.generation, history=kept)

    def give_up(self) -> None:
        stalled = ("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)")
        self.say(stalled, without=("Reconciling",))
        self.note(observed_generation=self.object.generation)

    def roll_back(self) -> None:
        """Remedy the failed upgrade, out of retries."""
        self.say(("Reconciling", "True", "Progressing", "Running 'rollback' action with timeout of 5m0s"))
        self._began = self.now
        self.wait(5)
        target = next(item for item in self.object.history[1:] if item.is_standing and not item.has_failed_test)
        message = f"Helm rollback to previous release shop/cart.v{target.version} with chart cart@x succeeded"
        remedied = ("Remediated", "True", "RollbackSucceeded", message)
        stalled = ("Stalled", "True", "RetriesExceeded", "Failed to upgrade after 1 attempt(s)")
        self.say(("Ready", "False", *remedied[2:]), remedied, stalled, without=("Reconciling",))
        self._version += 1
        back = replace(
            target, version=self._version, status="deployed", action="rollback", last_deployed=_second(self._began)
        )
        touched = tuple(
            replace(item, action="rollback", status="superseded" if item.is_standing else item.status)
            for item in self.object.history
        )
        self.note(observed_generation=self.object.generation, history=(back, *touched))

    def find_in_sync(self) -> None:
        """Handle a generation (or an interval) for which nothing is to be done."""
        self.prepare()
        newest, released = self.object.history[0], self.object.find_condition("Released")
        changes: list[tuple[str, str, str, str]] = []
        if self.object.find_condition("Remediated") is not None:
            message = f"Helm upgrade succeeded for release shop/cart.v{newest.version} with chart cart@{self.chart}"
            changes = [("Released", "True", "UpgradeSucceeded", message)]
        told = changes[0] if changes else ("Released", "True", released.reason, released.message) if released else None
        assert told is not None
        self.say(("Ready", *told[1:]), *changes, without=("Reconciling", "Remediated"))
        self._note_attempt()
        self.note(observed_generation=self.object.generation)

    def release(self, action: str = "upgrade") -> datetime:
        """Do a whole action that goes well; returns when it ended, as the status says it."""
        self.attempt(action)
        self.end_well(action)
        if self.object.has_tests:
            self.test()
        self.settle()
        return _second(self.actions[-1])

    # -- writing -------------------------------------------------------------------------------------------------

    def _note_attempt(self) -> None:
        before = self.object
        noted: dict[str, Any] = {
            "attempted_generation": before.generation,
            "last_attempted": self.chart,
            "last_attempted_digest": self.digest,
            "last_attempted_config": self.values,
        }
        if replace(before, **noted) != before:
            self.note(**noted, failures=0, upgrade_failures=0)

    def _store(self, action: str, status: str, *, failures: int) -> None:
        self._version += 1
        made = ReleaseSnapshot(
            name="shop/cart",
            version=self._version,
            status=status,
            action=action,
            chart_name="cart",
            chart_version=self.chart,
            app_version="1",
            config_digest=self.values,
            oci_digest=self.digest,
            first_deployed=NOON,
            last_deployed=_second(self._began),
            has_failed_test=False,
            tested_at=None,
        )
        is_deployed = status == "deployed"
        older = tuple(
            replace(item, action="", status="superseded" if is_deployed and item.status == "deployed" else item.status)
            for item in self.object.history
        )
        self.note(history=(made, *older), failures=failures, action=action)

    def say(self, *changes: tuple[str, str, str, str], without: Collection[str] = ()) -> None:
        self.now += timedelta(seconds=0.1)
        held = {item.type: item for item in self.object.conditions if item.type not in without}
        for kind, status, reason, message in changes:
            before = held.get(kind)
            is_same = before is not None and (before.status, before.reason, before.message) == (status, reason, message)
            at = before.changed_at if before is not None and is_same else _second(self.now)
            held[kind] = Condition(kind, status, reason, message, at, self.object.generation)
        self.note(conditions=tuple(held.values()))

    def note(self, **fields: Any) -> None:
        self.now += timedelta(seconds=0.1)
        after = replace(self.object, **fields)
        if after != self.object:
            self.object = after
            self.writes.append(Write(self.now, after))


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


class ReleaseKeeper:
    """Keeps the target and its syncs as the follower does, without a ledger."""

    def __init__(self, *, source: SourceRecord | None = None) -> None:
        self.target: TargetRecord | None = None
        self.syncs: dict[SyncId, SyncRecord] = {}
        self.source = source

    @property
    def kept(self) -> TargetRecord:
        assert self.target is not None
        return self.target

    @property
    def last(self) -> SyncRecord:
        return self.syncs[max(self.syncs)]

    def see(self, write: Write, *, was_held: bool) -> list[SyncRecord]:
        is_first = self.target is None
        before = _target(write) if self.target is None else replace(self.target, generation=write.object.generation)
        look = Look(
            observed_at=write.at + timedelta(seconds=0.05),
            was_held=was_held and not is_first,
            not_before=None if is_first else before.observed_at - SLACK,
            source=self.source,
        )
        judgement = judge_release(before, self.last if self.syncs else None, write.object, look)
        self.target, said = judgement.target, []
        for sync in judgement.syncs:
            saved = replace(sync, id=sync.id or SyncId(len(self.syncs) + 1))
            self.syncs[saved.id] = saved
            said.append(saved)
        return said

    def watch(self, flux: HelmController) -> None:
        """See all that was written since, without a gap."""
        for write in flux.writes:
            self.see(write, was_held=True)
        flux.writes.clear()

    def come_late(self, flux: HelmController) -> None:
        """See only what is there now."""
        self.see(flux.writes[-1], was_held=False)
        flux.writes.clear()


def _target(write: Write) -> TargetRecord:
    item = write.object
    return TargetRecord(
        id=TargetId(1),
        cluster=CLUSTER,
        key=KEY,
        uid=item.uid,
        lands_on=CLUSTER,
        source=item.source,
        repository_id=None,
        branch=None,
        follows_tags=False,
        path="",
        components=(),
        generation=item.generation,
        is_suspended=False,
        has_checks=item.has_checks,
        attempted=None,
        applied=None,
        applied_digest=None,
        applied_generation=None,
        phase=Outcome.UNKNOWN,
        reason="",
        message="",
        phase_since=None,
        baseline_sha=None,
        awaits_baseline=True,
        sync_id=None,
        first_seen_at=write.at,
        observed_at=write.at,
    )


def installed(flux: HelmController) -> ReleaseKeeper:
    """Return somebody who watched the installation."""
    keeper = ReleaseKeeper()
    flux.release("install")
    keeper.watch(flux)
    flux.wait(60)
    return keeper
