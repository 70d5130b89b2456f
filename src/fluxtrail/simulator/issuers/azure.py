"""Entra ID's token endpoint, a machine's metadata service, and the exchange of a container registry."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from fluxtrail.simulator.issuers.desk import Desk, RefusedError, Request, key_pair, read_proof

AUDIENCE = "api://AzureADTokenExchange"
DEVOPS = "499b84ac-1321-427f-aa17-267ca6975798"
RESOURCES = (DEVOPS, "https://management.azure.com")
LIFE_SECONDS = 3599.0
"""Between an hour and a day in the real one; a minute's difference keeps clients from believing in a number."""
MACHINE_LIFE_SECONDS = 86_399.0
FORM = "eyJhbGciOiJub25lIn0.{}.c2lnbmF0dXJl"


@dataclass
class AzureApplication:
    tenant: str = "11111111-2222-3333-4444-555555555555"
    client: str = "66666666-7777-8888-9999-000000000000"
    secrets: list[str] = field(default_factory=list)
    subject: str = "system:serviceaccount:fluxtrail:fluxtrail"
    """Of the federated credential."""


class AzureIssuer:
    SYSTEM = "azure"
    MACHINE = "azure machine"
    REGISTRY = "acr"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.application = AzureApplication()
        self.resources = list(RESOURCES)
        """What tokens are issued for: a tenant that never used Azure DevOps does not know it."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/azure/{tenant}/oauth2/v2.0/token", self._desk.handler(self.SYSTEM, self._token))
        router.add_get("/metadata/identity/oauth2/token", self._desk.handler(self.MACHINE, self._machine))
        router.add_post("/acr/oauth2/exchange", self._desk.handler(self.REGISTRY, self._exchange))

    def _token(self, request: Request) -> web.Response:
        form, application = request.form, self.application
        if request.http.match_info["tenant"] != application.tenant:
            raise _refuse("invalid_request", "AADSTS90002: Tenant not found")
        if form.get("grant_type") != "client_credentials" or form.get("client_id") != application.client:
            raise _refuse("unauthorized_client", "AADSTS700016: the application was not found in the directory")
        resource = form.get("scope", "").removesuffix("/.default")
        if resource not in self.resources:
            raise _refuse("invalid_resource", f"AADSTS500011: the resource principal {resource} was not found")
        self._check(form)
        token = self._desk.grant(
            self.SYSTEM, application.client, audience=resource, life_seconds=LIFE_SECONDS, form=FORM
        )
        return web.json_response({"token_type": "Bearer", "expires_in": int(LIFE_SECONDS), "access_token": token})

    def _check(self, form: dict[str, str]) -> None:
        secret = form.get("client_secret", "")
        if secret:
            if not any(hmac.compare_digest(secret, known) for known in self.application.secrets):
                raise _refuse("invalid_client", "AADSTS7000215: Invalid client secret provided", 401)
            return
        try:
            claims = read_proof(
                form.get("client_assertion", ""),
                public=key_pair("cluster").public,
                audience=AUDIENCE,
                now=self._desk.clock(),
            )
        except ValueError as exc:
            raise _refuse("invalid_client", f"AADSTS700212: {exc}", 401) from None
        if claims.get("sub") != self.application.subject:
            raise _refuse("invalid_client", "AADSTS700213: no matching federated identity record found", 401)

    def _machine(self, request: Request) -> web.Response:
        if request.header("Metadata") != "true":
            raise _refuse("invalid_request", "Required metadata header not specified")
        resource = request.http.query.get("resource", "")
        if resource not in self.resources:
            raise _refuse("invalid_resource", f"AADSTS500011: the resource principal {resource} was not found")
        client = request.http.query.get("client_id", "") or self.application.client
        if client != self.application.client:
            raise _refuse("invalid_request", "Identity not found")
        life = MACHINE_LIFE_SECONDS
        token = self._desk.grant(self.SYSTEM, client, audience=resource, life_seconds=life, form=FORM)
        ends = str(int(self._desk.clock() + life))
        return web.json_response({"access_token": token, "expires_on": ends, "resource": resource})

    def _exchange(self, request: Request) -> web.Response:
        token = request.form.get("access_token", "")
        if self._desk.find(token, self.SYSTEM, audience="https://management.azure.com") is None:
            error = {"code": "UNAUTHORIZED", "message": "authentication required"}
            raise RefusedError(401, {"errors": [error]})
        service = request.form.get("service", "")
        refresh = self._desk.grant(self.REGISTRY, service, audience=service, life_seconds=3 * 3600.0, form=FORM)
        return web.json_response({"refresh_token": refresh})


def _refuse(code: str, said: str, status: int = 400) -> RefusedError:
    body: dict[str, Any] = {"error": code, "error_description": said}
    return RefusedError(status, body)
