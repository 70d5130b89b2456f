"""What a commit's status says, whatever the forge: each one's client writes it in its own words."""

from enum import StrEnum

import msgspec


class StatusState(StrEnum):
    """What a status means; forges have fewer words, and their own."""

    PENDING = "pending"
    """Not there yet."""
    RUNNING = "running"
    """On its way: fetched, applied, or being checked."""
    SUCCESS = "success"
    FAILURE = "failure"
    """It ended badly, for good or until somebody does something."""
    ERROR = "error"
    """It will not come: lost, abandoned, rolled back."""
    NEUTRAL = "neutral"
    """Nothing to deliver here: unaffected."""

    @property
    def is_final(self) -> bool:
        return self not in (StatusState.PENDING, StatusState.RUNNING)


class CommitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One line on a commit: the newest of a context counts."""

    state: StatusState
    context: str
    """Under which name; not empty. Forges compare it without case."""
    description: str = ""
    url: str = ""
    """Where people read more; `https://` or `http://`, or empty."""
    environment: str = ""
    """Which environment it is about."""


class DeploymentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment of a commit to an environment, as GitHub and GitLab keep them."""

    sha: str
    ref: str = ""
    """Its branch, where that is known (GitLab wants one)."""
    environment: str
    description: str = ""
    is_production: bool = False
    is_transient: bool = False
    key: str = ""
    """Stable: by it a deployment that was made, and whose answer got lost, is found again."""
