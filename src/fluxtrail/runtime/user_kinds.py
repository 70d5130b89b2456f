"""The kinds that a user's configuration means, as one cluster serves them: found, watched, and let go when they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from fluxtrail.clusters.connection import Connection
from fluxtrail.clusters.discovery import Resource as Served
from fluxtrail.clusters.served import served_kinds
from fluxtrail.model.errors import AuthError, FluxtrailError
from fluxtrail.reports.resource_metrics.configuration import Resource
from fluxtrail.reports.resource_metrics.series import MISSING_GRACE
from fluxtrail.reports.resource_metrics.user_file import ANY, Kinds, UserResource
from fluxtrail.runtime.kind_streams import STREAM_PREFIX, KindStream
from fluxtrail.runtime.stream_state import StreamState
from fluxtrail.runtime.user_configuration import UserConfiguration
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

DISCOVERY_SECONDS = 10.0
"""How often it is asked what is served. It takes one small answer for each group, and one for each of its versions."""
TIMEOUT_SECONDS = 30.0


class _Kind(NamedTuple):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.version}{'.' if self.group else ''}{self.group}"


class UserKinds:
    """One cluster's. `follow` it for as long as its connection is good; what it found outlives that.

    Args:
        configuration: what is meant; where two entries mean one kind, the later one counts.
        open_stream: makes the stream of that name.
    """

    def __init__(
        self,
        configuration: UserConfiguration,
        open_stream: Callable[[str, Resource], KindStream],
        *,
        cluster: str,
        clock: Clock,
    ) -> None:
        self._configuration = configuration
        self._open_stream = open_stream
        self._cluster = cluster
        self._clock = clock
        self._entries: tuple[UserResource, ...] = ()
        self._by_group: dict[str, list[UserResource]] = {}
        self._discovery = StreamState(kind=f"{STREAM_PREFIX}discovery")
        self._streams: dict[_Kind, KindStream] = {}
        self._missing_since: dict[_Kind, datetime] = {}
        self._unserved: set[Kinds] = set()
        self._twice: set[_Kind] = set()

    @property
    def states(self) -> Mapping[str, StreamState]:
        """How the search stands, and each kind that was found, by the streams' names."""
        return {state.kind: state for state in (self._discovery, *(each.state for each in self._streams.values()))}

    @property
    def streams(self) -> Sequence[KindStream]:
        return list(self._streams.values())

    async def follow(self, connection: Connection) -> None:
        """Look for what is served, again and again, and watch it, until cancelled."""
        watches: dict[KindStream, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                await self._configuration.refresh()
                self._arrange()
                problems = []
                for asked in self._by_group:
                    problems += await self._look(connection, asked)
                    self._keep(watches, connection, group)
                self._keep(watches, connection, group)
                self._note_round(problems)
                await self._clock.sleep(DISCOVERY_SECONDS)

    def _arrange(self) -> None:
        """Take a configuration that is new. Kinds of a group that it does not name go at once."""
        if self._entries == self._configuration.entries:
            return
        self._entries = self._configuration.entries
        self._by_group = {entry.kinds.group: [] for entry in self._entries}
        for entry in self._entries:
            self._by_group[entry.kinds.group].append(entry)
        for kind in [kind for kind in self._streams if not self._is_meant(kind)]:
            self._drop(kind)

    def _is_meant(self, kind: _Kind) -> bool:
        return any(entry.kinds.match(kind.version, kind.kind) for entry in self._by_group.get(kind.group, ()))

    def _drop(self, kind: _Kind) -> None:
        self._missing_since.pop(kind, None)
        self._streams.pop(kind).drop()

    def _keep(
        self, watches: dict[KindStream, asyncio.Task[None]], connection: Connection, group: asyncio.TaskGroup
    ) -> None:
        """Watch what is there, and nothing else."""
        wanted = {stream: kind for kind, stream in self._streams.items()}
        for stream in [stream for stream in watches if stream not in wanted]:
            watches.pop(stream).cancel()
        for stream, kind in wanted.items():
            if stream not in watches:
                name = f"{self._cluster}/resources/{kind}"
                watches[stream] = group.create_task(stream.watch(connection), name=name)

    async def _look(self, connection: Connection, group: str) -> list[tuple[str, str]]:
        """Find out what there is of one group. Where the server cannot say, all stays as it was; return why."""
        entries = self._by_group[group]
        versions = {entry.kinds.version for entry in entries}
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                served = await served_kinds(connection, group, () if ANY in versions else versions)
        except (FluxtrailError, TimeoutError) as error:
            reason = "forbidden" if isinstance(error, AuthError) else "unreachable"
            return [(reason, f"what is served of the group {group or 'core'} cannot be asked: {error}")]
        self._take(group, self._meant(entries, served))
        return []

    def _note_round(self, problems: Sequence[tuple[str, str]]) -> None:
        if problems:
            self._discovery.state, self._discovery.message = problems[0]
            return
        self._discovery.state, self._discovery.message, self._discovery.has_listed = "current", "", True
        self._discovery.current_at = self._clock.now()

    def _meant(self, entries: Sequence[UserResource], served: Sequence[Served]) -> dict[_Kind, Resource]:
        meant: dict[_Kind, tuple[UserResource, Served]] = {}
        for entry in entries:
            matches = [each for each in served if entry.kinds.match(each.version, each.kind)]
            self._note(entry.kinds, is_served=bool(matches))
            for each in matches:
                kind = _Kind(each.group, each.version, each.kind)
                if kind in meant:
                    self._note_twice(kind, meant[kind][0].kinds, entry.kinds)
                meant[kind] = entry, each
        return {
            kind: entry.resource(version=each.version, kind=each.kind, plural=each.plural)
            for kind, (entry, each) in meant.items()
        }

    def _take(self, group: str, found: Mapping[_Kind, Resource]) -> None:
        for kind, resource in found.items():
            self._missing_since.pop(kind, None)
            if kind in self._streams and self._streams[kind].resource != resource:
                self._drop(kind)  # it is stated otherwise
            if kind not in self._streams:
                self._streams[kind] = self._open_stream(str(kind), resource)
        now = self._clock.now()
        for kind in [kind for kind in self._streams if kind.group == group and kind not in found]:
            # An API server that starts up says for a moment that it knows no custom resource.
            if now - self._missing_since.setdefault(kind, now) >= MISSING_GRACE:
                self._drop(kind)

    def _note(self, kinds: Kinds, *, is_served: bool) -> None:
        """Say once that there is nothing of an entry."""
        if is_served:
            self._unserved.discard(kinds)
        elif kinds not in self._unserved:
            self._unserved.add(kinds)
            log.warning(
                "nothing that a configuration of resource metrics names is served",
                cluster=self._cluster,
                group=kinds.group,
                version=kinds.version,
                kind=kinds.kind,
                remedy="install its CRD, or state the version that is served, or *",
            )

    def _note_twice(self, kind: _Kind, first: Kinds, later: Kinds) -> None:
        if kind not in self._twice:
            self._twice.add(kind)
            log.warning(
                "two entries of a configuration of resource metrics name one kind; the later one counts",
                cluster=self._cluster,
                kind=str(kind),
                first=str(first),
                later=str(later),
            )
