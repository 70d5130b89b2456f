"""Pages that forges name, made safe to be shown as links."""

from __future__ import annotations

from fluxtrail.model.redaction import redact_url

LINK_LIMIT = 2_000


def http_link(url: str | None) -> str:
    """Return the address of a page, without userinfo and query; nothing of what is none, such as `javascript:`."""
    text = (url or "").strip()
    if not text.lower().startswith(("https://", "http://")) or len(text) > LINK_LIMIT or not text.isprintable():
        return ""
    return redact_url(text)
