"""A Kubernetes Lease: of all processes that would write, one does.

The one whose name is in the Lease writes it again every few seconds; another may take it once it has seen no change
for as long as the Lease says. That time runs on the waiting process's own monotonic clock, from the moment *it* saw
the last change: two machines' clocks are never compared, so a wrong one takes nothing away from anybody.
The holder gives up earlier than others may take over, so that it has time to stop writing.

Every write carries the resourceVersion that it was decided on: of two that try at once, the server refuses one.
Source: client-go tools/leaderelection; kubernetes API reference, Lease v1 coordination.k8s.io.
"""

import asyncio

import msgspec
import structlog

from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.connection import Connection
from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    FluxtrailError,
    NotFoundError,
    UpstreamError,
    WireError,
)

LEASE_GROUP = "coordination.k8s.io"
LEASE_PLURAL = "leases"
LEASE_VERBS = ("create", "get", "update")
DURATION_SECONDS = 15
RENEW_SECONDS = 5.0
GIVE_UP_SECONDS = 10.0
"""Without a renewal for so long the lease counts as lost: a third of its duration is left for stopping."""
RETRY_SECONDS = 1.0
REQUEST_SECONDS = 5.0
RELEASE_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class LeaseLostError(FluxtrailError):
    """We no longer hold the lease, or cannot know: another process may be writing. Stop, start again, wait."""

    retryable_by_default = True


class LeaseSpec(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who holds it. The times are for people: nothing is decided by them but whether they changed."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Metadata(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    name: str
    namespace: str
    resource_version: str | None = None


class _Lease(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Metadata
    spec: LeaseSpec | None = None
    api_version: str = f"{LEASE_GROUP}/v1"
    kind: str = "Lease"


class Lease:
    """One process's claim on one Lease object. For one task at a time.

    `acquire` until it is ours, then `keep` beside the work, then `release`.

    Args:
        identity: of this process alone; never used again by another one, not even by itself after a restart.
    """

    def __init__(self, connection: Connection, *, namespace: str, name: str, identity: str, clock: Clock) -> None:
        self.identity = identity
        self.subject = f"Lease/{namespace}/{name}"
        self.problem = "not asked for yet"
        """Why it is not ours; empty while it is."""
        self._connection = connection
        self._collection = f"/apis/{LEASE_GROUP}/v1/namespaces/{namespace}/{LEASE_PLURAL}"
        self._metadata = _Metadata(name=name, namespace=namespace)
        self._clock = clock
        self._seen: LeaseSpec | None = None
        self._seen_at = 0.0
        self._version: str | None = None
        self._spec = LeaseSpec()
        self._renewed_at = 0.0

    async def acquire(self) -> None:
        """Return once the lease is ours, however long that takes. `problem` says meanwhile what is waited for.

        Raises:
            ConfigError: the API server does not know such objects.
        """
        while not await self._is_acquired():
            await self._clock.sleep(RENEW_SECONDS)
        _log.info("lease acquired", lease=self.subject, identity=self.identity)

    async def keep(self) -> None:
        """Renew the lease for ever.

        Raises:
            LeaseLostError: it is another's now, or it could not be renewed in time.
        """
        why = "it was not renewed"
        # It may have been ours for a while already.
        wait = max(0.0, self._renewed_at + RENEW_SECONDS - self._clock.monotonic())
        while True:
            await self._clock.sleep(wait)
            left = self._renewed_at + GIVE_UP_SECONDS - self._clock.monotonic()
            if left <= 0:
                raise self._lost(f"could not be renewed for {GIVE_UP_SECONDS:g} s ({why})")
            try:
                async with asyncio.timeout(left):
                    await self._renew()
                wait = RENEW_SECONDS
            except (UpstreamError, WireError, TimeoutError) as error:
                why = str(error) or "no answer"
                wait = RETRY_SECONDS
                _log.warning("lease not renewed", lease=self.subject, error=why, lost_in_seconds=round(left, 1))

    async def release(self) -> None:
        """Let the next one have it at once. Best effort: where it fails, the lease runs out by itself."""
        if self._version is None:
            return
        told = self._spec.lease_transitions
        spec = LeaseSpec(lease_duration_seconds=1, renew_time=self._stamp(), lease_transitions=told)
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._replace(spec, self._version)
        except (FluxtrailError, TimeoutError) as error:
            _log.debug("lease not released", lease=self.subject, error=str(error))
        self._version = None
        self.problem = "released"

    async def _is_acquired(self) -> bool:
        before = self.problem
        try:
            self.problem = await self._try()
        except AuthError as error:
            self.problem = self._explain_refusal(error)
        except ConflictError:
            self.problem = "another process asked for it at the same moment"
        except (UpstreamError, WireError) as error:
            self.problem = str(error)
        if self.problem and self.problem != before:
            _log.warning("waiting for the lease", lease=self.subject, reason=self.problem)
        return not self.problem

    async def _try(self) -> str:
        """Take the lease if nobody holds it. Return why not, or "".

        Raises:
            UpstreamError: and its subclasses; a ConflictError where another was faster.
        """
        found = await self._find()
        if found is None:
            await self._create()
            return ""
        spec = found.spec or LeaseSpec()
        if spec != self._seen:
            self._seen, self._seen_at = spec, self._clock.monotonic()
        if spec.holder_identity not in (None, "", self.identity):
            left = self._seen_at + (spec.lease_duration_seconds or DURATION_SECONDS) - self._clock.monotonic()
            if left > 0:
                return f"held by {spec.holder_identity}"
        await self._take(spec, found.metadata.resource_version)
        return ""

    async def _renew(self) -> None:
        """Write the lease again, by what we know of it; where that is out of date, by what it has become."""
        try:
            await self._write(self._spec, self._version)
            return
        except (ConflictError, NotFoundError) as error:
            _log.info("lease changed under us", lease=self.subject, error=str(error))
        found = await self._find()
        if found is None:
            # Somebody deleted it. Whoever makes it first has it; if that is not us, the next look says so.
            await self._create()
            return
        holder = found.spec.holder_identity if found.spec else None
        if holder != self.identity:
            raise self._lost(f"is held by {holder or 'nobody'} now")
        await self._write(self._spec, found.metadata.resource_version)

    async def _find(self) -> _Lease | None:
        try:
            return await self._connection.get(
                f"{self._collection}/{self._metadata.name}", _Lease, timeout_seconds=REQUEST_SECONDS
            )
        except NotFoundError:
            return None

    async def _create(self) -> None:
        asked_at = self._clock.monotonic()
        spec = self._new_spec(transitions=0)
        try:
            stored = await self._connection.create(
                self._collection, _Lease(self._metadata, spec), _Lease, timeout_seconds=REQUEST_SECONDS
            )
        except NotFoundError as error:
            message = (
                f"cannot be made: {error.message}; create its namespace, or name another one in the setting "
                "lease.namespace"
            )
            raise ConfigError(message, subject=self.subject) from error
        self._note(stored, spec, asked_at)

    async def _take(self, found: LeaseSpec, version: str | None) -> None:
        is_change = found.holder_identity != self.identity
        spec = self._new_spec(transitions=(found.lease_transitions or 0) + is_change)
        await self._write(spec, version)

    async def _write(self, spec: LeaseSpec, version: str | None) -> None:
        asked_at = self._clock.monotonic()
        spec = msgspec.structs.replace(spec, renew_time=self._stamp())
        self._note(await self._replace(spec, version), spec, asked_at)

    async def _replace(self, spec: LeaseSpec, version: str | None) -> _Lease:
        metadata = msgspec.structs.replace(self._metadata, resource_version=version)
        return await self._connection.replace(
            f"{self._collection}/{metadata.name}", _Lease(metadata, spec), _Lease, timeout_seconds=REQUEST_SECONDS
        )

    def _note(self, stored: _Lease, spec: LeaseSpec, asked_at: float) -> None:
        """Remember that the lease is ours, from before we asked on: the server may have stored it right then."""
        self._version, self._spec, self._renewed_at = stored.metadata.resource_version, spec, asked_at
        self.problem = ""

    def _new_spec(self, *, transitions: int) -> LeaseSpec:
        now = self._stamp()
        return LeaseSpec(
            holder_identity=self.identity,
            lease_duration_seconds=DURATION_SECONDS,
            acquire_time=now,
            renew_time=now,
            lease_transitions=transitions,
        )

    def _stamp(self) -> str:
        """Return now as a `MicroTime`: the API refuses other numbers of digits. Source: apimachinery meta/v1."""
        return self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _lost(self, why: str) -> LeaseLostError:
        self._version = None
        self.problem = why
        return LeaseLostError(
            f"{why}; another process may be writing, so this one ends. Start it again: it waits its turn",
            subject=self.subject,
        )

    def _explain_refusal(self, error: AuthError) -> str:
        if error.status == 401:
            return str(error)
        return (
            f"{error}; allow {', '.join(LEASE_VERBS)} on {LEASE_PLURAL} of {LEASE_GROUP} in the namespace "
            f"{self._metadata.namespace} (deploy/base/lease.yaml), or set lease.enabled to false"
        )
