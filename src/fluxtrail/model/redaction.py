"""Clears secrets where text enters Fluxtrail: in the projections, not where text leaves.

Two rules (design: Redaction): userinfo and query are stripped from every URL, and messages are cut to
1 KiB and cleared of anything that looks like a credential.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

MESSAGE_LIMIT_BYTES = 1024
MASK = "[redacted]"

_URL = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>`]+")
_TOKENS = re.compile(
    r"""
      \bgh[pousr]_[A-Za-z0-9]{16,}              # GitHub tokens
    | \bgithub_pat_[A-Za-z0-9_]{22,}
    | \bglpat-[A-Za-z0-9_-]{16,}                # GitLab
    | \bxox[abpors]-[A-Za-z0-9-]{10,}           # Slack
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b             # AWS access keys
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JSON web tokens
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|$)
    """,
    re.VERBOSE,
)
_AUTH_HEADER = re.compile(r"(?i)\b(authorization\s*[:=]\s*)?\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_ASSIGNED = re.compile(
    r"(?i)\b((?:[a-z0-9_-]*(?:password|passwd|token|secret|api[_-]?key|private[_-]?key|access[_-]?key))\s*[\"']?\s*[:=]\s*[\"']?)"
    r"[^\s\"',;&]{4,}"
)


def redact_url(url: str) -> str:
    """Return `url` without userinfo, query and fragment. Text that is no URL comes back with any `user:pass@` gone.

    `git@host:path` (scp form) keeps its user: it is a login name that every forge shares, not a secret.
    """
    try:
        parts = urlsplit(url)
        if not parts.scheme or not parts.netloc:
            return re.sub(r"^[^/@\s]*:[^/@\s]*@", "", url).split("?", 1)[0].split("#", 1)[0]
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return MASK


def redact(text: str | None, *, secrets: tuple[str, ...] = (), limit_bytes: int = MESSAGE_LIMIT_BYTES) -> str:
    """Return `text` fit to keep: URLs stripped, credentials masked, at most `limit_bytes` of UTF-8.

    Args:
        secrets: credentials of ours that must go even where they look like nothing in particular.
    """
    if not text:
        return ""
    # The cut comes last, so that a credential is never split into something that no longer looks like one;
    # a first, generous cut bounds the work on a hostile input.
    cleared = text[: 16 * limit_bytes]
    for secret in secrets:
        if len(secret) >= 4:
            cleared = cleared.replace(secret, MASK)
    cleared = _URL.sub(lambda match: redact_url(match.group(0)), cleared)
    cleared = _AUTH_HEADER.sub(MASK, cleared)
    cleared = _ASSIGNED.sub(lambda match: match.group(1) + MASK, cleared)
    cleared = _TOKENS.sub(MASK, cleared)
    encoded = cleared.encode("utf-8", "surrogatepass")
    if len(encoded) <= limit_bytes:
        return cleared
    return encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "…"
