"""GitLab's OAuth endpoint: a refresh token is good once, and its answer ends the access token before."""

from __future__ import annotations

import hmac

from aiohttp import web

from fluxtrail.simulator.issuers.desk import Desk, RefusedError, Request

LIFE_SECONDS = 7200.0


class GitLabIssuer:
    SYSTEM = "gitlab"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.client = "gitlab-application"
        self.secret = "gloas-application-secret"  # noqa: S105 - of the simulated world
        self.refresh = ""
        """The one that is good; empty: whichever comes first."""
        self._access = ""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/gitlab/oauth/token", self._desk.handler(self.SYSTEM, self._token))

    def sign_in(self) -> str:
        """Return the refresh token of somebody who signed in just now."""
        self.refresh = self._desk.grant("gitlab refresh", self.client, audience="gitlab", life_seconds=10**9)
        return self.refresh

    def _token(self, request: Request) -> web.Response:
        form = request.form
        if form.get("client_id") != self.client or not hmac.compare_digest(form.get("client_secret", ""), self.secret):
            raise _refuse("invalid_client", "Client authentication failed due to unknown client.", 401)
        if form.get("grant_type") != "refresh_token" or form.get("refresh_token") != self.refresh:
            raise _refuse("invalid_grant", "The provided authorization grant is invalid, expired, revoked", 400)
        self._desk.revoke(self._access)
        self._desk.revoke(self.refresh)
        self._access = self._desk.grant(self.SYSTEM, self.client, audience="gitlab", life_seconds=LIFE_SECONDS)
        answer = {
            "access_token": self._access, "token_type": "Bearer", "expires_in": int(LIFE_SECONDS),
            "refresh_token": self.sign_in(), "created_at": int(self._desk.clock()),
        }  # fmt: skip
        return web.json_response(answer)


def _refuse(code: str, said: str, status: int) -> RefusedError:
    return RefusedError(status, {"error": code, "error_description": said})
