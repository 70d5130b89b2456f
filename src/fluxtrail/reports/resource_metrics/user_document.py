"""Reads a YAML document whose every place is known by its path, and gathers all that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml

from fluxtrail.model.errors import ConfigError

SHOWN = 20
"""Mistakes that are listed; of more, their number."""
SIZE_LIMIT = 8 * 1024 * 1024
_VALUE = 80
_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"
_TRUE, _FALSE = {"true", "yes", "on", "y"}, {"false", "no", "off", "n"}
_Scalar = str | int | float | bool


class _Loader(yaml.SafeLoader):
    """Leaves scalars as they are written: `version: 1` is text, `0` is a step of a path. A null is one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Two keys of one name are a mistake, of which YAML's reader would keep the last."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            if key.value in names:
                raise yaml.composer.ComposerError(
                    problem=f"{key.value[:_VALUE]!r} stands twice in one mapping", problem_mark=key.start_mark
                )
            names.add(key.value)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag in (_NULL, _MERGE)]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_document(text: str, *, subject: str) -> Any:
    """Return a YAML document, all its scalars as text.

    Raises:
        ConfigError: it is no YAML, is larger than `SIZE_LIMIT`, or holds several documents.
    """
    if len(text) > SIZE_LIMIT:
        raise ConfigError(f"is larger than {SIZE_LIMIT // 2**20} MiB", subject=subject)
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "it cannot be read"
        raise ConfigError(f"is not YAML: {problem}{where}", subject=subject) from exc
    except RecursionError as exc:
        raise ConfigError("is nested too deeply", subject=subject) from exc


@dataclass(frozen=True)
class Findings:
    """What reading a document came upon, each with its path."""

    problems: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """Fields that mean nothing: said, and passed over."""


class Place:
    """A value of a document, and where it is. What is wrong of it is noted, and something harmless comes back."""

    def __init__(self, value: Any, where: str, findings: Findings) -> None:
        self.value = value
        self.where = where
        self._findings = findings

    @property
    def is_given(self) -> bool:
        return self.value is not None

    def refuse(self, problem: str) -> None:
        said = f"{self.where}: {problem}" if self.where else problem
        if said not in self._findings.problems:
            self._findings.problems.append(said)

    def fields(self, *known: str) -> Fields:
        """Take it as a mapping of these fields; others are noted, and passed over."""
        value = self.value
        if value is not None and not isinstance(value, Mapping):
            self.refuse(f"must be a mapping of {', '.join(known)}{_shown(value)}")
            value = None
        found = Fields({str(key): inner for key, inner in (value or {}).items()}, self.where, self._findings)
        for name in found.names:
            if name not in known:
                self._findings.ignored.append(f"{found[name].where}: there is no such field; {_remedy(name, known)}")
        return found

    def items(self) -> list[Place]:
        if self.value is None:
            return []
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            self.refuse(f"must be a list{_shown(self.value)}")
            return []
        return [Place(value, f"{self.where}[{number}]", self._findings) for number, value in enumerate(self.value)]

    def entries(self) -> dict[str, Place]:
        """Take it as a mapping whose names are the user's own."""
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            self.refuse(f"must be a mapping{_shown(self.value)}")
            return {}
        fields = Fields({str(key): inner for key, inner in self.value.items()}, self.where, self._findings)
        return {name: fields[name] for name in fields.names}

    def text(self, default: str = "") -> str:
        if self.value is None:
            return default
        if isinstance(self.value, bool):
            self.refuse(f"must be text{_shown(self.value)}; put it in quotes")
            return default
        if not isinstance(self.value, _Scalar):
            self.refuse(f"must be text, not a {_kind(self.value)}")
            return default
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def switch(self) -> bool:
        if self.value is None or isinstance(self.value, bool):
            return bool(self.value)
        word = str(self.value).lower()
        if word not in _TRUE | _FALSE:
            self.refuse(f"must be true or false{_shown(self.value)}")
        return word in _TRUE

    def whole_number(self) -> int:
        if self.value is None:
            return 0
        try:
            return int(str(self.value), 10)
        except ValueError:
            self.refuse(f"must be a whole number{_shown(self.value)}")
            return 0


class Fields:
    """The fields of a mapping; one that is not there is a place without a value."""

    def __init__(self, values: dict[str, Any], where: str, findings: Findings) -> None:
        self._values = values
        self._where = where
        self._findings = findings

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def __getitem__(self, name: str) -> Place:
        step = name if name.isidentifier() or not self._where else f'"{name[:_VALUE]}"'
        where = f"{self._where}.{step}" if self._where else step[:_VALUE]
        return Place(self._values.get(name), where, self._findings)

    def __contains__(self, name: str) -> bool:
        return name in self._values


def check(findings: Findings, *, subject: str) -> None:
    """Raises ConfigError: something is wrong; all of it is said, with the fields that mean nothing."""
    if not findings.problems:
        return
    problems = findings.problems + findings.ignored
    shown = problems[:SHOWN]
    if len(problems) > SHOWN:
        shown.append(f"and {len(problems) - SHOWN} more")
    said = shown[0] if len(shown) == 1 else "".join(f"\n  {problem}" for problem in shown)
    raise ConfigError(said, subject=subject)


def _remedy(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"is {near[0]} meant?"
    lower = {each.lower(): each for each in known}
    if name.lower() in lower:
        return f"is {lower[name.lower()]} meant?"
    return f"known are {', '.join(known)}"


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping) else "list"


def _shown(value: Any) -> str:
    if isinstance(value, _Scalar):
        return f" (given: {str(value)[:_VALUE]!r})"
    return f", not a {_kind(value)}"
