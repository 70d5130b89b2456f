"""A GitHub as an App sees it: checks the JWT with the public key, knows installations, makes tokens that end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

APP_ID = "123456"
BEGIN = datetime(2026, 1, 12, 10, tzinfo=UTC)


def make_pem() -> tuple[str, str]:
    """Return a new private key and its public half, both PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


@dataclass
class AppServer:
    public_key: str
    url: str = ""
    now: datetime = BEGIN
    """GitHub's own clock; tests' clients have another that may differ."""
    skew: timedelta = timedelta()
    """How far the client's clock is behind."""
    orgs: dict[str, int] = field(default_factory=lambda: {"acme": 11})
    users: dict[str, int] = field(default_factory=lambda: {"ada": 22})
    suspended: set[int] = field(default_factory=set)
    lifetime: timedelta = timedelta(hours=1)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(method, path)."""
    claims: list[dict[str, Any]] = field(default_factory=list)
    failures: list[web.Response] = field(default_factory=list)
    """Answered first, in turn, to requests for tokens."""
    made: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def clock(self) -> float:
        return (self.now - self.skew).timestamp()

    @property
    def tokens_asked(self) -> int:
        return sum(1 for method, _ in self.asked if method == "POST")

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        self.entered.set()
        await self.gate.wait()
        answer = self._answer(request)
        answer.headers["Date"] = format_datetime(self.now, usegmt=True)
        return answer

    def _answer(self, request: web.Request) -> web.Response:
        refusal = self._check_jwt(request.headers.get("Authorization", ""))
        if refusal:
            return web.json_response({"message": refusal}, status=401)
        if request.method == "POST" and self.failures:
            return self.failures.pop(0)
        match request.path.strip("/").split("/"):
            case ["orgs", name, "installation"] if name in self.orgs:
                return self._installation(name, self.orgs[name])
            case ["users", name, "installation"] if name in {**self.users, **self.orgs}:
                return self._installation(name, {**self.users, **self.orgs}[name])
            case ["app", "installations", number]:
                names = [n for n, i in {**self.users, **self.orgs}.items() if str(i) == number]
                if names:
                    return self._installation(names[0].title(), int(number))
            case ["app", "installations", number, "access_tokens"]:
                if number in {str(i) for i in (*self.orgs.values(), *self.users.values())}:
                    return self._token(number)
        return web.json_response({"message": "Not Found"}, status=404)

    def _check_jwt(self, shown: str) -> str | None:
        try:
            options: Any = {"verify_exp": False, "verify_iat": False}
            token = shown.removeprefix("Bearer ")
            claims = jwt.decode(token, self.public_key, algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError:
            return "A JSON web token could not be decoded"
        self.claims.append(claims)
        now = self.now.timestamp()
        if claims["iss"] != APP_ID:
            return "Integration not found"
        if claims["iat"] > now:
            return "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
        if not now < claims["exp"] <= now + 600:
            return "'Expiration time' claim ('exp') is too far in the future"
        return None

    def _installation(self, name: str, number: int) -> web.Response:
        suspended = "2026-01-01T00:00:00Z" if number in self.suspended else None
        return web.json_response({"id": number, "account": {"login": name}, "suspended_at": suspended})

    def _token(self, number: str) -> web.Response:
        self.made.append(f"ghs_{number}x{len(self.made):020}")
        ends = (self.now + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response({"token": self.made[-1], "expires_at": ends}, status=201)
