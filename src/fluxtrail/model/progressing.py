"""How far a workload is in its roll-out: from what the API server sends to `Progress`.

What is left out means what the controllers take it to mean. Sources: the API types and defaults of apps/v1 and
batch/v1; ResolveFenceposts and MaxUnavailable of pkg/controller/deployment/util, updatedDesiredNodeCounts of
pkg/controller/daemon, getStatefulSetMaxUnavailable of pkg/controller/statefulset.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from fluxtrail.model.kept import MAX_COUNT, clear_message, count, find_moment, generation, word
from fluxtrail.model.wire_workloads import (
    WireCronJobSpec,
    WireRollingUpdate,
    WireStatusCondition,
    WireStrategy,
    WireTemplatedSpec,
    WireTemplatedStatus,
)
from fluxtrail.model.workloads import Progress, StatusCondition

MAX_CONDITIONS = 32

_TOLD = frozenset(
    {
        "Progressing",
        "Available",
        "ReplicaFailure",
        "Complete",
        "Failed",
        "Suspended",
        "FailureTarget",
        "SuccessCriteriaMet",
        "Ready",
        "Reconciling",
        "Stalled",
    }
)
_ROLLING = "RollingUpdate"
_LONGEST_NUMBER = 12


def deployment_progress(spec: WireTemplatedSpec, status: WireTemplatedStatus) -> Progress:
    wanted, strategy = _wanted(spec), _strategy(spec.strategy)
    return Progress(
        observed_generation=generation(status.observed_generation),
        wanted=wanted,
        total=count(status.replicas),
        updated=count(status.updated_replicas),
        ready=count(status.ready_replicas),
        available=count(status.available_replicas),
        max_unavailable=_deployment_max(_rolling(spec.strategy), wanted) if strategy == _ROLLING else 0,
        strategy=strategy,
        is_paused=bool(spec.paused),
        min_ready_seconds=count(spec.min_ready_seconds),
        conditions=conditions(status.conditions),
    )


def stateful_set_progress(spec: WireTemplatedSpec, status: WireTemplatedStatus) -> Progress:
    wanted, strategy, rolling = _wanted(spec), _strategy(spec.update_strategy), _rolling(spec.update_strategy)
    is_rolling = strategy == _ROLLING
    given = rolling.max_unavailable if is_rolling else None
    return Progress(
        observed_generation=generation(status.observed_generation),
        wanted=wanted,
        total=count(status.replicas),
        updated=count(status.updated_replicas),
        ready=count(status.ready_replicas),
        available=count(status.available_replicas),
        max_unavailable=0 if given is None else min(max(_share(given, wanted, rounds_up=False), 1), wanted),
        partition=count(rolling.partition) if is_rolling else 0,
        strategy=strategy,
        min_ready_seconds=count(spec.min_ready_seconds),
        current_revision=word(status.current_revision),
        conditions=conditions(status.conditions),
    )


def daemon_set_progress(spec: WireTemplatedSpec, status: WireTemplatedStatus) -> Progress:
    wanted, strategy = count(status.desired_number_scheduled), _strategy(spec.update_strategy)
    return Progress(
        observed_generation=generation(status.observed_generation),
        wanted=wanted,
        total=count(status.current_number_scheduled),
        updated=count(status.updated_number_scheduled),
        ready=count(status.number_ready),
        available=count(status.number_available),
        max_unavailable=_daemon_set_max(_rolling(spec.update_strategy), wanted) if strategy == _ROLLING else 0,
        strategy=strategy,
        min_ready_seconds=count(spec.min_ready_seconds),
        conditions=conditions(status.conditions),
    )


def replica_set_progress(spec: WireTemplatedSpec, status: WireTemplatedStatus) -> Progress:
    return _kept_replica_set(
        generation(status.observed_generation),
        _wanted(spec),
        count(status.replicas),
        count(status.ready_replicas),
        count(status.available_replicas),
        count(spec.min_ready_seconds),
        conditions(status.conditions),
    )


@lru_cache(maxsize=256)
def _kept_replica_set(
    observed: int,
    wanted: int,
    total: int,
    ready: int,
    available: int,
    min_ready_seconds: int,
    found: tuple[StatusCondition, ...],
) -> Progress:
    """Return the same for all that are alike: a Deployment keeps ten old ones, all scaled to zero."""
    return Progress(
        observed_generation=observed,
        wanted=wanted,
        total=total,
        ready=ready,
        available=available,
        min_ready_seconds=min_ready_seconds,
        conditions=found,
    )


def job_progress(spec: WireTemplatedSpec, status: WireTemplatedStatus) -> Progress:
    return Progress(
        wanted=1 if spec.completions is None else count(spec.completions),
        total=count(status.active),
        updated=count(status.succeeded),
        ready=count(status.ready),
        failed=count(status.failed),
        is_suspended=bool(spec.suspend),
        is_expiring=spec.ttl_seconds_after_finished is not None,
        completed_at=find_moment(status.completion_time),
        conditions=conditions(status.conditions),
    )


def cron_job_progress(spec: WireCronJobSpec) -> Progress:
    """Return that nothing is to run at once; whether its Jobs run well is their own matter."""
    return Progress(wanted=0, is_suspended=bool(spec.suspend))


def custom_progress(status: Any) -> Progress:
    """Return what an object of an unknown kind says, where it is said as is usual: its pods are its workloads' matter.

    Args:
        status: of any shape.
    """
    found = status if isinstance(status, dict) else {}
    observed, told = found.get("observedGeneration"), found.get("conditions")
    if isinstance(observed, str):  # as of Argo's Rollout, which was a hash once
        is_number = observed.isascii() and observed.isdigit() and len(observed) <= _LONGEST_NUMBER
        observed = int(observed) if is_number else 0
    return Progress(
        observed_generation=generation(observed) if isinstance(observed, int) else 0,
        wanted=0,
        conditions=conditions([_usual(each) for each in told[:MAX_CONDITIONS]] if isinstance(told, list) else None),
    )


def _usual(condition: Any) -> WireStatusCondition | None:
    try:
        return msgspec.convert(condition, WireStatusCondition)
    except msgspec.ValidationError:
        return None


# -- parts --------------------------------------------------------------------------------------------------------


def conditions(wire: list[WireStatusCondition | None] | None) -> tuple[StatusCondition, ...]:
    if not wire:
        return ()
    return tuple(_condition(each) for each in wire[:MAX_CONDITIONS] if each is not None and each.type in _TOLD)


def _condition(wire: WireStatusCondition) -> StatusCondition:
    return StatusCondition(
        type=word(wire.type),
        status=word(wire.status),
        reason=word(wire.reason),
        message=clear_message(wire.message),
        updated_at=find_moment(wire.last_update_time) or find_moment(wire.last_transition_time),
    )


def _wanted(spec: WireTemplatedSpec) -> int:
    return 1 if spec.replicas is None else count(spec.replicas)


def _strategy(wire: WireStrategy | None) -> str:
    return word((wire.type if wire else None) or _ROLLING)


def _rolling(wire: WireStrategy | None) -> WireRollingUpdate:
    return (wire.rolling_update if wire else None) or WireRollingUpdate()


def _deployment_max(rolling: WireRollingUpdate, wanted: int) -> int:
    surge = _share("25%" if rolling.max_surge is None else rolling.max_surge, wanted, rounds_up=True)
    given = "25%" if rolling.max_unavailable is None else rolling.max_unavailable
    return _at_least_one(_share(given, wanted, rounds_up=False), surge, wanted)


def _daemon_set_max(rolling: WireRollingUpdate, wanted: int) -> int:
    surge = _share(rolling.max_surge or 0, wanted, rounds_up=True)
    given = 1 if rolling.max_unavailable is None else rolling.max_unavailable
    return _at_least_one(_share(given, wanted, rounds_up=True), surge, wanted)


def _at_least_one(unavailable: int, surge: int, wanted: int) -> int:
    """Neither fewer nor more pods at any time would be no roll-out: then one may be missing."""
    return min(1 if unavailable == surge == 0 else unavailable, wanted)


def _share(given: int | str, wanted: int, *, rounds_up: bool) -> int:
    """Return pods of `3` or `25%`; 0 for what is neither."""
    if isinstance(given, int):
        return count(given)
    percent, sign, rest = given.partition("%")
    if not (sign and not rest and percent.isascii() and percent.isdigit() and len(percent) <= _LONGEST_NUMBER):
        return 0
    pods = int(percent) * wanted
    return min(-(-pods // 100) if rounds_up else pods // 100, MAX_COUNT)
