"""How a hook's body is read: bounded, tolerant of what we do not know, and precise about what is wrong.

Bodies come from anybody who reaches the hooks listener. Fields that are not declared are skipped, `null` is as good as
absent, and every failure is a WireError that names the field, the value (short, redacted) and what to do.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from fluxtrail.model.commit import is_sha
from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import MASK, redact

MESSAGE_LIMIT = 39_000
"""Bytes of a message: Flux's own limit (fluxcd/pkg runtime/events)."""
VALUE_LIMIT = 1024
NAME_LIMIT = 320
"""Bytes of a name, a key or a kind: a Kubernetes label key with its prefix has at most 317."""
METADATA_LIMIT = 64
_SHOWN = 80

_AT = re.compile(r"^(?P<what>.*?) - at `(?P<path>[^`]*)`$", re.DOTALL)
_SECRET_KEY = re.compile(r"(?i)passw(?:or)?d|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|authorization")
_PART = re.compile(r"\.{3}|[^.\[\]]+")

T = TypeVar("T")


def decode(body: bytes, decoder: msgspec.json.Decoder[T], *, what: str) -> T:
    """Return the decoded body.

    Args:
        what: what it should be, for people: `a Flux event`.

    Raises:
        WireError: not JSON, not UTF-8, nested too deeply, or a field of another type.
    """
    if not body.strip():
        raise refuse("body", "", f"it is empty; post {what} as JSON")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        raise _wrong_field(exc, body, what) from exc
    except UnicodeDecodeError as exc:
        raise WireError(
            f"it is not UTF-8 (byte {exc.start} of a text): encode {what} as UTF-8", subject="body"
        ) from exc
    except msgspec.DecodeError as exc:
        raise WireError(f"it is not JSON: {exc}; post {what} as JSON", subject="body") from exc
    except RecursionError as exc:
        raise WireError(f"it is nested too deeply: post {what}, which has a few levels", subject="body") from exc


def refuse(field: str, value: object, remedy: str) -> WireError:
    """Return the error of a field whose value cannot be used."""
    return WireError(f"{_shown(value)} is not usable: {remedy}", subject=field)


def name(value: str | None) -> str:
    """Return a name as it is kept: without control characters, cut."""
    return redact(value, limit_bytes=NAME_LIMIT).strip()


def short(value: str | None) -> str:
    return redact(value, limit_bytes=VALUE_LIMIT).strip()


def message(value: str | None) -> str:
    """Return a message as it is kept; its lines stay lines."""
    return redact(value, limit_bytes=MESSAGE_LIMIT)


def metadata(given: dict[str, Any] | None) -> dict[str, str]:
    """Return the first 64 entries, keys as they came; what is no text, number or truth value is left out."""
    kept: dict[str, str] = {}
    for key, value in (given or {}).items():
        if len(kept) == METADATA_LIMIT:
            break
        text = _as_text(value)
        if text is None or not key or len(key.encode("utf-8", "replace")) > NAME_LIMIT:
            continue
        kept[name(key)] = MASK if text and _SECRET_KEY.search(key) else short(text)
    return kept


def whole_sha(text: str | None) -> str:
    """Return a whole sha; of a branch that is made or deleted (all zeros) and of nonsense nothing."""
    lowered = (text or "").lower()
    return lowered if is_sha(lowered) and lowered.strip("0") else ""


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _wrong_field(error: msgspec.ValidationError, body: bytes, what: str) -> WireError:
    match = _AT.match(str(error))
    reason, path = (match["what"], match["path"]) if match else (str(error), "$")
    field = path.removeprefix("$").lstrip(".") or "body"
    value = _find(body, field)
    return refuse(field, value, f"{reason[:1].lower()}{reason[1:]} in {what}")


def _find(body: bytes, field: str) -> object:
    """Return the value that the error is about, or `...` where it cannot be found."""
    try:
        value = msgspec.json.decode(body)
        for part in _PART.findall(field) if field != "body" else ():
            value = value[int(part) if isinstance(value, list) else part]
    except (msgspec.MsgspecError, RecursionError, LookupError, TypeError, ValueError):
        return "..."
    return value


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(redact(str(value), limit_bytes=_SHOWN))
