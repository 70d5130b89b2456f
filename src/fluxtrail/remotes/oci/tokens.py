"""What a registry accepts as proof: tokens of its own token service, Basic, or nothing.

Source: distribution's specifications "token" and "oauth2".
"""

import asyncio
import base64
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from fluxtrail.credentials.dockerconfig import RegistryLogin
from fluxtrail.credentials.registries import RegistryCredentials
from fluxtrail.model.errors import AuthError, NotFoundError, WireError
from fluxtrail.model.redaction import redact_url
from fluxtrail.remotes.oci.challenges import Challenge, check_realm, parse_challenges
from fluxtrail.remotes.oci.endpoint import Endpoint
from fluxtrail.remotes.oci.failures import translate
from fluxtrail.remotes.oci.wire import Answer, Wire

TOKEN_LIMIT_BYTES = 256 * 1024
DEFAULT_LIFE_SECONDS = 60.0  # what the specification says where the answer does not
LONGEST_LIFE_SECONDS = 3600.0
EXPIRY_MARGIN_SECONDS = 10.0
BASIC_LIFE_SECONDS = 300.0
REMEMBERED_REPOSITORIES = 512
CLIENT_ID = "fluxtrail"
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


class _TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None

    def __repr__(self) -> str:
        return "_TokenAnswer([redacted])"


class _Held(msgspec.Struct, frozen=True):
    authorization: str
    secret: str
    expires_at: float

    def __repr__(self) -> str:
        return "_Held([redacted])"


class Authenticator:
    """Holds one `Authorization` a repository, and renews it. Safe for concurrent callers.

    Args:
        realms: registry → host of its token service, beside those that are known.
        clock: POSIX seconds.
        may_log_in: whether a login may be shown; else only what anybody gets is asked for.
    """

    def __init__(
        self,
        registry: Endpoint,
        wire: Wire,
        credentials: RegistryCredentials,
        *,
        realms: Mapping[str, str],
        clock: Callable[[], float],
        may_log_in: bool = True,
    ) -> None:
        self._may_log_in = may_log_in
        self._registry, self._wire, self._credentials = registry, wire, credentials
        self._realms = realms
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._lock = asyncio.Lock()

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(held.secret for held in self._held.values())

    def find(self, repository: str) -> str | None:
        """Return what was accepted for the repository and has not expired, or None."""
        held = self._held.get(repository)
        if held is None or self._clock() >= held.expires_at:
            return None
        self._held.move_to_end(repository)
        return held.authorization

    async def meet(self, repository: str, headers: Sequence[str], *, refused: str | None) -> str:
        """Return what to show after a 401 whose `WWW-Authenticate` headers are given.

        Args:
            refused: what was shown and not accepted, or None.

        Raises:
            AuthError: nothing fitting is known, the token service refuses, or it is not the registry's own.
            UpstreamError and kin, WireError: the token service fails.
        """
        async with self._lock:
            current = self.find(repository)
            if current is not None and current != refused:
                return current  # somebody else renewed it meanwhile
            self._held.pop(repository, None)
            if refused is not None:
                self._credentials.forget(self._registry.name)
            try:
                held = await self._obtain(repository, parse_challenges(headers))
            except AuthError:
                self._credentials.forget(self._registry.name)
                raise
            self._held[repository] = held
            while len(self._held) > REMEMBERED_REPOSITORIES:
                self._held.popitem(last=False)
            return held.authorization

    async def _obtain(self, repository: str, challenges: Sequence[Challenge]) -> _Held:
        registry = self._registry
        login = None
        if self._may_log_in:
            login = await self._credentials.find(registry.name, repository, host=registry.host, port=registry.port)
        by_scheme = {challenge.scheme: challenge for challenge in reversed(challenges)}
        if "bearer" in by_scheme:
            if login is not None and login.registry_token:
                return self._bearer(login.registry_token, BASIC_LIFE_SECONDS)
            return await self._fetch_token(repository, by_scheme["bearer"], login)
        if "basic" in by_scheme:
            if login is None or not login.password:
                raise self._refuse("it wants a user and a password, and none is known for it")
            authorization = _basic(login)
            return _Held(authorization, authorization.partition(" ")[2], self._clock() + BASIC_LIFE_SECONDS)
        raise self._refuse("it answers 401 and names no way to log in that is known here (Bearer, Basic)")

    async def _fetch_token(self, repository: str, challenge: Challenge, login: RegistryLogin | None) -> _Held:
        realm = check_realm(challenge.parameters.get("realm", ""), self._registry, realms=self._realms)
        # The scope is our own: a registry cannot talk us into asking for more than reading one repository.
        asked = {"service": challenge.parameters.get("service", ""), "scope": f"repository:{repository}:pull"}
        asked = {name: text for name, text in asked.items() if text}
        form: dict[str, str] | None = None
        authorization: str | None = None
        url = realm
        if login is not None and login.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": CLIENT_ID}
            form |= asked
        else:
            parts = urlsplit(realm)
            query = urlencode([*parse_qsl(parts.query), *asked.items()])
            url = urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))
            authorization = _basic(login) if login is not None else None
        answer = await self._wire.exchange(url, authorization=authorization, form=form, limit_bytes=TOKEN_LIMIT_BYTES)
        return self._read_token(answer, realm)

    def _read_token(self, answer: Answer, realm: str) -> _Held:
        subject = redact_url(realm)
        if answer.status >= 300:
            secrets = (*self._credentials.secrets, *self.secrets)
            error = translate(
                answer.status, answer.headers, answer.body, subject=subject, secrets=secrets, now=self._clock()
            )
            if isinstance(error, NotFoundError):
                raise AuthError(f"the token service is not there: {error.message}", subject=subject) from error
            raise error
        try:
            wire = msgspec.json.decode(answer.body, type=_TokenAnswer, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The decoder's message may quote the answer, and the answer is a secret.
            raise WireError("the token service's answer is not the JSON it promised", subject=subject) from None
        token = wire.token or wire.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise WireError("the token service's answer holds no token", subject=subject)
        return self._bearer(token, wire.expires_in or DEFAULT_LIFE_SECONDS)

    def _bearer(self, token: str, life_seconds: float) -> _Held:
        life = min(life_seconds, LONGEST_LIFE_SECONDS) if life_seconds > 0 else DEFAULT_LIFE_SECONDS
        # A token of a few seconds is good for the request at hand; half of them is margin enough.
        margin = min(EXPIRY_MARGIN_SECONDS, life / 2)
        return _Held(f"Bearer {token}", token, self._clock() + life - margin)

    def _refuse(self, why: str) -> AuthError:
        return AuthError(
            f"the registry refuses: {why}. Add it to `credentials` or to docker's config.json",
            status=401,
            subject=self._registry.name,
        )


def _basic(login: RegistryLogin) -> str:
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode("ascii")
