"""What may go wrong between a watcher and its server, on demand.

Request faults wait for the next matching requests. Watch faults strike the open streams first, and wait for
new ones when there are fewer than they were meant for. Each is limited to a resource (its plural; empty: all)
and a count.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from fluxtrail.simulator.apiserver.access import Access
from fluxtrail.simulator.apiserver.statuses import StatusError, too_old
from fluxtrail.simulator.apiserver.store import Snapshot, Store
from fluxtrail.simulator.apiserver.watches import WatchStream

WatchAction = Literal["end", "expire", "freeze", "drop", "oversized"]
RequestAction = Literal["status", "delay", "drop", "nulls", "malformed"]

OVERSIZED_BYTES = 12 * 1024 * 1024
_REASONS = {
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "forbidden: the simulator was told to refuse"),
    410: ("Expired", "The resourceVersion for the provided list is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: the simulator was told to fail"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


class RequestFault(msgspec.Struct, kw_only=True):
    """Strikes the next `count` requests of `verbs` (empty: all) on `resource` (empty: all)."""

    action: RequestAction
    resource: str = ""
    verbs: tuple[str, ...] = ()
    count: int = 1
    status: int = 0
    retry_after_seconds: int | None = None
    delay_seconds: float = 0.0

    def error(self) -> StatusError:
        reason, message = _REASONS.get(self.status, ("", "the simulator was told to fail"))
        details = {"retryAfterSeconds": self.retry_after_seconds} if self.retry_after_seconds is not None else None
        return StatusError(self.status, reason, message, details=details)


class Faults:
    """The faults of one server.

    Args:
        store: for compaction, restore and changes of what is served.
        access: for tokens and forbidden namespaces.
        streams: returns the open watches.
    """

    def __init__(self, store: Store, access: Access, streams: Callable[[], Iterable[WatchStream]]) -> None:
        self._store = store
        self._access = access
        self._streams = streams
        self._requests: list[RequestFault] = []
        self._armed: list[tuple[WatchAction, str]] = []
        self._backup: Snapshot | None = None
        self.struck: Counter[str] = Counter()
        """How often each action struck, for tests that must know that it did."""

    # Watches.

    def end_watches(self, resource: str = "", *, count: int | None = None) -> int:
        """End streams with 200 and no error. Returns how many were struck now; the rest waits for new ones."""
        return self._strike("end", resource, count)

    def expire_watches(self, resource: str = "", *, count: int | None = None) -> int:
        """Send an ERROR event with a 410, and end the stream."""
        return self._strike("expire", resource, count)

    def freeze_watches(self, resource: str = "", *, count: int | None = None) -> int:
        """Send nothing any more, and keep the sockets: half-open connections."""
        return self._strike("freeze", resource, count)

    def drop_watches(self, resource: str = "", *, count: int | None = None) -> int:
        """Cut the TCP connections of streams."""
        return self._strike("drop", resource, count)

    def oversized_line(self, resource: str = "", *, count: int | None = None) -> int:
        """Send an event longer than any buffer should be."""
        return self._strike("oversized", resource, count)

    def on_watch(self, stream: WatchStream) -> None:
        """Strike a new stream with what waits for it."""
        for armed in self._armed:
            if armed[1] in ("", stream.definition.plural):
                self._armed.remove(armed)
                self._apply(armed[0], stream)
                return

    def _strike(self, action: WatchAction, resource: str, count: int | None) -> int:
        streams = [stream for stream in self._streams() if resource in ("", stream.definition.plural)][:count]
        for stream in streams:
            self._apply(action, stream)
        self._armed.extend([(action, resource)] * ((count or 0) - len(streams)))
        return len(streams)

    def _apply(self, action: WatchAction, stream: WatchStream) -> None:
        self.struck[action] += 1
        if action == "end":
            stream.end()
        elif action == "freeze":
            stream.freeze()
        elif action == "drop":
            stream.break_off()
        elif action == "expire":
            version = self._store.resource_version
            stream.inject(stream.error_line(too_old(version, version + 1)), is_last=True)
        else:
            stream.inject(_oversized_event(stream))

    # Requests.

    def fail_requests(
        self,
        status: int,
        resource: str = "",
        *,
        verbs: tuple[str, ...] = (),
        count: int = 1,
        retry_after_seconds: int | None = None,
    ) -> None:
        """Answer the next `count` requests with `status`: 401, 403, 410, 429, 500, 503, 504."""
        self._add("status", resource, verbs, count, status=status, retry_after_seconds=retry_after_seconds)

    def expire_lists(self, resource: str = "", *, count: int = 1) -> None:
        """Answer the next lists with HTTP 410."""
        self.fail_requests(410, resource, verbs=("list",), count=count)

    def delay_requests(
        self, seconds: float, resource: str = "", *, verbs: tuple[str, ...] = (), count: int = 1
    ) -> None:
        """Let the next requests wait before they are handled."""
        self._add("delay", resource, verbs, count, delay_seconds=seconds)

    def drop_requests(self, resource: str = "", *, verbs: tuple[str, ...] = (), count: int = 1) -> None:
        """Cut the TCP connection of the next requests instead of answering."""
        self._add("drop", resource, verbs, count)

    def explicit_nulls(self, resource: str = "", *, count: int = 1) -> None:
        """Send null for every optional field of the first object of the next lists."""
        self._add("nulls", resource, ("list",), count)

    def malformed_object(self, resource: str = "", *, count: int = 1) -> None:
        """Send something that is no such object as the first item of the next lists."""
        self._add("malformed", resource, ("list",), count)

    def take(self, resource: str, verb: str) -> list[RequestFault]:
        """Return the faults that strike this request, using each up by one; at most one of an action."""
        taken: dict[str, RequestFault] = {}
        for fault in self._requests:
            if fault.resource in ("", resource) and (not fault.verbs or verb in fault.verbs):
                taken.setdefault(fault.action, fault)
        for fault in taken.values():
            fault.count -= 1
            self.struck[fault.action] += 1
        self._requests = [fault for fault in self._requests if fault.count > 0]
        return list(taken.values())

    def _add(
        self,
        action: RequestAction,
        resource: str,
        verbs: tuple[str, ...],
        count: int,
        *,
        status: int = 0,
        retry_after_seconds: int | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        fault = RequestFault(
            action=action,
            resource=resource,
            verbs=verbs,
            count=count,
            status=status,
            retry_after_seconds=retry_after_seconds,
            delay_seconds=delay_seconds,
        )
        self._requests.append(fault)

    # The cluster itself.

    def compact(self, resource: str = "") -> None:
        """Forget the whole log: whoever resumes from before now gets 410."""
        self._store.compact(resource or None)

    def backup(self) -> None:
        """Remember the present state for `restore`."""
        self._backup = self._store.snapshot()

    def restore(self, snapshot: Snapshot | None = None) -> None:
        """Put a backup (the last `backup()` by default) in place and cut all watches.

        Objects revert and resourceVersions go back. Without a backup nothing happens.
        """
        snapshot = snapshot or self._backup
        if snapshot is not None:
            self._store.restore(snapshot)
            self.drop_watches()

    def remove_resource(self, resource: str) -> None:
        """Uninstall a custom resource."""
        self._store.uninstall(resource)

    def serve_versions(self, resource: str, *versions: str) -> None:
        """Serve a custom resource at other versions."""
        self._store.set_versions(resource, *versions)

    def forbid_namespace(self, namespace: str, *, resource: str = "") -> None:
        """Refuse a namespace (and with it the list across all) with 403."""
        self._access.forbid(namespace, resource=resource)

    def permit_namespace(self, namespace: str, *, resource: str = "") -> None:
        """Take a `forbid_namespace` back."""
        self._access.permit(namespace, resource=resource)

    def rotate_tokens(self, tokens: dict[str, str]) -> None:
        """Replace all tokens (token -> user): the old ones are answered 401, open streams go on."""
        self._access.rotate(tokens)

    def clear(self) -> None:
        """Forget all faults that still wait."""
        self._requests.clear()
        self._armed.clear()

    def waiting(self) -> int:
        """Return how many strikes still wait for a request or a stream."""
        return sum(fault.count for fault in self._requests) + len(self._armed)


def _oversized_event(stream: WatchStream) -> bytes:
    metadata = {"name": "oversized", "namespace": "default", "annotations": {"padding": "x" * OVERSIZED_BYTES}}
    return stream.plain_line("MODIFIED", {"metadata": metadata})


def with_nulls(item: bytes) -> bytes:
    """Return an encoded object in which every field that may be missing is there, and null."""
    body = msgspec.json.decode(item)
    kept = {"name", "namespace", "uid", "resourceVersion"}
    optional = {"labels", "annotations", "finalizers", "ownerReferences", "managedFields"}
    metadata = body.get("metadata") or {}
    body["metadata"] = {key: value if key in kept else None for key, value in metadata.items()}
    body["metadata"] |= dict.fromkeys(optional)
    status = body.get("status")
    body["status"] = dict.fromkeys(status) if isinstance(status, dict) and status else None
    return msgspec.json.encode(body)


MALFORMED_ITEM = b'{"metadata":"not an object","spec":[],"status":42}'
