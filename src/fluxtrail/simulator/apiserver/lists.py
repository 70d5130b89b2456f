"""Lists: which state is answered, one page of it, and its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from fluxtrail.simulator.apiserver.options import ContinueToken, ListOptions, parse_continue_token
from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.selectors import parse_field_selector, parse_label_selector
from fluxtrail.simulator.apiserver.statuses import StatusError, bad_request, expired, too_large
from fluxtrail.simulator.apiserver.store import Store
from fluxtrail.simulator.apiserver.table import Entry, Page
from fluxtrail.simulator.apiserver.views import View

FRESHNESS_TIMEOUT_SECONDS = 3.0
"""How long a request for a state that is yet to come is kept waiting (kubernetes cacher: blockTimeout)."""

EntryTest = Callable[[Entry], bool]


class Listing(NamedTuple):
    """A page and what its `metadata` says. `remaining` is None where the server does not tell."""

    page: Page
    resource_version: int
    continue_token: str
    remaining: int | None


def entry_test(options: ListOptions, definition: ResourceDefinition) -> EntryTest | None:
    """Return the test of the request's selectors, None when they select everything."""
    labels = parse_label_selector(options.label_selector)
    fields = parse_field_selector(
        options.field_selector, namespaced=definition.namespaced, selectable=definition.selectable_fields
    )
    if labels is None and fields is None:
        return None

    def test(entry: Entry) -> bool:
        if labels is not None and not labels(entry.labels):
            return False
        return fields is None or fields(entry.namespace, entry.name, lambda: _load(entry))

    return test


def _load(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(b"{" + entry.tail)
    return found


async def wait_until_fresh(store: Store, resource_version: int) -> None:
    """Wait for a state that is not older than `resource_version`.

    Raises:
        StatusError: 504 "Too large resource version": it did not come in time.
    """
    deadline = asyncio.get_running_loop().time() + FRESHNESS_TIMEOUT_SECONDS
    while store.resource_version < resource_version:
        if asyncio.get_running_loop().time() >= deadline:
            raise too_large(resource_version, store.resource_version)
        await asyncio.sleep(0.05)


async def read_listing(store: Store, definition: ResourceDefinition, namespace: str, options: ListOptions) -> Listing:
    """Return the page a list request asks for.

    Raises:
        StatusError: 400 for a wrong token or selector, 410 for a state that is gone, 504 for one yet to come.
    """
    is_selected = entry_test(options, definition)
    # A list at 0 is answered from the cache of the real server, which knows no pages.
    limit = 0 if options.resource_version == 0 else max(0, options.limit)
    start, at = "", None
    if options.continue_token:
        start, at = _resume(options)
    elif options.resource_version:
        if options.match == "Exact" or (limit and not options.match):
            at = options.resource_version
        await wait_until_fresh(store, options.resource_version)
    shown = at or store.resource_version
    try:
        page = store.table(definition).page(
            namespace=namespace, at=at, start=start, limit=limit, is_selected=is_selected
        )
    except StatusError as exc:
        if exc.code != 410 or not options.continue_token:
            raise
        raise _expired_token(start) from exc
    token = ContinueToken(shown, page.next_key).encode() if page.next_key else ""
    return Listing(page, shown, token, page.remaining if token and is_selected is None else None)


def _resume(options: ListOptions) -> tuple[str, int | None]:
    if options.resource_version:
        raise bad_request("specifying resource version is not allowed when using continue")
    token = parse_continue_token(options.continue_token)
    return token.start, token.resource_version or None


def _expired_token(start: str) -> StatusError:
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
        "the results, which may then be inconsistent."
    )
    return expired(message, continue_token=ContinueToken(0, start).encode())


def listing_pieces(view: View, listing: Listing) -> list[bytes]:
    """Return a list's bytes: the opening, each item, and the closing.

    Custom resources put `metadata` after `items` and repeat apiVersion and kind in each item; built-in ones
    put it before, and do not. Metadata alone is a built-in list whose items say what they are.
    """
    definition = view.definition
    metadata = _list_metadata(definition, listing)
    if definition.custom and not view.is_partial:
        api_version, kind = definition.api_version(view.version).encode(), f"{definition.kind}List".encode()
        opening = b'{"apiVersion":"%s","items":[' % api_version
        closing = b'],"kind":"%s","metadata":%s}\n' % (kind, metadata)
    else:
        opening = b'%s,"metadata":%s,"items":[' % (view.list_head, metadata)
        closing = b"]}\n"
    head = view.head if definition.custom or view.is_partial else b"{"
    return [opening, *(head + view.tail(entry) for entry in listing.page.entries), closing]


def _list_metadata(definition: ResourceDefinition, listing: Listing) -> bytes:
    metadata: dict[str, str | int] = {"resourceVersion": str(listing.resource_version)}
    if listing.continue_token or definition.custom:
        metadata["continue"] = listing.continue_token
    if listing.remaining is not None:
        metadata["remainingItemCount"] = listing.remaining
    return msgspec.json.encode(metadata)
