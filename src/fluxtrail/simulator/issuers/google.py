"""Google's token endpoint, its security token service, impersonation, and a machine's metadata server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from fluxtrail.simulator.issuers.desk import Desk, RefusedError, Request, key_pair, read_proof

LIFE_SECONDS = 3599.0
FORM = "ya29.{}"
POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/cluster"
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"


@dataclass
class GoogleAccount:
    email: str = "fluxtrail@acme.iam.gserviceaccount.com"
    signer: str = "google account"
    subject: str = "system:serviceaccount:fluxtrail:fluxtrail"


class GoogleIssuer:
    SYSTEM = "google"
    MACHINE = "google machine"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.account = GoogleAccount()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        handler = self._desk.handler
        router.add_post("/google/token", handler(self.SYSTEM, self._token))
        router.add_post("/google/sts/v1/token", handler(self.SYSTEM, self._exchange))
        router.add_post(
            "/google/iam/v1/projects/-/serviceAccounts/{email}:generateAccessToken",
            handler(self.SYSTEM, self._impersonate),
        )
        router.add_get(_ACCOUNT + "/{what:token|email}", handler(self.MACHINE, self._machine))

    def credentials_file(self) -> dict[str, str]:
        """Return what the console gives for the account: its private key, and where to go with it."""
        return {
            "type": "service_account",
            "client_email": self.account.email,
            "private_key_id": "1",
            "private_key": key_pair(self.account.signer).private,
            "token_uri": f"{self._desk.url}/google/token",
        }

    def federation_file(self, proof_file: str, *, impersonates: bool) -> dict[str, Any]:
        """Return what says how a projected token becomes the account's."""
        file: dict[str, Any] = {
            "type": "external_account",
            "audience": POOL,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self._desk.url}/google/sts/v1/token",
            "credential_source": {"file": proof_file},
        }
        if impersonates:
            path = f"/google/iam/v1/projects/-/serviceAccounts/{self.account.email}:generateAccessToken"
            file["service_account_impersonation_url"] = self._desk.url + path
        return file

    def _token(self, request: Request) -> web.Response:
        now = self._desk.clock()
        try:
            claims = read_proof(
                request.form.get("assertion", ""),
                public=key_pair(self.account.signer).public,
                audience=f"{self._desk.url}/google/token",
                now=now,
            )
        except ValueError as exc:
            raise _refuse("invalid_grant", f"Invalid JWT: {exc}") from None
        if claims.get("iss") != self.account.email or claims["exp"] - claims["iat"] > 3600:
            raise _refuse("invalid_grant", "Invalid grant: account not found")
        if not claims.get("scope"):
            raise _refuse("invalid_scope", "Empty or missing scope not allowed.")
        return self._granted(self.account.email)

    def _exchange(self, request: Request) -> web.Response:
        form = request.form
        if form.get("audience") != POOL:
            raise _refuse("invalid_target", "The target service indicated by the audience parameters is invalid.")
        try:
            claims = read_proof(
                form.get("subject_token", ""),
                public=key_pair("cluster").public,
                audience=POOL,
                now=self._desk.clock(),
            )
        except ValueError as exc:
            raise _refuse("invalid_grant", f"The subject token is not accepted: {exc}") from None
        if claims.get("sub") != self.account.subject:
            raise _refuse("unauthorized_client", "The given credential is rejected by the attribute condition.")
        return self._granted(f"principal:{claims['sub']}")

    def _impersonate(self, request: Request) -> web.Response:
        shown = request.header("Authorization").removeprefix("Bearer ")
        if self._desk.find(shown, self.SYSTEM) is None or request.http.match_info["email"] != self.account.email:
            message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
            raise RefusedError(403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}})
        token = self._grant(self.account.email)
        ends = datetime.fromtimestamp(self._desk.clock() + LIFE_SECONDS, UTC)
        return web.json_response({"accessToken": token, "expireTime": ends.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def _machine(self, request: Request) -> web.Response:
        if request.header("Metadata-Flavor") != "Google":
            raise RefusedError(403, {"error": "Missing Metadata-Flavor:Google header."})
        if request.http.match_info["what"] == "email":
            return web.Response(text=self.account.email)
        return self._granted(self.account.email)

    def _grant(self, identity: str) -> str:
        return self._desk.grant(self.SYSTEM, identity, audience="google", life_seconds=LIFE_SECONDS, form=FORM)

    def _granted(self, identity: str) -> web.Response:
        token = self._grant(identity)
        return web.json_response({"access_token": token, "expires_in": int(LIFE_SECONDS), "token_type": "Bearer"})


def _refuse(code: str, said: str) -> RefusedError:
    return RefusedError(400, {"error": code, "error_description": said})
