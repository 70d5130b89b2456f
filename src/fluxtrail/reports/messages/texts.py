"""Templates whose values are other people's words: what they wrote stays text, and mentions nobody. Pure.

What the template itself says is the operator's, and may use all that the chat offers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fluxtrail.reports.templates import Text

Escape = Callable[[str], str]
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|~<>])")


def slack_escape(text: str) -> str:
    """Return `text` so that Slack shows it as it is. Source: docs.slack.dev, "Formatting message text", escaping."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def card_escape(text: str) -> str:
    """Return `text` so that a TextBlock of an adaptive card shows it as it is: it takes a part of Markdown."""
    return text if text.startswith(("https://", "http://")) else _MARKS.sub(r"\\\1", text)


class EscapedText:
    """A template whose values are escaped before it is filled in."""

    def __init__(self, text: Text, escape: Escape) -> None:
        self._text = text
        self._escape = escape

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text. Raises as `Text.fill`."""
        return self._text.fill({name: self._escaped(value) for name, value in values.items()})

    def _escaped(self, value: Any) -> Any:
        match value:
            case str():
                return self._escape(value)
            case Mapping():
                return {name: self._escaped(one) for name, one in value.items()}
            case list() | tuple():
                return [self._escaped(one) for one in value]
            case _:
                return value
