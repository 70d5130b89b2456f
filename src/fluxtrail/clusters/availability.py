"""When to say that a kind cannot be watched, and to say it once."""

from __future__ import annotations

from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.subjects import WatchOptions
from fluxtrail.model.errors import AuthError, FluxtrailError
from fluxtrail.model.observation import Unavailable
from fluxtrail.model.redaction import redact


class Availability:
    """Turns failures into `Unavailable`, once per change of reason.

    A refusal is said at once; a server that gives no answer only after a while, because servers restart.
    """

    def __init__(self, group: str, kind: str, *, where: str, clock: Clock, options: WatchOptions) -> None:
        self._group = group
        self._kind = kind
        self._where = where
        self._clock = clock
        self._options = options
        self._said: str | None = None
        self._failing_since: float | None = None
        self._attempts = 0

    def alive(self) -> None:
        """The server answered as it should."""
        self._said = None
        self._failing_since = None
        self._attempts = 0

    def missing(self, message: str) -> Unavailable | None:
        """The kind is not served. The server answered, so this is no failure of it."""
        self._failing_since = None
        self._attempts = 0
        return self._say("not_installed", message)

    def failed(self, error: FluxtrailError) -> Unavailable | None:
        """Return what to say about `error` now, if anything."""
        if isinstance(error, AuthError):
            return self._say("forbidden" if error.status == 403 else "unauthorized", str(error))
        now = self._clock.monotonic()
        self._attempts += 1
        if self._failing_since is None:
            self._failing_since = now
        is_long = now - self._failing_since >= self._options.unreachable_after_seconds
        if is_long or self._attempts >= self._options.unreachable_after_attempts:
            return self._say("unreachable", str(error))
        return None

    def _say(self, reason: str, message: str) -> Unavailable | None:
        if self._said == reason:
            return None
        self._said = reason
        return Unavailable(
            group=self._group,
            kind=self._kind,
            observed_at=self._clock.now(),
            reason=reason,
            message=redact(f"{message}{self._where}"),
        )
