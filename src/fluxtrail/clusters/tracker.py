"""Follows one kind in one namespace, or in all, for ever: finds, lists, watches, and starts over where it must."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from random import Random
from typing import Generic, TypeVar
from urllib.parse import quote

import structlog

from fluxtrail.clusters.answers import FutureVersionError, GoneError, SilenceError
from fluxtrail.clusters.availability import Availability
from fluxtrail.clusters.backoff import Backoff
from fluxtrail.clusters.clock import Clock
from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource, find_resource
from fluxtrail.clusters.held import HeldObjects
from fluxtrail.clusters.listing import is_older, list_pages, metadata_only, newest_version
from fluxtrail.clusters.subjects import Emit, OnProblem, Subject, WatchOptions, WatchStats
from fluxtrail.clusters.transport import ByteStream
from fluxtrail.clusters.watchpass import Fence, Position, RelistError, WatchPass
from fluxtrail.clusters.wire import Identified
from fluxtrail.model.errors import ConfigError, FluxtrailError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.observation import Listed, ObjectKey, Observation, Unavailable

T = TypeVar("T")

_BRIEF_SECONDS = 1.0
"""A stream that ends sooner did not work: the next one waits."""
_NAMESPACE_FIELD = "metadata.namespace"
_WATCH_LIST_REFUSALS = frozenset({400, 405, 422, 501})
_ON_ITS_WAY_SECONDS = 1.0
"""What the server has just said may be on its way in the stream."""
NO_NAMES = frozenset({"", ".", ".."})
"""No object is named so, and the path would be another's."""
_log = structlog.get_logger(__name__)


class EmitError(Exception):
    """Carries what the receiver raised past the handling of the server's own failures."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Tracker(Generic[T]):
    """The life of one stream. Its memory of held objects begins empty, so a tracker is run once."""

    def __init__(
        self,
        connection: Connection,
        subject: Subject[T],
        namespace: str | None,
        *,
        options: WatchOptions,
        clock: Clock,
        random: Random,
        stats: WatchStats,
        on_problem: OnProblem,
        emit: Emit[T],
    ) -> None:
        self._connection = connection
        self._subject = subject
        self.namespace = namespace
        self._options = options
        self._clock = clock
        self._random = random
        self._stats = stats
        self._receive = emit
        self._held: HeldObjects[T] = HeldObjects(subject, stats, on_problem)
        self._position = Position()
        self._stream: ByteStream | None = None
        self._resource: Resource | None = None
        self._uses_watch_list = options.uses_watch_list
        self._is_paged_next = False
        self._incomplete = 0
        self._is_resume = False
        where = f" (namespace {namespace})" if namespace else ""
        self._availability = Availability(subject.group, subject.kind, where=where, clock=clock, options=options)
        self._backoff = Backoff(random, cap_seconds=options.backoff_cap_seconds)
        self._missing_backoff = Backoff(random, base_seconds=2.0, cap_seconds=options.missing_cap_seconds)
        self._log = _log.bind(cluster=connection.name, kind=subject.kind, namespace=namespace)

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            EmitError: the receiver failed.
        """
        while True:
            try:
                await self._step()
            except (UpstreamError, WireError, ConfigError) as error:
                await self._recover(error)

    async def is_behind(self, namespace: str, name: str) -> bool:
        """See `Watcher.is_behind`. Whoever is about to list is not behind: that brings everything."""
        resource = self._resource
        if resource is None or self._position.version is None or name in NO_NAMES or namespace in NO_NAMES:
            return False
        key = ObjectKey(self._subject.group, self._subject.kind, namespace, name)
        before = self._held.held_version(key)
        found = await self._read_version(resource, namespace, name)
        if found == before:
            return False
        await self._clock.sleep(_ON_ITS_WAY_SECONDS)
        held = self._held.held_version(key)
        if found is None or held is None:
            return held == before
        return is_older(held, found)

    async def _read_version(self, resource: Resource, namespace: str, name: str) -> str | None:
        path = f"{resource.path(quote(namespace, safe=''))}/{quote(name, safe='')}"
        try:
            found = await self._connection.get(path, Identified, accept=metadata_only(is_list=False))
        except NotFoundError:
            return None
        return found.metadata.resource_version if found.metadata is not None else None

    def renew(self) -> None:
        """Take the present connection for dead."""
        if self._stream is not None:
            self._stream.give_up()

    async def _step(self) -> None:
        resource = self._resource or await self._discover()
        if resource is None:
            return
        if self._position.version is not None:
            await self._watch(resource, is_initial=False)
        elif self._uses_watch_list and not self._is_paged_next:
            await self._watch(resource, is_initial=True)
        else:
            await self._list(resource)

    async def _discover(self) -> Resource | None:
        subject = self._subject
        self._resource = await find_resource(self._connection, subject.group, subject.kind, subject.versions)
        if self._resource is not None:
            self._missing_backoff.reset()
            return self._resource
        # An API server that is starting up answers 404 for custom resources: nothing is said to be gone, only the
        # next listing can tell.
        self._position.version = None
        versions = ", ".join(subject.versions) or "any version"
        message = f"the server has no {subject.kind} in {subject.group or 'core'} at {versions}; is its CRD installed?"
        await self._announce(self._availability.missing(message))
        await self._clock.sleep(self._missing_backoff.next_seconds())
        return None

    async def _list(self, resource: Resource) -> None:
        started_at, started = self._clock.now(), self._clock.monotonic()
        version = ""
        self._held.begin_round()
        pages = list_pages(
            self._connection,
            resource.path(self.namespace),
            self._selectors(resource),
            accept=self._accept(is_list=True),
            limit=self._options.page_limit,
            limit_bytes=self._options.page_limit_bytes,
        )
        async with aclosing(pages):
            async for page in pages:
                now = self._clock.now()
                self._stats.last_byte_at = now
                found = (page.metadata.resource_version if page.metadata else None) or ""
                if not version and is_older(found, self._position.last_version or ""):
                    self._note_regress(found)
                version = found or version
                batch: list[Observation[T]] = []
                for raw in page.items or ():
                    self._held.see(raw, now, batch, is_continuous=False)
                await self._emit(batch)
        gone: list[Observation[T]] = [*self._held.end_round(self._clock.now())]
        # The list shows the instant of its first answer, however long the pages took: complete from the start only.
        gone.append(Listed(group=self._subject.group, kind=self._subject.kind, observed_at=started_at))
        await self._emit(gone)
        self._position.version = self._position.last_version = version
        self._position.complete(started_at, started)
        self._stats.lists += 1
        self._is_paged_next = False
        self._is_resume = False
        self._availability.alive()

    async def _watch(self, resource: Resource, *, is_initial: bool) -> None:
        path = resource.path(self.namespace)
        fence = None if is_initial else await self._fence(resource)
        if is_initial:
            self._held.begin_round()
        watch = WatchPass(
            self._subject,
            self._held,
            self._position,
            options=self._options,
            clock=self._clock,
            stats=self._stats,
            is_initial=is_initial,
            fence=fence,
            on_alive=self._availability.alive,
        )
        opened = self._clock.monotonic()
        try:
            params = self._watch_params(resource, is_initial=is_initial)
            async with self._connection.stream(path, params, accept=self._accept(is_list=False)) as stream:
                self._stats.resumes += self._is_resume and not is_initial
                self._is_resume = True
                self._stream = stream
                await watch.run(stream, self._emit)
        except SilenceError as error:
            self._after_silence(watch, error)
        except UpstreamError as error:
            if not (is_initial and watch.is_initial and error.status in _WATCH_LIST_REFUSALS):
                raise
            self._give_up_watch_list(str(error))
            return
        finally:
            self._stream = None
            is_brief = self._clock.monotonic() - opened < _BRIEF_SECONDS
            if not is_brief:
                self._backoff.reset()
        await self._after_end(watch, is_brief=is_brief)

    async def _fence(self, resource: Resource) -> Fence | None:
        """Ask how far the server is before resuming.

        That tells an etcd restore (it is behind us: resuming would silently skip what comes until it has caught up),
        and where the backlog ends that gathered while nobody watched.
        """
        version = self._position.version or ""
        gap_seconds = self._clock.monotonic() - self._position.complete_seconds
        is_late = gap_seconds > self._options.gap_tolerance_seconds
        if not self._is_resume and not is_late:
            return None
        asked_at = self._clock.now()
        newest = await newest_version(
            self._connection,
            resource.path(self.namespace),
            self._selectors(resource),
            accept=self._accept(is_list=True),
        )
        if is_older(newest, version):
            raise RelistError(
                f"the server is at resourceVersion {newest}, behind {version}: its storage was restored",
                forgets_versions=True,
            )
        return Fence(newest, asked_at, is_late) if newest != version else None

    def _after_silence(self, watch: WatchPass[T], error: SilenceError) -> None:
        if watch.is_initial:
            self._give_up_watch_list(str(error))
        elif not watch.has_bytes:
            # Even bookmarks stayed away from the start: perhaps the server waits for a version it never reaches.
            raise RelistError(f"{error.message} since the stream was opened") from error
        self._log.info("watch_silent", error=str(error))

    async def _after_end(self, watch: WatchPass[T], *, is_brief: bool) -> None:
        """A stream ended without an error, as they do every few minutes."""
        if watch.is_initial:
            self._incomplete += 1
            if self._incomplete >= 2 and self._uses_watch_list:
                self._give_up_watch_list("the stream ended twice before its initial events did")
        else:
            self._incomplete = 0
        if is_brief:
            await self._clock.sleep(self._backoff.next_seconds(is_first_free=True))

    def _give_up_watch_list(self, why: str) -> None:
        self._uses_watch_list = False
        self._log.info("watch_list_unsupported", why=why)

    async def _recover(self, error: FluxtrailError) -> None:
        self._stats.failures += 1
        is_free = is_failure = False
        match error:
            case RelistError():
                self._relist(error, forgets_versions=error.forgets_versions)
                self._is_paged_next = self._is_paged_next or error.is_paged
                is_free = True
            case FutureVersionError():
                self._relist(error, forgets_versions=self._position.version is not None)
                is_free = True
            case GoneError():
                self._relist(error, forgets_versions=False)
                is_free = True
            case NotFoundError():
                self._resource = None
                is_free = is_failure = True
            case _:
                is_failure = True
                self._log.info("watch_failed", error=str(error))
        if is_failure:
            await self._announce(self._availability.failed(error))
        wait = self._backoff.next_seconds(is_first_free=is_free)
        await self._clock.sleep(max(wait, error.retry_after_seconds or 0.0))

    def _relist(self, error: FluxtrailError, *, forgets_versions: bool) -> None:
        if self._position.version is not None:
            self._stats.relists += 1
        self._position.version = None
        if forgets_versions:
            self._position.last_version = None
            self._held.forget_versions()
        self._log.info("watch_relists", why=str(error))

    def _note_regress(self, found: str) -> None:
        self._log.warning("resource_version_went_back", found=found, known=self._position.last_version)
        self._position.last_version = None
        self._held.forget_versions()

    def _accept(self, *, is_list: bool) -> str:
        return metadata_only(is_list=is_list) if self._subject.is_metadata_only else ""

    def _selectors(self, resource: Resource) -> dict[str, str]:
        fields = self._subject.field_selector
        if not resource.is_namespaced:
            # Such a kind knows no `metadata.namespace`: the server would refuse the whole request.
            fields = ",".join(term for term in fields.split(",") if not term.startswith(_NAMESPACE_FIELD))
        selectors = {"labelSelector": self._subject.label_selector, "fieldSelector": fields}
        return {name: text for name, text in selectors.items() if text}

    def _watch_params(self, resource: Resource, *, is_initial: bool) -> dict[str, str]:
        jitter = self._random.randint(0, self._options.watch_jitter_seconds)
        params = {
            **self._selectors(resource),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._options.watch_seconds + jitter),
        }
        if is_initial:
            return {**params, "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return {**params, "resourceVersion": self._position.version or ""}

    async def _announce(self, unavailable: Unavailable | None) -> None:
        if unavailable is not None:
            await self._emit([unavailable])

    async def _emit(self, batch: Sequence[Observation[T]]) -> None:
        if not batch:
            return
        try:
            await self._receive(batch)
        except Exception as error:
            raise EmitError(error) from error
