"""Every error Fluxtrail raises on purpose, as one tree.

    FluxtrailError
    ├── ConfigError          a setting, a kubeconfig, a flag: the operator must change something
    ├── UpstreamError        another system answered with a failure (carries its HTTP status, where there is one)
    │   ├── AuthError        401, 403: credentials missing, wrong or too weak
    │   ├── NotFoundError    404, 410: the thing is not there, or is hidden from these credentials
    │   ├── ConflictError    409, 422: the other side's state forbids it
    │   └── RateLimitedError 429 and the 403 that means it: `retry_after_seconds` says when
    ├── StoreError           the ledger could not be read or written
    └── WireError            bytes from outside did not have the shape they promised

Backends translate third-party exceptions into these (`raise X(...) from exc`); no third-party exception
crosses a folder's border. Messages never hold a secret: build them from redacted text (`model/redaction.py`).
"""

from __future__ import annotations


class FluxtrailError(Exception):
    """The root of all errors raised on purpose.

    Args:
        message: what is wrong and what to do, fit for a person; no secrets.
        retryable: whether doing the same again may succeed without anybody changing anything.
        retry_after_seconds: when the other side said to come back, or None.
        subject: what it is about: a field, an object (`Kustomization/flux-system/apps`), a URL without userinfo.
    """

    retryable_by_default = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after_seconds = retry_after_seconds
        self.subject = subject

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" if self.subject else self.message


class ConfigError(FluxtrailError):
    """A setting is missing, unknown or contradictory. `subject` names the field."""


class UpstreamError(FluxtrailError):
    """Another system failed us. `status` is its HTTP status where it had one."""

    retryable_by_default = True

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
        subject: str | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after_seconds=retry_after_seconds, subject=subject)
        self.status = status


class AuthError(UpstreamError):
    """Credentials were refused. Not retryable until they change."""

    retryable_by_default = False


class NotFoundError(UpstreamError):
    """The thing does not exist, or these credentials may not know that it does."""

    retryable_by_default = False


class ConflictError(UpstreamError):
    """The other side's present state forbids the call."""

    retryable_by_default = False


class RateLimitedError(UpstreamError):
    """The other side asked us to wait; `retry_after_seconds` says how long where it told us."""


class StoreError(FluxtrailError):
    """The ledger could not be read or written."""


class WireError(FluxtrailError):
    """Bytes from outside did not have the shape they promised. The rest of the input is still good."""
