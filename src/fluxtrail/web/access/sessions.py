"""A browser's session: a signed cookie that says which token was shown, and until when that counts.

The key is made from the token itself. So a restart, or another replica with the same tokens, keeps sessions; a token
that is taken out of its file ends its own; and nothing is stored. What a browser signs out of is remembered until it
would have ended anyway, by this process.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fluxtrail.web.access.tokens import Token, Tokens

SESSION_SECONDS = 12 * 3600
MOST_ENDED = 10_000
_MOST_KEYS = 1000
"""Those of rotated tokens are forgotten at last."""
_ROUNDS = 100_000
"""Who gets hold of a cookie should not find a token in it that somebody made up: each guess costs that much."""
_COOKIE = re.compile(r"1\.([a-z0-9][a-z0-9-]{0,62})\.([0-9]{1,12})\.([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Session:
    token: Token
    id: str
    ends_at: int
    """Seconds since 1970."""
    csrf: str = field(repr=False)


class Sessions:
    """Makes and reads cookies. `wall` is the real time of day, whatever a simulated world scales."""

    def __init__(self, tokens: Tokens, *, wall: Callable[[], float] = time.time) -> None:
        self._tokens = tokens
        self._wall = wall
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._ended: OrderedDict[str, int] = OrderedDict()

    def start(self, token: Token, secret: str) -> str:
        """Return a cookie for who has just shown `secret`."""
        text = f"1.{token.name}.{int(self._wall()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{text}.{_sign(self._key(secret), 'session', text)}"

    def read(self, cookie: str) -> Session | None:
        """Return the session, or None where the cookie is no one's, has ended, or its token is there no more."""
        match = _COOKIE.fullmatch(cookie)
        if match is None:
            return None
        name, ends_at, id_, given = match.groups()
        if not self._wall() < int(ends_at) <= self._wall() + SESSION_SECONDS + 60 or id_ in self._ended:
            return None
        named = self._tokens.named(name)
        if named is None:
            return None
        token, held = named
        text = cookie.rpartition(".")[0]
        for key in [self._key(secret) for secret in held]:
            if hmac.compare_digest(_sign(key, "session", text), given):
                return Session(token=token, id=id_, ends_at=int(ends_at), csrf=_sign(key, "form", id_))
        return None

    def end(self, session: Session) -> None:
        """Let the cookie count no more, wherever a copy of it is."""
        self._ended[session.id] = session.ends_at
        while len(self._ended) > MOST_ENDED or next(iter(self._ended.values()), math.inf) < self._wall():
            self._ended.popitem(last=False)

    @property
    def ended(self) -> int:
        """How many are remembered."""
        return len(self._ended)

    def _key(self, secret: str) -> bytes:
        """Making it takes some 30 ms, once for each token."""
        key = self._keys.get(secret)
        if key is None:
            raw = secret.encode("utf-8", "surrogateescape")
            key = self._keys[secret] = hashlib.pbkdf2_hmac("sha256", raw, b"fluxtrail session 1", _ROUNDS)
            while len(self._keys) > _MOST_KEYS:
                self._keys.popitem(last=False)
        return key


def _sign(key: bytes, purpose: str, text: str) -> str:
    digest = hmac.digest(key, f"{purpose} {text}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
