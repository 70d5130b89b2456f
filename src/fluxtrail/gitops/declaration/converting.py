"""Mappings of a declaration into its types, with errors that say where, what, and what else it could be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from fluxtrail.model.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r" - at `\$(?P<path>.*)`\Z")
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`")
_MISSING = re.compile(r"missing required field `(?P<name>.*)`")


def convert(value: Any, to: type[T], *, subject: str) -> T:
    """Return a mapping as a Struct.

    Raises:
        ConfigError: a field is unknown, missing or of another type. Values are shown only where they are short.
    """
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as exc:
        raise _explained(str(exc), value, to, subject) from exc


def _explained(text: str, value: Any, to: type[msgspec.Struct], subject: str) -> ConfigError:
    at = _AT.search(text)
    path = at["path"].lstrip(".") if at else ""
    place = f"{subject}.{path}" if path else subject
    if unknown := _UNKNOWN.search(text):
        return unknown_field(unknown["name"], to.__struct_fields__ if not path else (), subject=place)
    if missing := _MISSING.search(text):
        return ConfigError(f"has no {missing['name']}; add `{missing['name']}: …`", subject=place)
    said = text[: at.start()] if at else text
    given = _found(value, path)
    shown = f" (given: {given!r})" if isinstance(given, str | int | float) and len(str(given)) <= 60 else ""
    remedy = "; quote it" if isinstance(given, int | float) and "Expected `str" in said else ""
    return ConfigError(f"{said.replace('`', '')}{shown}{remedy}", subject=place)


def _found(value: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def unknown_field(name: str, known: Iterable[str], *, subject: str) -> ConfigError:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}" if names else "leave it out"
    return ConfigError(f"has no field {name[:60]!r}; {remedy}", subject=subject)


def mapping(value: Any, *, subject: str) -> dict[str, Any]:
    """Return a mapping; nothing is an empty one.

    Raises:
        ConfigError: it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"is no mapping but a {type(value).__name__}; write `name: …` on each line", subject=subject)
    return value
