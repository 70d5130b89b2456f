"""What the simulated issuers share: a clock, keys, what was granted and until when, who asked, and what is wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

LEEWAY_SECONDS = 60.0
"""How far a proof's clock may be ahead."""

Handler = Callable[["Request"], web.Response]


@dataclass(frozen=True, slots=True)
class Granted:
    system: str
    identity: str
    audience: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Request:
    """One question, read."""

    http: web.Request
    form: dict[str, str]
    raw: bytes

    def header(self, name: str) -> str:
        return self.http.headers.get(name, "")


class RefusedError(Exception):
    """The issuer says no."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers or {}


@dataclass
class Fault:
    """What is wrong with one issuer: it answers `status`, or waits for `gate` before it answers, or both."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event | None = None


class Desk:
    """Args:
    clock: POSIX seconds by which everything here is granted, and ends.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.url = ""
        """Where all of it is served."""
        self.asked: Counter[str] = Counter()
        """By issuer, refused questions too."""
        self.arrived = asyncio.Event()
        """Set with each question; who waits for the next clears it."""
        self.faults: dict[str, Fault] = {}
        self._granted: dict[str, Granted] = {}
        self._number = 0

    def grant(self, system: str, identity: str, *, audience: str, life_seconds: float, form: str = "{}") -> str:
        """Return a new token in the issuer's usual `form`, good for `life_seconds`."""
        self._number += 1
        token = form.format(f"{self._number:04}{system}{'x' * 24}")
        self._granted[token] = Granted(system, identity, audience, self.clock() + life_seconds)
        return token

    def find(self, token: str, system: str, *, audience: str = "") -> Granted | None:
        """Return whom a token was granted to, if it is this issuer's, for this audience, and has not ended."""
        found = self._granted.get(token)
        is_good = found is not None and found.system == system and found.ends_at > self.clock()
        return found if is_good and audience in ("", found.audience if found else "") else None

    def revoke(self, token: str) -> None:
        self._granted.pop(token, None)

    @property
    def tokens(self) -> tuple[str, ...]:
        """All that was ever granted and not revoked."""
        return tuple(self._granted)

    def handler(self, system: str, answer: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return what serves `answer` for `system`, with its faults and its clock."""

        async def handle(request: web.Request) -> web.Response:
            self.asked[system] += 1
            self.arrived.set()
            raw = await request.read()
            fault = self.faults.get(system, Fault())
            if fault.gate is not None:
                await fault.gate.wait()
            if fault.status:
                response = web.json_response({"error": "fault"}, status=fault.status, headers=fault.headers)
            else:
                response = self._answer(answer, Request(request, _form(request, raw), raw))
            response.headers["Date"] = format_datetime(datetime.fromtimestamp(self.clock(), UTC), usegmt=True)
            return response

        return handle

    @staticmethod
    def _answer(answer: Handler, request: Request) -> web.Response:
        try:
            return answer(request)
        except RefusedError as exc:
            return web.json_response(exc.body, status=exc.status, headers=exc.headers)


def _form(request: web.Request, raw: bytes) -> dict[str, str]:
    is_form = request.content_type == "application/x-www-form-urlencoded"
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True)) if is_form else {}


@dataclass(frozen=True, slots=True)
class KeyPair:
    private: str = field(repr=False)
    public: str


@cache
def signing_key(name: str) -> rsa.RSAPrivateKey:
    """Return a key of the simulated world, the same for a name as long as the process lives: making one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def key_pair(name: str) -> KeyPair:
    """Return the same key as text."""
    key = signing_key(name)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(private.decode(), public.decode())


def service_account_token(
    subject: str, *, audience: str, now: float, life_seconds: float = 3600.0, signer: str = "cluster"
) -> str:
    """Return what Kubernetes projects into a pod: a JWT of the simulated cluster's issuer."""
    claims = {
        "iss": "https://oidc.example.com/cluster", "sub": subject, "aud": [audience], "iat": int(now),
        "exp": int(now + life_seconds),
    }  # fmt: skip
    return jwt.encode(claims, signing_key(signer), algorithm="RS256")


def read_proof(text: str, *, public: str, audience: str, now: float) -> dict[str, Any]:
    """Return the claims of a JWT that holds by the issuer's own clock.

    Raises:
        ValueError: it does not; the text says why.
    """
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    try:
        claims: dict[str, Any] = jwt.decode(text, public, algorithms=["RS256"], options=options)
    except jwt.InvalidTokenError:
        raise ValueError("the signature is invalid") from None
    stated = claims.get("aud")
    if audience not in (stated if isinstance(stated, list) else [stated]):
        raise ValueError(f"the audience {json.dumps(stated)} does not match {audience}")
    if claims.get("iat", 0) > now + LEEWAY_SECONDS:
        raise ValueError("iat is in the future")
    if claims.get("exp", 0) <= now:
        raise ValueError("the token has expired")
    return claims
