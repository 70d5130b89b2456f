"""What a watcher remembers of the objects it has shown: per key the uid and the resourceVersion, nothing else.

Out of that memory and what the server sends come the observations; this module knows no network.
"""

from datetime import datetime
from functools import partial
from sys import intern
from typing import Any, Generic, TypeVar

import msgspec

from fluxtrail.clusters.answers import UNREADABLE
from fluxtrail.clusters.deep import decode_deep
from fluxtrail.clusters.subjects import OnProblem, Problem, Subject, WatchStats
from fluxtrail.clusters.wire import Identified, ObjectMeta, is_identified
from fluxtrail.model.observation import Gone, ObjectKey, ObjectUid, Observation, Seen
from fluxtrail.model.redaction import redact

T = TypeVar("T")

_identify = partial(decode_deep, msgspec.json.Decoder(Identified))


class _Entry(msgspec.Struct, gc=False):
    uid: str
    version: str
    """"" where a state was missed: whatever comes next is news, and comes after a gap."""
    round: int
    """The last listing that confirmed it."""


class HeldObjects(Generic[T]):
    """The memory of one stream, and the judge of what is new, changed, gone, and seen without a gap.

    A *round* is one complete listing: what it does not confirm is gone. `Gone` is only ever said at the end of a whole
    round, for a DELETED event, or for an object whose name now belongs to another uid.
    """

    def __init__(self, subject: Subject[T], stats: WatchStats, on_problem: OnProblem) -> None:
        self._subject = subject
        self._decode = partial(decode_deep, msgspec.json.Decoder(subject.wire))
        self._is_identified = is_identified(subject.wire)
        self._stats = stats
        self._on_problem = on_problem
        self._entries: dict[ObjectKey, _Entry] = {}
        self._round = 0

    def __len__(self) -> int:
        return len(self._entries)

    def held_version(self, key: ObjectKey) -> str | None:
        """Return the resourceVersion that was shown of an object; None where it is not held."""
        entry = self._entries.get(key)
        return entry.version if entry is not None else None

    def begin_round(self) -> None:
        self._round += 1

    def end_round(self, now: datetime) -> list[Gone]:
        """Return what the round did not confirm, and forget it."""
        stale = [(key, entry) for key, entry in self._entries.items() if entry.round != self._round]
        for key, _ in stale:
            del self._entries[key]
        return [Gone(key=key, uid=ObjectUid(entry.uid), observed_at=now) for key, entry in stale]

    def forget_versions(self) -> None:
        """The server's history is not the one we followed: every object of the next round counts as changed."""
        for entry in self._entries.values():
            entry.version = ""

    def see(self, raw: msgspec.Raw, now: datetime, out: list[Observation[T]], *, is_continuous: bool) -> str | None:
        """Take an object as it is now; append what follows from it to `out`.

        Args:
            is_continuous: it comes from a stream that was followed without a gap in time.

        Returns:
            Its resourceVersion, or None where it could not be read.
        """
        wire = self._read_whole(raw)
        meta = self._meta(raw) if wire is None else self._checked(wire.metadata)
        if meta is None or meta.uid is None or meta.resource_version is None:
            return None
        key = self._key(meta)
        entry = self._entries.get(key)
        if entry is not None and entry.uid != meta.uid:
            self._let_go(key, entry, now, out)
            entry = None
        if entry is not None and entry.version == meta.resource_version:
            entry.round = self._round
            return meta.resource_version
        try:
            projected = self._subject.project(self._decode(raw) if wire is None else wire)
        except Exception as error:  # noqa: BLE001 one object's surprise, whatever it is, must not stop the others
            self._report(key, error)
            if entry is not None:
                entry.version, entry.round = "", self._round
            return meta.resource_version
        if projected is None:
            if entry is not None:
                self._let_go(key, entry, now, out)
            return meta.resource_version
        was_held = is_continuous and entry is not None and bool(entry.version) and entry.round == self._round
        if entry is None:
            self._entries[key] = _Entry(uid=meta.uid, version=meta.resource_version, round=self._round)
        else:
            entry.version, entry.round = meta.resource_version, self._round
        out.append(Seen(key=key, object=projected, observed_at=now, was_held=was_held))
        return meta.resource_version

    def drop(self, raw: msgspec.Raw, now: datetime, out: list[Observation[T]]) -> str | None:
        """Take a DELETED event. Says `Gone` only for the very object that is held."""
        meta = self._meta(raw)
        if meta is None:
            return None
        key = self._key(meta)
        entry = self._entries.get(key)
        if entry is not None and entry.uid == meta.uid:
            self._let_go(key, entry, now, out)
        return meta.resource_version

    def version_of(self, raw: msgspec.Raw) -> str | None:
        """Return an object's resourceVersion, or None where it cannot be read."""
        try:
            meta = _identify(raw).metadata
        except UNREADABLE:
            return None
        return meta.resource_version if meta else None

    def _let_go(self, key: ObjectKey, entry: _Entry, now: datetime, out: list[Observation[T]]) -> None:
        del self._entries[key]
        out.append(Gone(key=key, uid=ObjectUid(entry.uid), observed_at=now))

    def _read_whole(self, raw: msgspec.Raw) -> Any:
        """Return the object where that says who it is too: its bytes are gone through once, its strings built once.

        None where its shape does not, or where it cannot be read: then its identity may still be.
        """
        if not self._is_identified:
            return None
        try:
            return self._decode(raw)
        except UNREADABLE:
            return None

    def _meta(self, raw: msgspec.Raw) -> ObjectMeta | None:
        try:
            return self._checked(_identify(raw).metadata)
        except UNREADABLE as error:
            self._report(None, error)
            return None

    def _checked(self, meta: ObjectMeta | None) -> ObjectMeta | None:
        if meta is None or not meta.name or not meta.uid or not meta.resource_version:
            self._report(None, ValueError("metadata lacks name, uid or resourceVersion"))
            return None
        return meta

    def _key(self, meta: ObjectMeta) -> ObjectKey:
        # Some namespaces are those of thousands of objects.
        return ObjectKey(self._subject.group, self._subject.kind, intern(meta.namespace or ""), meta.name or "")

    def _report(self, key: ObjectKey | None, error: Exception) -> None:
        self._stats.decode_errors += 1
        message = redact(f"{type(error).__name__}: {error}")
        self._on_problem(Problem(group=self._subject.group, kind=self._subject.kind, key=key, message=message))
