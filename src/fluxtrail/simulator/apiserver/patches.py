"""JSON merge patch (RFC 7396) and JSON patch (RFC 6902) on plain JSON values. Inputs are never changed."""

from __future__ import annotations

import copy
from typing import Any

from fluxtrail.simulator.apiserver.statuses import StatusError, bad_request


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` with `patch` merged in: null removes a key, everything that is no object replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """Return `target` after all `operations`.

    Raises:
        StatusError: 400 for a patch that is none, 422 for one that does not fit the target.
    """
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    document = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _apply(document, operation)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as exc:
            why = "the server rejected our request due to an error in our request"
            raise StatusError(422, "Invalid", why, details={}) from exc
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _parse_pointer(operation["path"])
    if kind == "add":
        return _add(document, path, copy.deepcopy(operation["value"]))
    if kind == "remove":
        return _remove(document, path)
    if kind == "replace":
        _read(document, path)
        return _add(_remove(document, path) if path else document, path, copy.deepcopy(operation["value"]))
    if kind in {"move", "copy"}:
        source = _parse_pointer(operation["from"])
        value = copy.deepcopy(_read(document, source))
        return _add(_remove(document, source) if kind == "move" else document, path, value)
    if kind == "test":
        if _read(document, path) != operation["value"]:
            raise ValueError(kind)
        return document
    raise ValueError(kind)


def _parse_pointer(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise ValueError(pointer)
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _step(container: Any, part: str) -> Any:
    return container[_index(part)] if isinstance(container, list) else container[part]


def _index(part: str) -> int:
    if not part.isdecimal():
        raise ValueError(part)
    return int(part)


def _read(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    container, last = _read(document, path[:-1]), path[-1]
    if not isinstance(container, list):
        container[last] = value
        return document
    position = len(container) if last == "-" else _index(last)
    if position > len(container):
        raise IndexError(last)
    container.insert(position, value)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    container, last = _read(document, path[:-1]), path[-1]
    del container[_index(last) if isinstance(container, list) else last]
    return document
