"""Looks at single objects of a watched cluster that somebody says have changed: is the watch over them alive?

A connection may be open and dead. Nothing of what is read here is followed: if an object is not as its stream has
brought it, the stream goes on from where it was, over a new connection, and brings what it missed in its order.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import structlog

from fluxtrail.clusters.watcher import Watcher
from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.notices import FluxNotice
from fluxtrail.trail.ports import Clock

log = structlog.get_logger(__name__)

GRACE_SECONDS = 3.0
"""So long a stream has to bring what was hinted at."""
SILENCE_SECONDS = 5.0
"""A stream that brought anything in this time before a hint, or since, is alive."""
OBJECT_SECONDS = 10.0
"""The least time between two looks at an object."""
STREAM_SECONDS = 30.0
"""The least time between two new connections of a stream that a hint asks for."""
MOST_HINTED = 200
"""Objects that wait for a look; more hints are let go: a stream is found dead by any of its objects."""

_Key = tuple[str, str, str]


class HintedLooks:
    """One cluster's. `run` it for as long as its connection is good; `hint` may be called at any time."""

    def __init__(self, cluster: str, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._watchers: dict[str, Watcher[Any]] = {}
        self._hinted: dict[_Key, float] = {}
        """When each object was hinted at; monotonic seconds."""
        self._looked: dict[_Key, float] = {}
        self._renewed: dict[str, float] = {}
        self._wake = asyncio.Event()

    def watches(self, kind: str, watcher: Watcher[Any]) -> None:
        """Say who watches a kind from now on."""
        self._watchers[kind] = watcher

    def hint(self, notice: FluxNotice) -> None:
        key = (notice.kind, notice.namespace, notice.name)
        now = self._clock.monotonic()
        is_known = notice.kind in self._watchers and bool(notice.name)
        if not is_known or key in self._hinted or len(self._hinted) >= MOST_HINTED:
            return
        if now - self._looked.get(key, now - OBJECT_SECONDS) < OBJECT_SECONDS:
            return
        self._hinted[key] = now
        self._wake.set()

    async def run(self) -> None:
        """Look for ever, at one object at a time. Start it before the watchers: those of before are gone."""
        self._watchers.clear()
        while True:
            self._wake.clear()
            if not self._hinted:
                await self._wake.wait()
                continue
            key, hinted_at = next(iter(self._hinted.items()))
            await self._clock.sleep(max(hinted_at + GRACE_SECONDS - self._clock.monotonic(), 0.0))
            self._hinted.pop(key, None)
            if not self._is_alive(key[0], hinted_at) and self._may_renew(key[0]):
                await self._look(key)

    def _is_alive(self, kind: str, hinted_at: float) -> bool:
        watcher = self._watchers.get(kind)
        if watcher is None or watcher.stats.last_byte_at is None:
            return True  # it has not begun: it will bring everything
        silent_for = self._clock.now() - watcher.stats.last_byte_at
        since_hint = timedelta(seconds=self._clock.monotonic() - hinted_at)
        return silent_for < since_hint + timedelta(seconds=SILENCE_SECONDS)

    def _may_renew(self, kind: str) -> bool:
        now = self._clock.monotonic()
        return now - self._renewed.get(kind, now - STREAM_SECONDS) >= STREAM_SECONDS

    async def _look(self, key: _Key) -> None:
        kind, namespace, name = key
        self._note_look(key)
        try:
            is_behind = await self._watchers[kind].is_behind(namespace, name)
        except FluxtrailError as exc:
            log.info("hinted object not read", cluster=self._cluster, kind=kind, error=str(exc))
            return
        if is_behind:
            log.warning("watch was dead", cluster=self._cluster, kind=kind, told_by=f"{namespace}/{name}")
            self._renewed[kind] = self._clock.monotonic()
            self._watchers[kind].renew(namespace)

    def _note_look(self, key: _Key) -> None:
        now = self._clock.monotonic()
        self._looked = {item: at for item, at in self._looked.items() if now - at < OBJECT_SECONDS}
        self._looked[key] = now
