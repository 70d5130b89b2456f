"""Tokens: who holds one may ask. Files that hold them are read again, so that rotation needs no restart.

A token that is rotated is two for a while: nobody changes it everywhere at one instant. So each line of a file is a
token, and all of them count; the old one is taken out when no one uses it any more.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.model.errors import ConfigError
from fluxtrail.web.access.binding import TOKEN_MIN_LENGTH, too_short
from fluxtrail.web.access.principals import Means, Principal, Role

MOST_LINES = 5
REREAD_SECONDS = 1.0
"""A rotated token counts at the latest after this."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Token:
    """Who holds it is called so, and may do that."""

    name: str
    role: Role = Role.OPERATOR
    repositories: tuple[str, ...] = ()
    secret: str = field(default="", repr=False)
    """One in each line."""
    file: Path | None = None
    """In its place: a file that may be rotated; one in each line, too."""

    def principal(self, means: Means) -> Principal:
        return Principal(name=self.name, role=self.role, repositories=self.repositories, means=means)


class Tokens:
    """Finds whose token was shown.

    Raises:
        ConfigError: two of one name or with one secret; a file that cannot be read; a secret that is too short.
    """

    def __init__(self, tokens: Sequence[Token], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tokens = {token.name: token for token in tokens}
        self._monotonic = monotonic
        self._files = SecretFiles()
        self._read_at = monotonic()
        self._refused: set[str] = set()
        if len(self._tokens) < len(tokens):
            raise ConfigError("two tokens have one name; give each its own", subject="api.tokens")
        self._held = {token.name: self._read(token) for token in tokens}
        self._check_different()
        self._digests = self._digest()

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def find(self, secret: str) -> Token | None:
        """Return the token that was shown. It takes as long whichever it is, and however much of it is right."""
        self._refresh()
        given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        found = None
        for digest, name in self._digests:
            if hmac.compare_digest(digest, given):
                found = self._tokens[name]
        return found

    def named(self, name: str) -> tuple[Token, tuple[str, ...]] | None:
        """Return the token of that name, with its secrets of now."""
        self._refresh()
        token = self._tokens.get(name)
        return None if token is None else (token, self._held[name])

    def _refresh(self) -> None:
        now = self._monotonic()
        if now - self._read_at < REREAD_SECONDS:
            return
        self._read_at = now
        for token in self._tokens.values():
            if token.file is not None:
                self._refresh_one(token)
        self._digests = self._digest()

    def _refresh_one(self, token: Token) -> None:
        try:
            self._held[token.name] = self._read(token)
            self._refused.discard(token.name)
        except ConfigError as exc:
            # What it held goes on: a file that is just being written must not lock everybody out.
            if token.name not in self._refused:
                self._refused.add(token.name)
                _log.warning("api_token_unusable", name=token.name, error=str(exc))

    def _read(self, token: Token) -> tuple[str, ...]:
        text = token.secret if token.file is None else self._files.read(token.file)
        subject = f"api token {token.name}" if token.file is None else str(token.file)
        lines = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        if not 0 < len(lines) <= MOST_LINES:
            raise ConfigError(
                f"it has {len(lines)} tokens, one in each line; it may have 1 to {MOST_LINES}: take out those that "
                "nobody uses any more",
                subject=subject,
            )
        shortest = min(lines, key=len)
        if len(shortest) < TOKEN_MIN_LENGTH:
            raise too_short(shortest, subject=subject)
        return tuple(lines)

    def _check_different(self) -> None:
        owners: dict[str, str] = {}
        for name, secrets in self._held.items():
            for secret in secrets:
                other = owners.setdefault(secret, name)
                if other != name:
                    raise ConfigError(
                        f"{other} and {name} hold the same token; give each its own", subject="api.tokens"
                    )

    def _digest(self) -> list[tuple[bytes, str]]:
        return [
            (hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest(), name)
            for name, secrets in self._held.items()
            for secret in secrets
        ]
