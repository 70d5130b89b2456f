"""Where in an object a value is: the paths that kube-state-metrics' configuration speaks of, and what they come to.

Source: kube-state-metrics, docs/metrics/extend/customresourcestate-metrics.md, as it behaves in 2.20.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from fluxtrail.reports.resource_metrics.numbers import to_number

Path = tuple[str, ...]
"""A map's key (or `"key=value"`: `value`, if that is what it has), a list's index (`"0"`, `"-1"`), or `"[key=value]"`:
the first element whose `key` is `value`."""

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INDEX = re.compile(r"[+-]?[0-9]{1,18}")


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


def is_lookup(step: str) -> bool:
    """Whether a step looks for an element, or means to: without a `=` it is a mistake."""
    return len(step) > 1 and step.startswith("[") and step.endswith("]")


@lru_cache(maxsize=1024)
def lookup_of(step: str) -> tuple[str, str] | None:
    """Return key and value of a step that looks for an element; None for any other step."""
    if not is_lookup(step):
        return None
    key, separator, value = step[1:-1].partition("=")
    return (key, value) if separator else None


def is_index(step: str) -> bool:
    return _INDEX.fullmatch(step) is not None


def _in_map(items: dict[str, Any], step: str) -> Any:
    """`k=v` is the value of `k` where that is `v`; else a key of this very name. A list's lookup finds nothing here."""
    if is_lookup(step):
        return None
    key, _, value = step.partition("=")
    return value if "=" not in value and items.get(key) == value else items.get(step)


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
    """Whether a value is what a configuration calls it: the same text, the same number, or the same truth value.

    What counts as a number is what counts as one in a gauge: `[status=1]` finds a status "True".
    """
    if isinstance(candidate, str) and candidate == wanted:
        return True
    number = _number_of(wanted)
    if number is not None:
        with suppress(ValueError):
            if to_number(candidate) == number:
                return True
    return isinstance(candidate, bool) and wanted in (_TRUE if candidate else _FALSE)


@lru_cache(maxsize=1024)
def _number_of(wanted: str) -> float | None:
    """Return what a step of a configuration is as a number: there are few, and they are asked for all the time."""
    try:
        return to_number(wanted)
    except ValueError:
        return None
