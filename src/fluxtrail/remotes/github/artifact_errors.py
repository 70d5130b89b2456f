"""What can go wrong when GitHub is told of deployments.

    UpstreamError
    ├── RequestRefusedError             a 4xx that no repetition mends
    │   └── CredentialsRefusedError     401, 403; also an AuthError
    ├── RetriesExhaustedError           every attempt failed
    │   └── LimitedOutError             ... because of the rate limit; also a RateLimitedError
    ├── JobTimeoutError                 a job has not ended in time
    ├── NotFoundError
    │   ├── UnknownArtifactError        GitHub knows no artifact of this digest (yet)
    │   └── NoRepositoriesError         ... of none in a whole bulk, or it does not serve the call
    └── ConflictError
        ├── JobConflictError            another job of this cluster is under way
        └── RecordConflictError         the record is being written by somebody else
    FluxtrailError
    └── UnsendableError                 what was to be sent cannot be: nothing was asked

A plain RateLimitedError means: postponed, because the wait is longer than callers are held.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from fluxtrail.model.errors import (
    AuthError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
)

E = TypeVar("E", bound=FluxtrailError)


class RequestRefusedError(UpstreamError):
    """GitHub does not take it as it is. The message has its status and what it said."""

    retryable_by_default = False


class CredentialsRefusedError(RequestRefusedError, AuthError):
    """401 or 403: nothing is wrong with the record."""


class RetriesExhaustedError(UpstreamError):
    """Every attempt met a broken connection or a failure of the server."""


class LimitedOutError(RetriesExhaustedError, RateLimitedError):
    """Every attempt met the rate limit; `retry_after_seconds` is never None."""


class JobTimeoutError(UpstreamError):
    """The job may still end well."""


class UnknownArtifactError(NotFoundError):
    """GitHub has no attestation of `digest`; one that comes later mends it."""

    def __init__(self, message: str, *, digest: str = "", said: str = "", subject: str | None = None) -> None:
        super().__init__(message, status=404, subject=subject)
        self.digest = digest
        self.said = said
        """GitHub's own message: "Not Found" instead of "no artifacts found" hints at the organisation or the token."""


class NoRepositoriesError(NotFoundError):
    """404 of a whole bulk: it says nothing about any single record."""


class JobConflictError(ConflictError):
    retryable_by_default = True


class RecordConflictError(ConflictError):
    retryable_by_default = True


class UnsendableError(FluxtrailError):
    """The caller's mistake, found before anything was sent."""


def prefixed(exc: E, what: str) -> E:
    """Return the same error saying first what was tried."""
    told = copy.copy(exc)
    told.message = f"{what}: {exc.message}"
    told.args = (told.message,)
    return told
