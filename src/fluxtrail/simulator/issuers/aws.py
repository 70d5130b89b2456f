"""AWS: the security token service (keys for a service account's role), ECR's logins, and CodeCommit's door."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from aiohttp import web

from fluxtrail.simulator.issuers.desk import Desk, RefusedError, Request, key_pair, read_proof
from fluxtrail.simulator.issuers.signatures import check_git, check_request

AUDIENCE = "sts.amazonaws.com"
LIFE_SECONDS = 3600.0
REGISTRY_LIFE_SECONDS = 12 * 3600.0


@dataclass
class AwsRole:
    arn: str = "arn:aws:iam::123456789012:role/fluxtrail"
    subject: str = "system:serviceaccount:fluxtrail:fluxtrail"


class AwsIssuer:
    SYSTEM = "aws"
    REGISTRY = "ecr"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.role = AwsRole()
        self._secrets: dict[str, tuple[str, str]] = {}
        """Id of a key → its secret, its session token."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/aws/sts/", self._desk.handler(self.SYSTEM, self._assume))
        router.add_post("/aws/ecr/", self._desk.handler(self.REGISTRY, self._registry))

    def add_keys(self, key: str, secret: str) -> None:
        """Let keys of a user be good: they have no session."""
        self._secrets[key] = (secret, "")

    def check_git(self, user: str, password: str, *, host: str, path: str, region: str) -> str:
        """Return why CodeCommit refuses a login, or an empty text."""
        key, _, session = user.partition("%")
        secret = self._secret(key, session)
        if not secret:
            return "the key is not known, or has ended"
        return check_git(password, secret=secret, host=host, path=path, region=region, now=self._desk.clock())

    def _assume(self, request: Request) -> web.Response:
        form = request.form
        if form.get("Action") != "AssumeRoleWithWebIdentity" or form.get("Version") != "2011-06-15":
            raise _refuse("InvalidAction", "could not find operation")
        if form.get("RoleArn") != self.role.arn or not form.get("RoleSessionName"):
            raise _refuse("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        now = self._desk.clock()
        try:
            claims = read_proof(
                form.get("WebIdentityToken", ""), public=key_pair("cluster").public, audience=AUDIENCE, now=now
            )
        except ValueError as exc:
            raise _refuse("InvalidIdentityToken", str(exc)) from None
        if claims.get("sub") != self.role.subject:
            raise _refuse("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        key = f"ASIA{len(self._secrets):016}"
        secret = f"secret-of-{key}-{'s' * 12}"
        session = self._desk.grant(self.SYSTEM, key, audience="aws", life_seconds=LIFE_SECONDS, form="session/{}==")
        self._secrets[key] = (secret, session)
        made = {
            "AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": session, "Expiration": now + LIFE_SECONDS,
        }  # fmt: skip
        result = {"Credentials": made, "Audience": AUDIENCE, "Provider": claims["iss"]}
        answer = {"AssumeRoleWithWebIdentityResult": result, "ResponseMetadata": {"RequestId": "1"}}
        return web.json_response({"AssumeRoleWithWebIdentityResponse": answer})

    def _registry(self, request: Request) -> web.Response:
        headers = {name.lower(): text for name, text in request.http.headers.items()}
        session = headers.get("x-amz-security-token", "")
        why = check_request(
            headers,
            request.raw,
            path=request.http.path,
            find_secret=lambda key: self._secret(key, session),
            service="ecr",
            now=self._desk.clock(),
        )
        if why:
            raise RefusedError(400, {"__type": "com.amazon#InvalidSignatureException", "message": why})
        life = REGISTRY_LIFE_SECONDS
        password = self._desk.grant(self.REGISTRY, "AWS", audience="ecr", life_seconds=life)
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        entry = {"authorizationToken": token, "expiresAt": self._desk.clock() + life, "proxyEndpoint": "https://ecr"}
        return web.json_response({"authorizationData": [entry]})

    def _secret(self, key: str, session: str) -> str:
        secret, known = self._secrets.get(key, ("", ""))
        if known and (session != known or self._desk.find(session, self.SYSTEM) is None):
            return ""
        return secret


def _refuse(code: str, said: str, status: int = 400) -> RefusedError:
    return RefusedError(status, {"Error": {"Code": code, "Message": said, "Type": "Sender"}, "RequestId": "1"})
