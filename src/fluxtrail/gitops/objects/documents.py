"""YAML as Flux and kubectl read it: both hand it to go-yaml, whose plain scalars mean something else than PyYAML's.

`1:30` and `2026-11-20` are texts, `1e3` is a number, `y` is true. Read otherwise, an object that was taken from a file
would not be the object that kubectl applies. A key that stands twice is refused: one of the two would be lost silently.

Source: sigs.k8s.io/yaml goyaml.v2/resolve.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from fluxtrail.model.errors import ConfigError

NODE_LIMIT = 500_000
"""How many nodes one document may have, aliases written out: anchors can make a gigabyte out of a kilobyte."""

DEPTH_LIMIT = 100
_PLAIN = "plain"
_TEXT = "tag:yaml.org,2002:str"

_INTEGER = re.compile(r"[-+]?(?:0[bB][01]+|0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_SIGNED_64 = 1 << 63
_UNSIGNED_64 = 1 << 64


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document of a stream.

    Args:
        value: what it says: None, a scalar, a list, or a mapping whose keys are texts.
        line: its first line, from 1.
        item_lines: the first line of each entry of its `items`, where it is a mapping with such a list.
    """

    value: Any
    line: int
    item_lines: tuple[int, ...] = ()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes that still know whether they stood there plain: only such scalars are more than text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return "tag:yaml.org,2002:" + ("seq" if kind is yaml.SequenceNode else "map")


def read_documents(text: str | bytes, *, subject: str) -> Iterator[Document]:
    """Yield the documents of a stream that are not empty.

    Args:
        subject: the file, for errors.

    Raises:
        ConfigError: no YAML, a key twice, too deep, or too large; with the line.
    """
    try:
        yield from _read(text, subject)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "unreadable"
        raise ConfigError(f"is not valid YAML{place}: {problem}; correct the file", subject=subject) from exc
    except (RecursionError, UnicodeDecodeError) as exc:
        raise ConfigError(
            "is not valid YAML: nested too deeply, or no UTF-8; correct the file", subject=subject
        ) from exc


def _read(text: str | bytes, subject: str) -> Iterator[Document]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            builder = _Builder(subject)
            value = builder.build(node, 0)
            if value is not None:
                yield Document(value=value, line=node.start_mark.line + 1, item_lines=_item_lines(node))
    finally:
        loader.dispose()


def _item_lines(node: yaml.Node) -> tuple[int, ...]:
    if not isinstance(node, yaml.MappingNode):
        return ()
    for key, value in node.value:
        if key.value == "items" and isinstance(value, yaml.SequenceNode):
            return tuple(item.start_mark.line + 1 for item in value.value)
    return ()


class _Builder:
    """Builds values of one document's nodes."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self._count = 0

    def build(self, node: yaml.Node, depth: int) -> Any:
        self._count += 1
        if self._count > NODE_LIMIT or depth > DEPTH_LIMIT:
            raise self._error(node, f"is nested deeper than {DEPTH_LIMIT}, or grows over {NODE_LIMIT} nodes")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _PLAIN and key.value == "<<":
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = self._merged(each, depth) | merged
                continue
            name = self._key(key)
            if name in found:
                raise self._error(key, f"has the key {name!r} twice")
            found[name] = self.build(value, depth + 1)
        return {**merged, **found} if merged else found

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, "merges (<<) what is no mapping")
        return self._mapping(node, depth + 1)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "has a key that is no text")
        value = self._scalar(node)
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        if node.tag == _TEXT or node.tag.startswith("!"):
            return str(node.value)
        if node.tag.endswith(":binary"):
            raise self._error(node, "has a !!binary value, which JSON has not")
        return scalar_of(node.value)

    def _error(self, node: yaml.Node, problem: str) -> ConfigError:
        return ConfigError(f"line {node.start_mark.line + 1} {problem}; correct the file", subject=self._subject)


def scalar_of(text: str) -> Any:
    """Return what a plain scalar means: None, a truth, a number, or the text itself."""
    if text in WORDS:
        return WORDS[text]
    if text[0] in ".+-0123456789":
        number = text.replace("_", "") if text[0] != "." else text
        if _INTEGER.match(number):
            return _integer(number)
        if _FLOAT.match(number):
            return float(number)
    return text


def _integer(text: str) -> int | float:
    """Return the number; a leading zero means octal, and what exceeds 64 bits is no integer."""
    digits = text.lstrip("+-").lower()
    is_old_octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdecimal()
    value = int(digits, 8 if is_old_octal else 0) * (-1 if text[0] == "-" else 1)
    return value if -_SIGNED_64 <= value < _UNSIGNED_64 else float(value)
