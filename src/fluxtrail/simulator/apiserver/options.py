"""The query parameters of lists and watches: parsing, the combinations that are refused, continue tokens."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from fluxtrail.simulator.apiserver.statuses import StatusError, bad_request, invalid

_MATCHES = ("Exact", "NotOlderThan")
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}

Cause = tuple[str, str, str]


class ListOptions(NamedTuple):
    """What a list or watch asks for, checked. `resource_version` is None where it was not given."""

    is_watch: bool
    limit: int
    continue_token: str
    resource_version: int | None
    match: str
    label_selector: str
    field_selector: str
    timeout_seconds: float | None
    has_bookmarks: bool
    send_initial_events: bool | None


def parse_list_options(query: Mapping[str, str]) -> ListOptions:
    """Return the options of a request.

    Raises:
        StatusError: 422 for combinations that are not allowed, 400 or 500 for values that cannot be read.
    """
    options = ListOptions(
        is_watch=bool(_boolean(query, "watch")),
        limit=_integer(query, "limit") or 0,
        continue_token=query.get("continue", ""),
        resource_version=None,
        match=query.get("resourceVersionMatch", ""),
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        timeout_seconds=_integer(query, "timeoutSeconds"),
        has_bookmarks=bool(_boolean(query, "allowWatchBookmarks")),
        send_initial_events=_boolean(query, "sendInitialEvents"),
    )
    version = query.get("resourceVersion", "")
    causes = _watch_causes(options, version) if options.is_watch else _list_causes(options, version)
    if causes:
        raise invalid("meta.k8s.io", "ListOptions", "", causes)
    return options._replace(resource_version=_parse_version(version, is_watch=options.is_watch))


def _list_causes(options: ListOptions, version: str) -> list[Cause]:
    causes: list[Cause] = []
    if options.match:
        if not version:
            causes.append(_forbidden("resourceVersionMatch", "is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            causes.append(_forbidden("resourceVersionMatch", "is forbidden when continue is provided"))
        if options.match not in _MATCHES:
            causes.append(_unsupported(options.match, '"Exact", "NotOlderThan", ""'))
        if options.match == "Exact" and version == "0":
            causes.append(_forbidden("resourceVersionMatch", '"exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        causes.append(_forbidden("sendInitialEvents", "is forbidden for list"))
    return causes


def _watch_causes(options: ListOptions, version: str) -> list[Cause]:
    causes: list[Cause] = []
    if options.send_initial_events is not None and options.match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(("FieldValueForbidden", "resourceVersionMatch", message))
    if options.continue_token and not options.match and version in ("", "0"):
        causes.append(_forbidden("resourceVersionMatch", "is forbidden when continue is provided"))
    if options.match:
        if options.send_initial_events is None:
            message = "is forbidden for watch unless sendInitialEvents is provided"
            causes.append(_forbidden("resourceVersionMatch", message))
        if options.match != "NotOlderThan":
            causes.append(_unsupported(options.match, '"NotOlderThan"'))
        if options.continue_token:
            causes.append(_forbidden("resourceVersionMatch", "is forbidden when continue is provided"))
    return causes


def _forbidden(field: str, why: str) -> Cause:
    return ("FieldValueForbidden", field, f"Forbidden: {field} {why}")


def _unsupported(value: str, supported: str) -> Cause:
    message = f'Unsupported value: "{value}": supported values: {supported}'
    return ("FieldValueNotSupported", "resourceVersionMatch", message)


def _parse_version(text: str, *, is_watch: bool) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", text):
        why = f'Invalid value: "{text[:100]}": strconv.ParseUint: parsing "{text[:100]}": invalid syntax'
        if is_watch:
            raise StatusError(500, "", f"resourceVersion: {why}")
        raise bad_request(f"invalid resource version: resourceVersion: {why}")
    return int(text)


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax')
    return int(text)


def _boolean(query: Mapping[str, str], name: str) -> bool | None:
    text = query.get(name)
    if text is None:
        return None
    return text not in _FALSE


class ContinueToken(NamedTuple):
    """Where a paged list goes on: the state it belongs to (0: whatever is there now) and the next key."""

    resource_version: int
    start: str

    def encode(self) -> str:
        raw = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": self.resource_version or -1, "start": self.start})
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parse_continue_token(text: str) -> ContinueToken:
    """Read a token made by `ContinueToken.encode`.

    Raises:
        StatusError: 400, it is not one.
    """
    try:
        value: dict[str, Any] = msgspec.json.decode(
            base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=dict[str, Any]
        )
        return ContinueToken(max(0, int(value["rv"])), str(value["start"]))
    except (binascii.Error, ValueError, KeyError, TypeError, msgspec.MsgspecError) as exc:
        raise bad_request("invalid continue token: continue key is not valid") from exc
