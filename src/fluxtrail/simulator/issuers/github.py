"""GitHub as an App sees it: installations, and a token for each that ends after an hour."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import jwt
from aiohttp import web

from fluxtrail.simulator.issuers.desk import Desk, RefusedError, Request, key_pair

LIFE_SECONDS = 3600.0
LONGEST_PROOF_SECONDS = 600.0


@dataclass
class GitHubApp:
    app_id: str = "123456"
    installations: dict[str, int] = field(default_factory=lambda: {"acme": 11})
    """By owner, in lower case."""
    signer: str = "github app"
    """Which of the world's keys is the App's."""


class GitHubIssuer:
    SYSTEM = "github"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.app = GitHubApp()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        handle = self._desk.handler(self.SYSTEM, self._answer)
        router.add_get("/github/orgs/{owner}/installation", handle)
        router.add_get("/github/users/{owner}/installation", handle)
        router.add_get("/github/app/installations/{id}", handle)
        router.add_post("/github/app/installations/{id}/access_tokens", handle)

    def _answer(self, request: Request) -> web.Response:
        self._check(request.header("Authorization").removeprefix("Bearer "))
        part = request.http.match_info
        owner = part.get("owner", "").lower()
        if not owner:
            owner = next((name for name, id_ in self.app.installations.items() if str(id_) == part["id"]), "")
        if owner not in self.app.installations or "/users/" in request.http.path:
            raise RefusedError(404, {"message": "Not Found"})
        if request.http.method == "GET":
            return web.json_response({"id": self.app.installations[owner], "account": {"login": owner}})
        token = self._desk.grant(self.SYSTEM, owner, audience="github.com", life_seconds=LIFE_SECONDS, form="ghs_{}")
        ends = datetime.fromtimestamp(self._desk.clock() + LIFE_SECONDS, UTC)
        return web.json_response({"token": token, "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}, status=201)

    def _check(self, proof: str) -> None:
        """The proof has no audience; its times are all that bounds it."""
        options = {"verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(proof, key_pair(self.app.signer).public, algorithms=["RS256"], options=options)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            raise RefusedError(401, {"message": "A JSON web token could not be decoded"}) from None
        now = self._desk.clock()
        if claims["iss"] != self.app.app_id:
            raise RefusedError(401, {"message": "Integration not found"})
        if claims["iat"] > now or not now < claims["exp"] <= now + LONGEST_PROOF_SECONDS:
            raise RefusedError(401, {"message": "'Expiration time' claim ('exp') is too far in the future"})
