"""Requests on resources: reads, writes, and the faults that strike them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from aiohttp import web

from fluxtrail.simulator.apiserver.access import Access
from fluxtrail.simulator.apiserver.faults import MALFORMED_ITEM, Faults, RequestFault, with_nulls
from fluxtrail.simulator.apiserver.lists import Listing, entry_test, listing_pieces, read_listing
from fluxtrail.simulator.apiserver.options import parse_list_options
from fluxtrail.simulator.apiserver.patches import json_patch, merge_patch
from fluxtrail.simulator.apiserver.resources import NAMESPACES
from fluxtrail.simulator.apiserver.statuses import (
    StatusError,
    bad_request,
    failed_precondition,
    invalid,
    method_not_allowed,
    not_found,
    object_details,
    unsupported_media_type,
)
from fluxtrail.simulator.apiserver.store import Store, Writing
from fluxtrail.simulator.apiserver.table import Entry, object_key
from fluxtrail.simulator.apiserver.targets import Target
from fluxtrail.simulator.apiserver.views import View, requested_view
from fluxtrail.simulator.apiserver.watches import WatchStream
from fluxtrail.simulator.apiserver.writing import MANAGER_LIMIT, parse_write_options, read_configuration

Object = dict[str, Any]

_WHOLE_BODY_BYTES = 512 * 1024
_HEADERS = {"Cache-Control": "no-cache, private"}
_APPLY_TYPES = ("application/apply-patch+yaml", "application/apply-patch+json")
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": merge_patch,
    # On custom resources a strategic patch is refused; on built-in ones a merge is near enough for a simulation.
    "application/strategic-merge-patch+json": merge_patch,
    "application/json-patch+json": json_patch,
}


class ResourceHandler:
    """Answers requests on one server's resources."""

    def __init__(self, store: Store, access: Access, *, bookmark_seconds: float) -> None:
        self.streams: set[WatchStream] = set()
        self.faults = Faults(store, access, lambda: tuple(self.streams))
        self._store = store
        self._access = access
        self._bookmark_seconds = bookmark_seconds

    async def handle(self, request: web.Request, target: Target, user: str) -> web.StreamResponse:
        """Answer one request.

        Raises:
            StatusError: every refusal.
        """
        verb = _verb(request, target)
        struck = self.faults.take(target.definition.plural, verb)
        await _strike(request, struck)
        self._access.authorize(user, verb, target.definition, namespace=target.namespace, name=target.name)
        is_list = verb in ("list", "deletecollection")
        accept = request.headers.get("Accept", "")
        view = requested_view(accept, target.definition, target.version, is_list=is_list)
        match verb:
            case "list":
                return await self._list(request, target, view, struck)
            case "watch":
                return await self._watch(request, target, view)
            case "get":
                return _answer(view, self._store.get_entry(target.definition, target.name, target.namespace))
            case "create":
                return await self._create(request, target, view)
            case "update":
                return await self._update(request, target, view)
            case "patch":
                return await self._patch(request, target, view, user)
            case "delete":
                return await self._delete(request, target, view)
            case _:
                return self._delete_all(request, target, view)

    # Reads.

    async def _list(
        self, request: web.Request, target: Target, view: View, struck: list[RequestFault]
    ) -> web.StreamResponse:
        listing = await read_listing(
            self._store, target.definition, target.namespace, parse_list_options(request.query)
        )
        pieces = listing_pieces(view, listing)
        actions = {fault.action for fault in struck}
        if "nulls" in actions and len(pieces) > 2:
            pieces[1] = with_nulls(pieces[1])
        if "malformed" in actions:
            pieces.insert(1, MALFORMED_ITEM)
        return await _send_pieces(request, pieces)

    async def _watch(self, request: web.Request, target: Target, view: View) -> web.StreamResponse:
        options = parse_list_options(request.query)
        is_selected = entry_test(options, target.definition)
        stream = WatchStream(
            self._store,
            view,
            namespace=target.namespace,
            options=options,
            is_selected=is_selected,
            bookmark_seconds=self._bookmark_seconds,
        )
        with self._registered(stream):
            return await stream.run(request)

    @contextmanager
    def _registered(self, stream: WatchStream) -> Iterator[None]:
        self.streams.add(stream)
        try:
            self.faults.on_watch(stream)
            yield
        finally:
            self.streams.discard(stream)

    # Writes.

    async def _create(self, request: web.Request, target: Target, view: View) -> web.Response:
        definition = target.definition
        obj = await _read_object(request, target)
        metadata = obj["metadata"]
        if metadata.get("resourceVersion"):
            raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
        if definition.namespaced:
            if metadata.get("namespace") not in (None, "", target.namespace):
                raise bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            metadata["namespace"] = target.namespace
            if target.namespace not in self._store.table(NAMESPACES).objects:
                raise not_found(NAMESPACES, target.namespace)
        entry = self._store.create_entry(definition, obj, writing=_writing(request, target, "CreateOptions"))
        return _answer(view, entry, status=201)

    async def _update(self, request: web.Request, target: Target, view: View) -> web.Response:
        definition = target.definition
        obj = await _read_object(request, target)
        metadata = obj["metadata"]
        if metadata.get("name") != target.name:
            given = metadata.get("name", "")
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({target.name})")
        self._store.get_entry(definition, target.name, target.namespace)
        if definition.custom and not metadata.get("resourceVersion"):
            cause = (
                "FieldValueInvalid",
                "metadata.resourceVersion",
                "Invalid value: 0: must be specified for an update",
            )
            raise invalid(definition.group, definition.plural, target.name, [cause])
        entry = self._store.update_entry(
            definition,
            target.name,
            target.namespace,
            lambda _: obj,
            subresource=target.subresource,
            writing=_writing(request, target, "UpdateOptions"),
        )
        return _answer(view, entry)

    async def _apply(self, request: web.Request, target: Target, view: View, user: str) -> web.Response:
        """Who may patch may apply; to make an object that way, one has to be allowed to create it, too."""
        definition = target.definition
        options = parse_write_options(request.query, "PatchOptions", is_apply=True)
        config = read_configuration(await request.read(), target)
        if definition.namespaced and target.namespace not in self._store.table(NAMESPACES).objects:
            raise not_found(NAMESPACES, target.namespace)
        if object_key(target.namespace, target.name) not in self._store.table(definition).objects:
            self._access.authorize(user, "create", definition, namespace=target.namespace, name=target.name)
        entry, is_new = self._store.apply_entry(
            definition,
            target.name,
            target.namespace,
            config,
            writing=Writing(options.field_manager, target.version, options.is_dry),
            subresource=target.subresource,
            force=options.force,
        )
        return _answer(view, entry, status=201 if is_new else 200)

    async def _patch(self, request: web.Request, target: Target, view: View, user: str) -> web.Response:
        if request.content_type in _APPLY_TYPES:
            return await self._apply(request, target, view, user)
        apply = _PATCHES.get(request.content_type)
        is_strategic = request.content_type.startswith("application/strategic")
        if apply is None or (is_strategic and target.definition.custom):
            raise unsupported_media_type(["application/json-patch+json", "application/merge-patch+json", *_APPLY_TYPES])
        patch = _decode(await request.read(), "error decoding patch")
        if apply is merge_patch and not isinstance(patch, dict):
            raise bad_request("error decoding patch: a merge patch is an object")
        entry = self._store.update_entry(
            target.definition,
            target.name,
            target.namespace,
            lambda old: _checked(target, old, apply(old, patch)),
            subresource=target.subresource,
            writing=_writing(request, target, "PatchOptions"),
        )
        return _answer(view, entry)

    async def _delete(self, request: web.Request, target: Target, view: View) -> web.Response:
        definition = target.definition
        body = await request.read()
        options = _decode(body) if body else {}
        entry = self._store.get_entry(definition, target.name, target.namespace)
        _check_preconditions(target, entry, options)
        dry = options.get("dryRun") if isinstance(options, dict) else None
        if parse_write_options(request.query, "DeleteOptions").is_dry or dry:
            details = object_details(definition, target.name) | {"uid": entry.uid}
            return _success(details)
        entry, is_gone = self._store.delete_entry(definition, target.name, target.namespace)
        if not is_gone or definition.id in (NAMESPACES.id, ("", "pods")):
            return _answer(view, entry)
        details = object_details(definition, target.name) | {"uid": entry.uid}
        return _success(details)

    def _delete_all(self, request: web.Request, target: Target, view: View) -> web.Response:
        options = parse_list_options(request.query)
        test = entry_test(options, target.definition)
        page = self._store.table(target.definition).page(namespace=target.namespace, is_selected=test)
        for entry in page.entries:
            self._store.delete_entry(target.definition, entry.name, entry.namespace)
        listing = Listing(page, self._store.resource_version, "", None)
        return _whole(listing_pieces(view, listing))


def _writing(request: web.Request, target: Target, kind: str) -> Writing:
    """Return who writes: the field manager it names, else the first word of its user agent."""
    options = parse_write_options(request.query, kind)
    manager = options.field_manager or request.headers.get("User-Agent", "").partition("/")[0] or "unknown"
    return Writing(manager[:MANAGER_LIMIT], target.version, options.is_dry)


def _success(details: Object) -> web.Response:
    return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


def _answer(view: View, entry: Entry, *, status: int = 200) -> web.Response:
    body = view.object(entry) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json", headers=_HEADERS)


def _verb(request: web.Request, target: Target) -> str:
    if target.name:
        verbs = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
        if target.subresource:
            verbs.pop("DELETE")
    else:
        is_watch = request.query.get("watch", "0") not in ("0", "false", "False", "")
        verbs = {"GET": "watch" if is_watch else "list", "POST": "create", "DELETE": "deletecollection"}
        if target.definition.namespaced and not target.namespace:
            verbs = {"GET": verbs["GET"]}
    verb = verbs.get(request.method)
    if verb is None:
        raise method_not_allowed()
    return verb


async def _strike(request: web.Request, faults: list[RequestFault]) -> None:
    for fault in faults:
        if fault.action == "delay":
            await asyncio.sleep(fault.delay_seconds)
        elif fault.action == "drop" and request.transport is not None:
            request.transport.abort()
            raise StatusError(503, "ServiceUnavailable", "the connection was cut")
    error = next((fault for fault in faults if fault.action == "status"), None)
    if error is not None:
        raise error.error()


async def _read_object(request: web.Request, target: Target) -> Object:
    if request.content_type not in ("application/json", "application/octet-stream"):
        raise unsupported_media_type(["application/json"])
    definition = target.definition
    obj = _decode(await request.read())
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata") or {}, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {definition.kind})")
    expected = definition.api_version(target.version)
    given = obj.get("apiVersion") or expected
    if given != expected:
        raise bad_request(f"the API version in the data ({given}) does not match the expected API version ({expected})")
    kind = obj.get("kind") or definition.kind
    obj["metadata"] = obj.get("metadata") or {}
    if kind != definition.kind:
        raise _wrong_kind(target, str(kind), str(obj["metadata"].get("name", "")))
    return obj


def _checked(target: Target, old: Object, new: Any) -> Any:
    """Pass on a patched object, unless the patch touched what says which object it is."""
    if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
        return new
    definition, metadata = target.definition, new["metadata"]
    if metadata.get("name") != target.name:
        name = metadata.get("name", "")
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    if metadata.get("uid") != old["metadata"]["uid"]:
        cause = ("FieldValueInvalid", "metadata.uid", f'Invalid value: "{metadata.get("uid")}": field is immutable')
        raise invalid(definition.group, definition.kind, target.name, [cause])
    if new.get("kind") != definition.kind:
        raise _wrong_kind(target, str(new.get("kind")), target.name)
    return new


def _wrong_kind(target: Target, kind: str, name: str) -> StatusError:
    cause = ("FieldValueInvalid", "kind", f'Invalid value: "{kind}": must be {target.definition.kind}')
    return invalid(target.definition.group, kind, name, [cause])


def _check_preconditions(target: Target, entry: Entry, options: Any) -> None:
    preconditions = (options.get("preconditions") if isinstance(options, dict) else None) or {}
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid and uid != entry.uid:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({entry.uid}). "
            "The object might have been deleted and then recreated"
        )
        raise failed_precondition(target.definition, target.name, why)
    if version and version != str(entry.resource_version):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({entry.resource_version}). The object might have been modified"
        )
        raise failed_precondition(target.definition, target.name, why)


def _decode(body: bytes, what: str = "the object provided is unrecognized: json parse error") -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError as exc:
        raise bad_request(f"{what}: {exc}") from exc


def _json(value: Any) -> web.Response:
    body = msgspec.json.encode(value) + b"\n"
    return web.Response(body=body, content_type="application/json", headers=_HEADERS)


def _whole(pieces: list[bytes]) -> web.Response:
    body = pieces[0] + b",".join(pieces[1:-1]) + pieces[-1]
    return web.Response(body=body, content_type="application/json", headers=_HEADERS)


async def _send_pieces(request: web.Request, pieces: list[bytes]) -> web.StreamResponse:
    """Send a list: whole when it is small, else in chunks, so that no second copy of it is ever made."""
    opening, items, closing = pieces[0], pieces[1:-1], pieces[-1]
    if sum(map(len, items)) <= _WHOLE_BODY_BYTES:
        return _whole(pieces)
    response = web.StreamResponse(headers=_HEADERS | {"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(opening)
    batch: list[bytes] = []
    size = 0
    for position, item in enumerate(items):
        batch.append(item if position == len(items) - 1 else item + b",")
        size += len(item)
        if size >= _WHOLE_BODY_BYTES:
            await response.write(b"".join(batch))
            batch, size = [], 0
    await response.write(b"".join([*batch, closing]))
    await response.write_eof()
    return response
