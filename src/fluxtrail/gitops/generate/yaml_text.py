"""YAML exactly as `flux … --export` prints it: the same keys' order, indentation, quotes and folds, on every machine.

PyYAML's writer makes other choices, and not the same ones with and without its library in C.

Source: go.yaml.in/yaml/v2 emitterc.go
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fluxtrail.gitops.generate.natural import NATURAL
from fluxtrail.gitops.generate.scalars import BREAKS, WIDTH, Style, escaped, is_break, number_text, style_of

KEY_LIMIT_BYTES = 128
"""A longer key is written after a question mark."""


def yaml_text(value: Any, *, is_sorted: bool = True) -> str:
    """Return a mapping or a list as a YAML document, without marks, ending in a line break.

    Args:
        value: of mappings with text keys, lists, texts, numbers, truths and None; numbers are finite.
        is_sorted: keys in natural order; else as they come.
    """
    writer = _Writer(is_sorted)
    writer.node(value, 0, is_in_mapping=False, is_compact=True)
    text = "".join(writer.parts)
    return text if text.endswith("\n") else text + "\n"


class _Writer:
    """Writes nodes one after the other, and knows the column it has come to."""

    def __init__(self, is_sorted: bool) -> None:
        self.parts: list[str] = []
        self._column = 0
        self._is_sorted = is_sorted

    def node(self, value: Any, indent: int, *, is_in_mapping: bool, is_compact: bool) -> None:
        """Write a value.

        Args:
            indent: of the mapping or list that it is in.
            is_in_mapping: it follows a key: a list then stands below the key and not to the right of it.
            is_compact: a collection begins on this line.
        """
        inner = indent if not self.parts else indent + 2
        if isinstance(value, Mapping) and value:
            self._mapping(value, inner, is_compact=is_compact)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            self._sequence(value, indent if is_in_mapping and not is_compact else inner, is_compact=is_compact)
        elif isinstance(value, Mapping | list | tuple):
            self._put(" " * (not self._is_after_space()) + ("{}" if isinstance(value, Mapping) else "[]"))
        else:
            self._scalar(value, indent + 2, is_key=False)

    def _mapping(self, value: Mapping[str, Any], indent: int, *, is_compact: bool) -> None:
        keys = sorted(sorted(value), key=NATURAL) if self._is_sorted else list(value)
        for place, key in enumerate(keys):
            if place or not is_compact:
                self._line(indent)
            if _is_simple(key):
                self._scalar(key, indent + 2, is_key=True)
                self._put(":")
                self.node(value[key], indent, is_in_mapping=True, is_compact=False)
            else:
                self._put("?")
                self._scalar(key, indent + 2, is_key=False)
                self._line(indent)
                self._put(":")
                self.node(value[key], indent, is_in_mapping=True, is_compact=self._opens(value[key]))

    def _opens(self, value: Any) -> bool:
        """Tell whether a value after a lone colon goes on in its line; if so, write the space before it."""
        if isinstance(value, str | bool | int | float) or value is None or not value:
            return False
        self._put(" ")
        return True

    def _sequence(self, value: Sequence[Any], indent: int, *, is_compact: bool) -> None:
        for place, item in enumerate(value):
            if place or not is_compact:
                self._line(indent)
            self._put("-")
            if isinstance(item, Mapping | list | tuple) and item:
                self._put(" ")
            self.node(item, indent, is_in_mapping=False, is_compact=True)

    def _scalar(self, value: Any, indent: int, *, is_key: bool) -> None:
        if not is_key or not self._is_at_start():
            self._put(" " * (not self._is_after_space()))
        if not isinstance(value, str):
            self._put(_word(value))
            return
        style = style_of(value, is_key=is_key)
        if style is Style.LITERAL:
            self._literal(value, indent)
        elif style is Style.DOUBLE:
            self._double(value, indent, is_folded=not is_key)
        else:
            self._single_or_plain(value, indent, is_plain=style is Style.PLAIN, is_folded=not is_key)

    def _single_or_plain(self, text: str, indent: int, *, is_plain: bool, is_folded: bool) -> None:
        self._put("" if is_plain else "'")
        was_space = was_break = False
        for place, char in enumerate(text):
            if char == " ":
                inside = is_plain or 0 < place < len(text) - 1
                if (
                    is_folded
                    and not was_space
                    and self._column > WIDTH
                    and inside
                    and text[place + 1 : place + 2] != " "
                ):
                    self._line(indent)
                else:
                    self._put(char)
                was_space = True
            elif is_break(char):
                self._break(char)
                was_break = True
            else:
                if was_break:
                    self._put(" " * indent)
                self._put("''" if char == "'" and not is_plain else char)
                was_space = was_break = False
        self._put("" if is_plain else "'")

    def _double(self, text: str, indent: int, *, is_folded: bool) -> None:
        self._put('"')
        was_space = False
        for place, char in enumerate(text):
            written = escaped(char)
            if written is not None:
                self._put(written)
                was_space = False
            elif char == " ":
                if is_folded and not was_space and self._column > WIDTH and 0 < place < len(text) - 1:
                    self._line(indent)
                    self._put("\\" if text[place + 1] == " " else "")
                else:
                    self._put(char)
                was_space = True
            else:
                self._put(char)
                was_space = False
        self._put('"')

    def _literal(self, text: str, indent: int) -> None:
        hint = "2" if text[0] == " " or is_break(text[0]) else ""
        ends = len(text) - len(text.rstrip("".join(BREAKS)))
        chomp = ("-", "", "+")[min(ends, 2)] if ends < len(text) else "+"
        self._put(f"|{hint}{chomp}")
        self._break("\n")
        was_break = True
        for char in text:
            if is_break(char):
                self._break(char)
            else:
                self._put((" " * indent if was_break else "") + char)
            was_break = is_break(char)

    def _break(self, char: str) -> None:
        self.parts.append(char)
        self._column = 0

    def _line(self, indent: int) -> None:
        """Go to a new line, unless a block has just ended one."""
        if self.parts and not self.parts[-1].endswith("\n"):
            self.parts.append("\n")
        self.parts.append(" " * indent)
        self._column = indent

    def _put(self, text: str) -> None:
        if text:
            self.parts.append(text)
            self._column += len(text)

    def _is_at_start(self) -> bool:
        return not self.parts or not self.parts[-1].strip(" \n")

    def _is_after_space(self) -> bool:
        return not self.parts or self.parts[-1].endswith((" ", "\n"))


def _is_simple(key: str) -> bool:
    return not any(map(is_break, key)) and len(key.encode()) <= KEY_LIMIT_BYTES


def _word(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value)
