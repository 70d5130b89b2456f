"""What a person is shown of a change: two states of an object as a diff, without what the server writes by itself.

The values of a Secret are never shown, only whether they differ.
"""

from __future__ import annotations

import difflib
from typing import Any

import yaml

Object = dict[str, Any]

DIFF_LINES = 2000
MASK = "***"
_SERVERS_OWN = (
    "managedFields",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""A copy of the whole object, a Secret's values too."""
_SECRET_FIELDS = ("data", "stringData")


def difference(live: Object | None, wanted: Object, *, name: str) -> str:
    """Return a unified diff from what lives to what would be stored; empty where nothing differs.

    Args:
        live: None where there is no such object.
        name: of the object, for the diff's head.
    """
    before, after = masked(live or {}, wanted)
    lines = list(
        difflib.unified_diff(
            _lines(before), _lines(after), f"live/{name}" if live else "/dev/null", f"declared/{name}", lineterm=""
        )
    )
    if len(lines) > DIFF_LINES:
        lines = [*lines[:DIFF_LINES], f"… {len(lines) - DIFF_LINES} more lines"]
    return "\n".join(lines)


def masked(live: Object, wanted: Object) -> tuple[Object, Object]:
    """Return both states as they may be shown."""
    before, after = _shown(live), _shown(wanted)
    if "Secret" in (live.get("kind"), wanted.get("kind")):
        for field in _SECRET_FIELDS:
            _mask(before, after, field)
    return before, after


def _mask(before: Object, after: Object, field: str) -> None:
    old = before[field] if isinstance(before.get(field), dict) else {}
    new = after[field] if isinstance(after.get(field), dict) else {}
    is_changed = {key: key in old and key in new and old[key] != new[key] for key in (*old, *new)}
    for state, word in ((before, "before"), (after, "after")):
        if isinstance(state.get(field), dict):
            state[field] = {key: f"{MASK} ({word})" if is_changed[key] else MASK for key in state[field]}
        elif field in state:
            state[field] = MASK


def _shown(obj: Object) -> Object:
    shown = {key: value for key, value in obj.items() if key != "status"}
    if isinstance(metadata := obj.get("metadata"), dict):
        kept = {key: value for key, value in metadata.items() if key not in _SERVERS_OWN}
        annotations = kept.get("annotations")
        if isinstance(annotations, dict) and _LAST_APPLIED in annotations:
            kept["annotations"] = {key: value for key, value in annotations.items() if key != _LAST_APPLIED}
            if not kept["annotations"]:
                del kept["annotations"]
        shown["metadata"] = kept
    return shown


def _lines(obj: Object) -> list[str]:
    if not obj:
        return []
    return yaml.safe_dump(obj, sort_keys=True, allow_unicode=True, width=4096).splitlines()
