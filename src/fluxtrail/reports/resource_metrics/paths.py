"""Where in an object a value is: the paths that kube-state-metrics' configuration speaks of, and what they come to.

Source: kube-state-metrics, docs/metrics/extend/customresourcestate-metrics.md, as it behaves in 2.20.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Path = tuple[str, ...]
"""A map's key (or `"key=value"`: `value`, if that is what it has), a list's index (`"0"`, `"-1"`), or `"[key=value]"`:
the first element whose `key` is `value`."""

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def find(value: Any, path: Sequence[str]) -> Any:
    """Return what is at `path` of decoded JSON, or None where any step of it misses."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step) if "=" not in step else _in_map(value, step)
        elif isinstance(value, list):
            value = _in_list(value, step)
        else:
            return None
    return value


def lookup_of(step: str) -> tuple[str, str] | None:
    """Return key and value of a step that looks for an element; None for any other step."""
    if not (step.startswith("[") and step.endswith("]")):
        return None
    key, separator, value = step[1:-1].partition("=")
    return (key, value) if separator else None


def is_index(step: str) -> bool:
    return step.removeprefix("-").isascii() and step.removeprefix("-").isdigit()


def _in_map(items: dict[str, Any], step: str) -> Any:
    """`k=v` is the value of `k` where that is `v`; else a key of this very name."""
    key, _, value = step.partition("=")
    return value if items.get(key) == value else items.get(step)


def _in_list(items: list[Any], step: str) -> Any:
    wanted = lookup_of(step)
    if wanted is not None:
        key, value = wanted
        return next((item for item in items if isinstance(item, dict) and _is(item.get(key), value)), None)
    if not is_index(step):
        return None
    index = int(step)
    return items[index] if -len(items) <= index < len(items) else None


def _is(candidate: Any, wanted: str) -> bool:
    """Whether a value is what a configuration calls it: as text, as a number, or as a truth value."""
    if isinstance(candidate, str):
        return candidate == wanted
    if isinstance(candidate, bool):
        return wanted in (_TRUE if candidate else _FALSE)
    if isinstance(candidate, int | float):
        try:
            return float(wanted) == candidate
        except ValueError:
            return False
    return False
