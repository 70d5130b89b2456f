"""A commit's message in Slack's blocks. Pure.

Source: docs.slack.dev, Block Kit: 50 blocks, 3,000 characters a section, 10 elements a context
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fluxtrail.model.status import StatusState
from fluxtrail.reports.messages.parts import Line, Parts, parts_of
from fluxtrail.reports.messages.texts import slack_escape
from fluxtrail.reports.standings.saying import Saying

SECTION_LIMIT = 3_000
MOST_SECTIONS = 40
FALLBACK_LIMIT = 3_000
ICONS = {
    StatusState.PENDING: ":hourglass_flowing_sand:",
    StatusState.RUNNING: ":arrows_counterclockwise:",
    StatusState.SUCCESS: ":white_check_mark:",
    StatusState.FAILURE: ":x:",
    StatusState.ERROR: ":warning:",
    StatusState.NEUTRAL: ":heavy_minus_sign:",
}


def slack_message(saying: Saying, *, has_own_text: bool) -> dict[str, Any]:
    """Return `text` and `blocks` of a message.

    Args:
        has_own_text: the route's `text`, escaped, stands in place of the lines.
    """
    parts = parts_of(saying)
    text = saying.texts["text"].strip()
    body = _sections(text.splitlines()) if has_own_text else _sections([_line(line) for line in parts.lines])
    blocks = [_section(_title(parts)), *body, _footer(parts)]
    fallback = text if has_own_text else f"{slack_escape(parts.subject)}\n{text}"
    return {"text": _cut(fallback, FALLBACK_LIMIT), "blocks": blocks}


def _title(parts: Parts) -> str:
    return f"{ICONS[parts.state]} *{_link(parts.subject, parts.commit_url)}*"


def _line(line: Line) -> str:
    return f"{ICONS[line.state]} *{slack_escape(line.environment)}*  {slack_escape(line.summary)}"


def _footer(parts: Parts) -> dict[str, Any]:
    facts = [*parts.facts, *([("trail", parts.trail_url)] if parts.trail_url else [])]
    return {"type": "context", "elements": [_text(" · ".join(_link(text, url) for text, url in facts))]}


def _sections(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return as many sections as the lines need; what is beyond the limit is counted."""
    found: list[list[str]] = []
    left = len(lines)
    for line in (_cut(one, SECTION_LIMIT - 100) for one in lines):
        if not found or sum(len(one) + 1 for one in found[-1]) + len(line) > SECTION_LIMIT - 100:
            if len(found) == MOST_SECTIONS:
                break
            found.append([])
        found[-1].append(line)
        left -= 1
    if left:
        found[-1].append(f"… and {left} more")
    return list(_filled(found))


def _filled(groups: Sequence[Sequence[str]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        text = "\n".join(group).strip()
        if text:
            yield _section(text)


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, Any]:
    """`verbatim`: `@channel` and `#names` in somebody's words stay words."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _link(text: str, url: str) -> str:
    shown = slack_escape(text)
    if not url:
        return shown
    return f"<{slack_escape(url).replace('|', '%7C')}|{shown.replace('|', '¦')}>"


def _cut(text: str, limit: int) -> str:
    """Return at most `limit` characters, with no half of `&amp;` at the end."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    last = kept.rfind("&", len(kept) - 5)
    return (kept[:last] if last != -1 and ";" not in kept[last:] else kept) + "…"
