"""A JSON API asked by a forge's client: one origin, bounded answers, limits, five attempts, our errors.

GitHub's client has gidgethub for this; the other forges' share this module. What reads is tried five times; what writes
once, because a write whose answer got lost may have been taken: `retryable` then says that nobody knows, and who wrote
reads back before writing again.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
import msgspec
import stamina
from yarl import URL

from fluxtrail.credentials.binding import Credential, CredentialSource, Kind
from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    ConflictError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.redaction import redact, redact_url
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.cache import AnswerCache, validators
from fluxtrail.remotes.waits import LimitBook, RetryWaits
from fluxtrail.remotes.writing import encode_body

T = TypeVar("T")

BODY_LIMIT_BYTES = 16 * 1024 * 1024
REQUEST_TIMEOUT_SECONDS = 30.0
CONCURRENT_REQUESTS = 8
REDIRECT_LIMIT = 3
ATTEMPTS = 5
LIMIT_ATTEMPTS = 3
PAGES_LIMIT = 20
REMEMBERED_LIMIT_BYTES = 8 * 1024 * 1024
_TAKEN = (200, 201)
_WRITTEN = (200, 201, 202, 204)
_REFUSED_UNSEEN = (None, 403, 429)
"""A limit said so (None: ours), before the forge looked at what was to be written: it may be sent again."""
_REDIRECTS = (301, 302, 307, 308)
_SIGN_IN = re.compile(r"/(_signin|users/sign_in|oauth2/authorize)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What the forges differ in."""

    name: str
    authorize: Callable[[Credential], Mapping[str, str]]
    """The headers that show a credential."""
    kinds: tuple[Kind, ...] = ("token", "basic")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def read(self, type_: type[T], *, name: str) -> T:
        """Return the body as `type_`.

        Raises:
            WireError: it is no JSON, or of another shape.
        """
        try:
            return msgspec.json.decode(self.body, type=type_)
        except msgspec.ValidationError as exc:
            raise WireError(f"{name}'s answer has another shape: {redact(str(exc))}", subject=name) from exc
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise WireError(f"{name}'s answer is not the JSON it promised", subject=name) from exc


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    body: bytes | None = None
    is_write: bool = False
    is_conditional: bool = False


def basic(login: str, secret: str) -> dict[str, str]:
    """Return the header that shows a password, or a token in its place, with its login (RFC 7617)."""
    pair = base64.b64encode(f"{login}:{secret}".encode()).decode("ascii")
    return {"Authorization": f"Basic {pair}"}


class RestClient:
    """Asks one API, each time with the credential of the owner. Safe for concurrent callers; they share limits.

    Args:
        session: made by the caller, closed by the caller; it must keep no cookies.
        api_url: what paths are appended to; nothing else is ever asked.
        host: the host of the repositories, for which credentials are bound; it may name a port.
        longest_wait_seconds: a rate limit that ends within it is waited for, a longer one raises at once.
        clock: POSIX seconds.
        allowances: told what the answers say is left.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        service: Service,
        *,
        api_url: str,
        host: str,
        credentials: CredentialSource,
        longest_wait_seconds: float = 5.0,
        retry_waits: RetryWaits | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        allowances: AllowanceBook | None = None,
    ) -> None:
        if not re.match(r"https?://[^/@?#\s]+(/[^@?#\s]*)?$", api_url):
            raise ConfigError(f"not an API address of a {service.name}, such as https://host/path", subject="api_url")
        self.service, self.api_url = service, api_url.rstrip("/")
        self._origin = _origin(api_url)
        self.host, _, port = host.lower().partition(":")
        self._port = int(port) if port.isdigit() else None
        self._session, self._credentials = session, credentials
        self._longest_wait_seconds = longest_wait_seconds
        self._waits = retry_waits or RetryWaits()
        self._sleep = sleep
        self._limits = LimitBook(clock, name=service.name)
        self._allowances = allowances
        self._remembered = AnswerCache(clock, total_limit_bytes=REMEMBERED_LIMIT_BYTES)
        self._slots = asyncio.Semaphore(CONCURRENT_REQUESTS)

    async def get(self, path: str, *, owner: str, **query: str | int) -> Answer:
        return await self._retrying(owner, _Request("GET", self._url(path, query)))

    async def read_back(self, path: str, *, owner: str, **query: str | int) -> Answer:
        """Get what may not have changed since it was got last: then the forge only says so, and sends nothing."""
        return await self._retrying(owner, _Request("GET", self._url(path, query), is_conditional=True))

    async def post(self, path: str, body: Any, *, owner: str, **query: str | int) -> Answer:
        """Ask a question that is too large for a URL: it must be safe to ask five times."""
        return await self._retrying(owner, _Request("POST", self._url(path, query), msgspec.json.encode(body)))

    async def write(self, method: str, path: str, body: Any | None = None, *, owner: str, **query: str | int) -> Answer:
        """Send what changes something, once, and return the answer of a 200, 201, 202 or 204; its body may be empty.

        A refused token is renewed and a short limit waited for: there the forge took nothing.

        Args:
            body: written as JSON; None sends none.

        Raises:
            UpstreamError: `retryable` says that it may have been taken: a 5xx, or no answer. Its kin as for `get`;
            a RateLimitedError with the status 503 too may come from before or after it was taken.
            WireError: `body` cannot be sent; nothing was.
        """
        content = None if body is None else encode_body(body)
        request = _Request(method, self._url(path, query), content, is_write=True)
        try:
            return await self._patiently(owner, request)
        except WireError as exc:
            raise UpstreamError(f"it may have been taken, but {exc.message}", subject=exc.subject) from exc

    def budget_key(self, owner: str) -> str:
        """Return whose allowance the owner's calls use up: `gitlab.com/acme`, never made of a secret."""
        return self._credentials.allowance_of(self.host, owner, port=self._port)

    # -- inside ----------------------------------------------------------------------------------------------

    def _url(self, path: str, query: Mapping[str, str | int]) -> str:
        return f"{self.api_url}{path}" + (f"?{urlencode(query)}" if query else "")

    async def _retrying(self, owner: str, request: _Request) -> Answer:
        async for attempt in stamina.retry_context(
            on=_is_transient,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=self._waits.initial_seconds,
            wait_max=self._waits.longest_seconds,
            wait_jitter=self._waits.jitter_seconds,
        ):
            with attempt:
                return await self._patiently(owner, request)
        raise AssertionError("unreachable")

    async def _patiently(self, owner: str, request: _Request) -> Answer:
        """Ask, waiting for rate limits that end soon; one 401 is answered with another credential, if there is one."""
        kinds = self.service.kinds
        credential = await self._credentials.obtain(self.host, owner, port=self._port, kinds=kinds)
        is_renewed = False
        limited = 0
        whose = self.budget_key(owner) if credential else self.host
        while True:
            try:
                return await self._exchange(request, credential, whose)
            except RateLimitedError as exc:
                limited += 1
                is_long = (exc.retry_after_seconds or 0) > self._longest_wait_seconds
                if is_long or limited == LIMIT_ATTEMPTS or (request.is_write and exc.status not in _REFUSED_UNSEEN):
                    raise
            except AuthError as exc:
                if exc.status != 401 or is_renewed or credential is None:
                    raise
                other = await self._credentials.renew(credential, self.host, owner, port=self._port, kinds=kinds)
                if other is None:
                    raise
                credential, is_renewed = other, True

    async def _exchange(self, request: _Request, credential: Credential | None, whose: str) -> Answer:
        shown = dict(self.service.authorize(credential)) if credential else {}
        key = "|".join(shown.values())
        await self._await_limit(key)
        headers = {"Accept": "application/json", "User-Agent": "fluxtrail", **shown}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        entry = (request.url, headers["Accept"], key)
        known = self._remembered.find(entry) if request.is_conditional else None
        if known is not None:
            headers |= validators(known)
        async with self._slots:
            answer = await self._follow(request.method, request.url, headers, request.body)
        self._learn(key, whose, answer)
        if answer.status == 304 and known is not None:
            return Answer(200, known.headers, known.body)
        if answer.status not in (_WRITTEN if request.is_write else _TAKEN):
            secrets = (*self._credentials.secrets, *(text.rpartition(" ")[2] for text in shown.values()))
            raise self._translate(answer, request.url, secrets)
        if request.is_conditional:
            self._remembered.store(entry, answer.headers, answer.body)
        return answer

    def _learn(self, key: str, whose: str, answer: Answer) -> None:
        if self._allowances is not None:
            self._allowances.learn(whose, answer.headers)
        try:
            self._limits.learn(key, answer.status, answer.headers)
        except RateLimitedError:
            if self._allowances is not None:
                self._allowances.note_limited(whose)
            raise

    async def _await_limit(self, key: str) -> None:
        wait = self._limits.wait_seconds(key)
        if wait > self._longest_wait_seconds:
            raise self._limits.refusal(wait)
        if wait > 0:
            await self._sleep(wait)

    async def _follow(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Follow redirects (a renamed project) as long as they stay on the API's own origin, with our token."""
        for _ in range(REDIRECT_LIMIT + 1):
            answer = await self._send(method, url, headers, body)
            place = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not place:
                return answer
            if _SIGN_IN.search(place):
                raise self._sign_in(url)
            following = urljoin(url, place)
            if _origin(following) != self._origin:
                name = self.service.name
                raise UpstreamError(f"{name} redirects to another host", retryable=False, subject=redact_url(url))
            url = following
        raise UpstreamError(f"{self.service.name} redirects in a circle", retryable=False, subject=redact_url(url))

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        subject, name = redact_url(url), self.service.name
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        try:
            # `encoded`: a project's path is one segment, `group%2Fproject`, and must stay one.
            target = URL(url, encoded=True)
            async with self._session.request(
                method, target, headers=headers, data=body, allow_redirects=False, timeout=timeout
            ) as response:
                content = await _read(response, subject)
                return Answer(response.status, {k.lower(): text for k, text in response.headers.items()}, content)
        except aiohttp.ClientConnectorCertificateError as exc:
            raise UpstreamError("its certificate is not trusted", retryable=False, subject=subject) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            said = redact(str(exc), secrets=self._credentials.secrets) or type(exc).__name__
            raise UpstreamError(f"{name} does not answer: {said}", subject=subject) from exc
        except ValueError as exc:
            raise UpstreamError("not a URL that can be asked", retryable=False, subject=subject) from exc

    def _sign_in(self, url: str) -> AuthError:
        return AuthError(
            f"{self.service.name} answers with its sign-in page, check `credentials` for {self.host}: the token is "
            "missing, wrong or expired",
            status=401,
            subject=redact_url(url),
        )

    def _translate(self, answer: Answer, url: str, secrets: tuple[str, ...]) -> UpstreamError:
        status, name, subject = answer.status, self.service.name, redact_url(url)
        if status == 203:  # Azure DevOps: a page for people, and no error status
            return self._sign_in(url)
        said = redact(_message(answer.body), secrets=secrets, limit_bytes=300) or "no message"
        if status in (401, 403):
            what = f"refused, check `credentials` for {self.host}: the token is missing, wrong, expired or too weak"
            return AuthError(f"{what}: {said}", status=status, subject=subject)
        if status in (404, 410, 451):
            what = "not found: it does not exist, or is private and hidden from these credentials"
            return NotFoundError(f"{what}: {said}", status=status, subject=subject)
        if status in (409, 422):
            return ConflictError(f"{name} cannot do this now: {said}", status=status, subject=subject)
        is_retryable = status >= 500 or status == 408
        return UpstreamError(
            f"{name} answered {status}: {said}", status=status, retryable=is_retryable, subject=subject
        )


class _ErrorBody(msgspec.Struct):
    message: Any = None
    error: Any = None
    error_description: Any = None
    errors: Any = None


def _message(body: bytes) -> str:
    """Return what the answer says.

    GitLab's message may be a mapping, Azure DevOps' begins with a code (TF…); Bitbucket's is in `error.message`, its
    Server's in `errors[].message`.
    """
    try:
        said = msgspec.json.decode(body[: 64 * 1024], type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:300].decode("utf-8", "replace")
    found = said.message or said.error_description or _inner(said.error) or _inner(said.errors)
    return str(found or "")


def _inner(value: Any) -> Any:
    """Return the message in an error, or the messages in several."""
    items = value[:10] if isinstance(value, list) else [value]
    said = [item.get("message") or item if isinstance(item, dict) else item for item in items]
    return "; ".join(str(item) for item in said if item)


async def _read(response: aiohttp.ClientResponse, subject: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > BODY_LIMIT_BYTES:
            raise WireError(f"the answer is larger than the limit of {BODY_LIMIT_BYTES} bytes", subject=subject)
    return bytes(content)


def _is_transient(exc: Exception) -> bool:
    return isinstance(exc, UpstreamError) and exc.retryable and not isinstance(exc, RateLimitedError)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return "", "", None
