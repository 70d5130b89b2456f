"""How a workload stands on its way to running what was applied, and why it does not get on.

A roll-out is judged per workload and generation; what a sync changed has rolled out when each of them has
(docs/concepts.md, Running). Reached once, never withdrawn: a later crash is a state.
"""

from enum import StrEnum

import msgspec

from fluxtrail.model.moment import Moment


class RolloutState(StrEnum):
    ROLLED_OUT = "rolled_out"
    PROGRESSING = "progressing"
    """Under way, and nothing speaks against it."""
    BLOCKED = "blocked"
    """Does not get on: `RolloutCause` says why. It may still, by itself or by a later change."""
    FAILED = "failed"
    """Will not without a change: a Job that has failed."""
    ABSENT = "absent"
    """Nothing is to run: a CronJob, scaled to zero, suspended, no node that it wants."""


class RolloutCause(StrEnum):
    """Why a workload is not running; the message has the cluster's own words."""

    IMAGE_PULL = "image_pull"
    """Image not found, no access, unreachable registry, a name that is none."""
    CRASH_LOOP = "crash_loop"
    """A container ends again and again, or ended with an error."""
    OUT_OF_MEMORY = "out_of_memory"
    CONFIGURATION = "configuration"
    """A ConfigMap, Secret or key that a container names is not there; the runtime refuses its settings."""
    PROBE = "probe"
    """A container runs, and its readiness or startup probe does not pass; or its liveness probe ends it."""
    UNSCHEDULABLE = "unschedulable"
    """No node takes the pod."""
    VOLUME = "volume"
    """A volume is not bound, attached or mounted."""
    SANDBOX = "sandbox"
    """The node cannot set the pod up: network, runtime."""
    QUOTA = "quota"
    """Pods are refused: quota or limit range."""
    REFUSED = "refused"
    """Pods are refused by an admission webhook, a policy, or the API server."""
    NODE_LOST = "node_lost"
    EVICTED = "evicted"
    PAUSED = "paused"
    """Somebody paused the roll-out."""
    MANUAL = "manual"
    """`OnDelete`, or a partition: pods keep their template until somebody deletes them."""
    JOB_FAILED = "job_failed"
    DEADLINE = "deadline"
    """`progressDeadlineSeconds` (or a Job's `activeDeadlineSeconds`) is over, and no pod says why."""
    NOT_OBSERVED = "not_observed"
    """Its controller has not looked at what was applied."""
    GONE = "gone"
    """It is on its way out, and does not go."""
    UNKNOWN = "unknown"
    """Too few pods are available, and nothing says why."""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How one workload stands, as judged from its newest state: a pure function of the cluster's state."""

    state: RolloutState
    cause: RolloutCause | None = None
    """Of BLOCKED and FAILED always; of PROGRESSING where there is a first sign."""
    message: str = ""
    """The cluster's own words; redacted, at most 1 KiB."""
    pod: str = ""
    """Which pod says so."""
    container: str = ""
    reached: Moment | None = None
    """Of ROLLED_OUT: the cluster's own timestamp of it (`exact`), where it has one; else None."""


class RunningState(StrEnum):
    """What is known of the last stage of a sync."""

    UNREAD = "unread"
    """Not applied yet, or what it changed has not been read again since."""
    WAITING = "waiting"
    REACHED = "reached"
    ABSENT = "absent"
    """Nothing that it changed is to run."""
    UNKNOWN = "unknown"
    """Cannot be known: workloads are not watched there, may not be read, or it is too late."""
