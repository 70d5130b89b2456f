"""What Kubernetes' reasons and messages mean for a roll-out: tables, and what reads them.

Sources: kubelet `pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`, `pkg/kubelet/lifecycle`
and its eviction manager; the scheduler's volume plugins; `PodConditionType` DisruptionTarget of core/v1; the quota and
LimitRanger admission plugins. Reasons are an API, messages are not: a message only tells two causes of one reason
apart, and what it does not tell goes to the more general cause.
"""

from __future__ import annotations

from typing import Final

from fluxtrail.model.rollout import RolloutCause

MAX_MESSAGE = 1024

IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
CONFIGURATION_REASONS: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "RunInitContainerError",
        "PreStartHookError",
        "PreCreateHookError",
        "StartError",
        "ContainerCannotRun",
    }
)
"""What a container asks for is not there, or the runtime does not start it like that: no such command, mount, user."""

CRASH_REASONS: Final = frozenset({"CrashLoopBackOff", "PostStartHookError"})
SANDBOX_REASONS: Final = frozenset(
    {
        "CreatePodSandboxError",
        "ConfigPodSandboxError",
        "KillPodSandboxError",
        "SetupNetworkError",
        "TeardownNetworkError",
        "UnexpectedAdmissionError",
        "SysctlForbidden",
        "AppArmor",
    }
)
LOST_REASONS: Final = frozenset({"NodeLost", "DeletionByTaintManager", "DeletionByPodGC"})
"""The taint manager deletes for any NoExecute taint; those of a lost node are the ones that come by themselves."""

EVICTED_REASONS: Final = frozenset(
    {
        "Evicted",
        "EvictionByEvictionAPI",
        "EvictionByKubelet",
        "Preempting",
        "Preempted",
        "PreemptionByScheduler",
        "PreemptionByKubeScheduler",
        "TerminationByKubelet",
        "Terminated",
        "Shutdown",
        "NodeShutdown",
    }
)
UNPLACED_REASONS: Final = frozenset(
    {
        "Unschedulable",
        "SchedulerError",
        "SchedulingGated",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "TaintToleration",
        "TopologyAffinityError",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "PodOSNotSupported",
    }
)
OUT_OF = "OutOf"
"""The node refused the pod for want of something: OutOfcpu, OutOfmemory, OutOfpods. A killed container is OOMKilled."""

GATE_REASON = "ReadinessGatesNotReady"

_VOLUME_WORDS: Final = (
    "persistentvolumeclaim",
    "persistent volume",
    "persistentvolume",
    "pvc(s)",
    "volume node affinity",
    "volume zone",
    "volume count",
    "volume limits",
    "binding volumes",
    "storageclass",
)
_WANT_WORDS: Final = ("insufficient", "too many pods")
_QUOTA_WORDS: Final = (
    "exceeded quota",
    "failed quota",
    "insufficient quota",
    "usage per container",
    "usage per pod",
    "limit to request ratio",
)


def cause_of_waiting(reason: str) -> RolloutCause | None:
    """Return what a container's `state.waiting.reason` means; None for what each container goes through."""
    if reason in IMAGE_REASONS:
        return RolloutCause.IMAGE_PULL
    if reason in CONFIGURATION_REASONS:
        return RolloutCause.CONFIGURATION
    if reason in SANDBOX_REASONS:
        return RolloutCause.SANDBOX
    return RolloutCause.CRASH_LOOP if reason in CRASH_REASONS else None


def cause_of_pod(reason: str, message: str) -> RolloutCause | None:
    """Return what a pod's own reason means: of its `PodScheduled`, `Ready`, `DisruptionTarget`, or of its status."""
    if reason in LOST_REASONS:
        return RolloutCause.NODE_LOST
    if reason in EVICTED_REASONS:
        return RolloutCause.EVICTED
    if reason in UNPLACED_REASONS:
        return RolloutCause.VOLUME if is_about_volumes(reason, message) else RolloutCause.UNSCHEDULABLE
    if reason.startswith(OUT_OF):
        return RolloutCause.UNSCHEDULABLE
    if reason in SANDBOX_REASONS:
        return RolloutCause.SANDBOX
    if reason == "DeadlineExceeded":
        return RolloutCause.DEADLINE
    return RolloutCause.PROBE if reason == GATE_REASON else None


def is_about_volumes(reason: str, message: str) -> bool:
    """Whether it is volumes for which no node takes a pod.

    Where other nodes want for something else (`1 node(s) had volume node affinity conflict, 2 Insufficient cpu`), room
    on those would do: that is not the volume's fault.
    """
    text = message.lower()
    wants = any(word in text for word in _WANT_WORDS)
    return reason != "SchedulingGated" and not wants and any(word in text for word in _VOLUME_WORDS)


def cause_of_refusal(message: str) -> RolloutCause:
    """Return why pods are not made: `FailedCreate` of a ReplicaSet has only the API server's answer."""
    text = message.lower()
    return RolloutCause.QUOTA if any(word in text for word in _QUOTA_WORDS) else RolloutCause.REFUSED


def join_words(reason: str, message: str) -> str:
    """Return the cluster's own words in one line, at most 1 KiB."""
    return (f"{reason}: {message}" if reason and message else reason or message)[:MAX_MESSAGE]
