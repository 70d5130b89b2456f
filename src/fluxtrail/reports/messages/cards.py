"""A commit's message as an adaptive card. Pure.

Runs of text show what people wrote as it is, where a block of text would take it for Markdown.
Source: adaptivecards.io, schema 1.4 (what Teams shows everywhere); learn.microsoft.com: 28 KB a message
"""

from __future__ import annotations

from typing import Any

import msgspec

from fluxtrail.model.status import StatusState
from fluxtrail.reports.messages.parts import Line, Parts, parts_of
from fluxtrail.reports.standings.saying import Saying

CARD_LIMIT_BYTES = 24 * 1024
"""What stands around a card takes some of the 28 KB."""
MOST_LINES = 60
TEXT_LIMIT = 6_000
_ICONS = {
    StatusState.PENDING: "⏳",
    StatusState.RUNNING: "🔄",
    StatusState.SUCCESS: "✅",
    StatusState.FAILURE: "❌",
    StatusState.ERROR: "⚠️",
    StatusState.NEUTRAL: "➖",
}
_COLORS = {
    StatusState.SUCCESS: "Good",
    StatusState.FAILURE: "Attention",
    StatusState.ERROR: "Warning",
}


def adaptive_card(saying: Saying, *, has_own_text: bool) -> dict[str, Any]:
    """Return the card.

    Args:
        has_own_text: the route's `text`, escaped, stands in place of the lines.
    """
    parts = parts_of(saying)
    if has_own_text:
        text = saying.texts["text"].strip()[:TEXT_LIMIT]
        return _card(parts, [{"type": "TextBlock", "text": text, "wrap": True}] if text else [])
    shown = min(len(parts.lines), MOST_LINES)
    while True:
        card = _card(parts, _lines(parts, shown))
        if shown == 0 or len(msgspec.json.encode(card)) <= CARD_LIMIT_BYTES:
            return card
        shown -= 1 + shown // 8


def _lines(parts: Parts, shown: int) -> list[dict[str, Any]]:
    found = [_line(line) for line in parts.lines[:shown]]
    left = len(parts.lines) - shown
    return [*found, _rich([_run(f"… and {left} more")])] if left else found


def _card(parts: Parts, body: list[dict[str, Any]]) -> dict[str, Any]:
    title = _rich([_run(f"{_ICONS[parts.state]} {parts.subject}", weight="Bolder", size="Medium")])
    footer = _rich([_run(" · ".join(text for text, _ in parts.facts), isSubtle=True, size="Small")])
    links = [("Commit", parts.commit_url), ("Trail", parts.trail_url)]
    links += [(f"Pull request {text}", url) for text, url in parts.facts if text.startswith("#")]
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [title, *body, footer],
        "actions": [{"type": "Action.OpenUrl", "title": name, "url": url} for name, url in links if url],
    }


def _line(line: Line) -> dict[str, Any]:
    color = _COLORS.get(line.state, "Default")
    return _rich([_run(f"{_ICONS[line.state]} {line.environment}  ", weight="Bolder"), _run(line.summary, color=color)])


def _rich(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": runs}


def _run(text: str, **look: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **look}
