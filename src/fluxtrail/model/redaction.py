"""Clears secrets where text enters Fluxtrail: in the projections, not where text leaves.

Two rules (design: Redaction): userinfo and query are stripped from every URL, and messages are cut to
1 KiB and cleared of anything that looks like a credential.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit, urlunsplit

MESSAGE_LIMIT_BYTES = 1024
MASK = "[redacted]"

# Every repetition is bounded or cannot overlap with what follows it: hostile text costs linear time.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://(?:[^\s/\"<>`@]{1,1024}@)?[^\s'\"<>`]*")
_TOKENS = re.compile(
    r"""
      gh[pousr]_[A-Za-z0-9]{16,}              # GitHub tokens
    | github_pat_[A-Za-z0-9_]{22,}
    | glpat-[A-Za-z0-9_-]{16,}                # GitLab
    | xox[abpors]-[A-Za-z0-9-]{10,}           # Slack
    | (?:AKIA|ASIA)[A-Z0-9]{16}               # AWS access keys
    | eyJ[A-Za-z0-9_-]{8,1024}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*   # JSON web tokens
    | -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----|$)
    """,
    re.VERBOSE,
)
_AUTH_HEADER = re.compile(
    r"(?i:\bauthorization[\\\"']{0,3}\s{0,8}[:=]\s{0,8})[\\\"']{0,3}(?:[A-Za-z]{1,20}\s{1,8})?[^\s\"']+"
)
_AUTH_SCHEME = re.compile(
    r"(?i:\bbearer)\s{1,8}(?!(?i:auth|credential))[A-Za-z0-9._~+/=-]{8,}|(?i:\b(?:bearer|basic))\s{1,8}"
    r"(?:[A-Za-z0-9._~+/=-]{16,}|(?=[A-Za-z._~+/-]{0,15}[0-9=]|[a-z._~+/-]{1,15}[A-Z])[A-Za-z0-9._~+/=-]{6,})"
)
"""`Bearer` or `Basic` and what looks like no English word: it is long, or has digits or capitals within.

After `Bearer` any eight letters will do, for few words stand there."""
_ASSIGNED = re.compile(
    r"(?i)((?:password|passwd|token|secret|api[_-]?key|private[_-]?key|access[_-]?key)"
    r"[\\\"']{0,3}\s{0,8}[:=]\s{0,8})"
    r"(\\?\"(?=[^\"\n])|\\?'(?=[^'\n])|)"
    r"((?<=\")[^\"\n]+|(?<=')[^'\n]+|[^\s\"']{4,})"
)

_HAS_A_PORT_IF_ANY = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::[0-9]*)?\Z")


def redact_url(url: str) -> str:
    """Return `url` without userinfo, query and fragment. Text that is no URL comes back with any `user:pass@` gone.

    `git@host:path` (scp form) keeps its user: it is a login name that every forge shares, not a secret.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    if not parts.scheme or not parts.netloc:
        return re.sub(r"^[^/@\s:]*:[^/@\s]*@", "", url).split("?", 1)[0].split("#", 1)[0]
    host = parts.netloc.rpartition("@")[2]
    if "@" in url and not _HAS_A_PORT_IF_ANY.match(host):
        return MASK  # a password with an unescaped `/`, `?` or `#` looks like this
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redact(text: str | None, *, secrets: tuple[str, ...] = (), limit_bytes: int = MESSAGE_LIMIT_BYTES) -> str:
    """Return `text` fit to keep: URLs stripped, credentials masked, at most `limit_bytes` of UTF-8.

    Args:
        secrets: credentials of ours that must go even where they look like nothing in particular.
    """
    if not text:
        return ""
    # The cut comes last, so that a credential is never split into something that no longer looks like one;
    # a first, generous cut bounds the work on a hostile input.
    cleared = text if text.isprintable() else _CONTROLS.sub("", text)
    for secret in secrets:
        if len(secret) >= 4:
            cleared = cleared.replace(secret, MASK).replace(quote(secret, safe=""), MASK)
    is_cut = len(cleared) > 16 * limit_bytes
    cleared = _mask(cleared[: 16 * limit_bytes])
    if len(cleared) <= limit_bytes and not is_cut and cleared.isascii():
        return cleared
    encoded = cleared.encode("utf-8", "replace")
    if len(encoded) <= limit_bytes and not is_cut:
        return encoded.decode("utf-8")
    if len(encoded) <= limit_bytes:
        # The masks took so much that the first cut shows: its last word may be half a secret.
        encoded = re.sub(rb"\S*\Z", b"", encoded)
    return encoded[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def _mask(text: str) -> str:
    """Return `text` with URLs stripped and credentials masked.

    A pattern is only tried where a word is there without which it matches nothing: most texts have none of them. Beyond
    ASCII, patterns that ignore case match letters that no lower case tells of, so there all are tried.
    """
    if "://" in text:
        text = _URL.sub(lambda match: redact_url(match.group(0)), text)
    if text.isascii():
        lowered = text.lower()
        has_header = "authorization" in lowered
        has_scheme = "bearer" in lowered or "basic" in lowered
        has_assigned = "passw" in lowered or "token" in lowered or "secret" in lowered or "key" in lowered
    else:
        has_header = has_scheme = has_assigned = True
    if has_header:
        text = _AUTH_HEADER.sub(MASK, text)
    if has_scheme:
        text = _AUTH_SCHEME.sub(MASK, text)
    if has_assigned:
        text = _ASSIGNED.sub(lambda match: match.group(1) + match.group(2) + MASK, text)
    return _TOKENS.sub(MASK, text) if _may_hold_tokens(text) else text


def _may_hold_tokens(text: str) -> bool:
    is_of_a_forge = "gh" in text or "github_pat_" in text or "glpat-" in text or "xox" in text
    return is_of_a_forge or "AKIA" in text or "ASIA" in text or "eyJ" in text or "-----BEGIN " in text
