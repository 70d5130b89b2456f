"""What every forge's writer does to words before it sends them: one line, cut to its limit; and whom it tells.

Descriptions, contexts and addresses come out of templates and of messages from clusters: they may hold anything.
What a refusal asks for is said here too.
"""

from __future__ import annotations

import copy
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import AuthError, FluxtrailError, NotFoundError, WireError

E = TypeVar("E", bound=FluxtrailError)

Audit = Callable[[str, str], None]
"""Told of every write before it is sent: what (`commit status success`), and where (`github.com/acme/shop@<sha>`)."""

ELLIPSIS = "…"
_READ_LIMIT = 20_000
_DIGEST_CHARACTERS = 8
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
"""Without width, or turning what follows it around. The joiners (U+200C, U+200D) belong to scripts and to emoji."""
_WIDE = re.compile("[\U00010000-\U0010ffff][\u200d\ufe0e\ufe0f]*")
"""What takes four bytes of UTF-8, and what only says how it is drawn."""
_JOINER = "\u200d"


def no_audit(_what: str, _where: str) -> None:
    """Tell nobody."""


def cut_line(text: str, limit: int, *, is_utf16: bool = False, is_narrow: bool = False) -> str:
    """Return `text` as one line of at most `limit` characters, an ellipsis in place of what is cut off.

    Never cut between a letter and its accents or the parts of an emoji. Half a surrogate pair becomes `?`.

    Args:
        is_utf16: the forge counts UTF-16 code units (.NET, Java), two for most emoji.
        is_narrow: the forge refuses what takes four bytes of UTF-8, most emoji among it: they are left out.
    """
    line = one_line(text, is_narrow=is_narrow)
    if _length(line, is_utf16) <= limit:
        return line
    kept = line[: limit - len(ELLIPSIS)]
    while kept and _length(kept, is_utf16) > limit - len(ELLIPSIS):
        kept = kept[:-1]
    end = len(kept)
    while end and _continues(line, end):
        end -= 1
    # Accents without end are no letter: then the cut is where the limit is.
    return (kept[:end] if end * 2 >= len(kept) else kept).rstrip() + ELLIPSIS


def cut_context(context: str, limit: int, *, is_narrow: bool = False) -> str:
    """Return the name of a status within `limit`; a longer one ends in a digest, so that two do not become one.

    Args:
        is_narrow: as for `cut_line`.

    Raises:
        WireError: nothing is left of it.
    """
    line = one_line(context, is_narrow=is_narrow)
    if not line:
        raise WireError(f"{context[:80]!r} is no name of a status: it is empty", subject="context")
    if len(line) <= limit:
        return line
    digest = hashlib.sha256(context.encode("utf-8", "replace")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{line[: limit - _DIGEST_CHARACTERS - 1].rstrip()}~{digest}"


def one_line(text: str, *, is_narrow: bool = False) -> str:
    """Return `text` without line breaks, control characters and marks that turn it around."""
    sendable = text[:_READ_LIMIT].encode("utf-8", "replace").decode("utf-8")
    if is_narrow:
        sendable = _WIDE.sub("", sendable)
    visible = _INVISIBLE.sub("", sendable)
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in visible).split())


def web_address(url: str, *, limit: int = 2_000) -> str:
    """Return `url` if it is an address that a forge may link to; else nothing: the status counts without it too.

    One with a login in it would show that to everybody who sees the commit.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    is_plain = url.isprintable() and not any(c.isspace() or c in '"<>`\\' for c in url)
    return url if is_good and is_plain and len(url) <= limit else ""


def checked_sha(sha: str) -> str:
    """Return `sha`.

    Raises:
        WireError: it is no full commit id, and must not become a part of a path.
    """
    if not is_sha(sha):
        raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
    return sha


def checked_deployment(deployment: str) -> str:
    """Return `deployment`.

    Raises:
        WireError: it is no number, as forges have them for ids, and must not become a part of a path.
    """
    if not (deployment.isascii() and deployment.isdecimal()):
        raise WireError(f"{deployment[:80]!r} is not the id of a deployment", subject="deployment")
    return deployment


@contextmanager
def naming_right(right: str, *, unknown_commit: str = "commit") -> Iterator[None]:
    """Say of a refusal which right is missing: forges answer 404 as well where a token may not write.

    Args:
        unknown_commit: a pattern of what is said of a commit that is not there; no right would bring it.
    """
    try:
        yield
    except (AuthError, NotFoundError) as exc:
        if isinstance(exc, NotFoundError) and re.search(unknown_commit, exc.message, re.IGNORECASE):
            raise
        raise hinted(exc, right) from exc


def hinted(exc: E, hint: str) -> E:
    """Return the same error, saying last what to do about it."""
    told = copy.copy(exc)
    told.message = f"{exc.message}; {hint}"
    told.args = (told.message,)
    return told


def encode_body(body: Any) -> bytes:
    """Return `body` as JSON.

    Raises:
        WireError: it holds what JSON cannot, such as half of a surrogate pair.
    """
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireError(f"it cannot be sent as JSON: {type(exc).__name__}", subject="body") from exc


def _length(text: str, is_utf16: bool) -> int:
    return len(text.encode("utf-16-le")) // 2 if is_utf16 else len(text)


def _continues(line: str, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it."""
    following = line[at]
    if following == _JOINER or line[at - 1] == _JOINER:
        return True
    return unicodedata.combining(following) != 0 or unicodedata.category(following) in ("Mn", "Me", "Sk")
