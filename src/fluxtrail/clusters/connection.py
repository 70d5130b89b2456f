"""One API server: requests, streams, and every failure in our own words."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import structlog

from fluxtrail.clusters.answers import UNREADABLE, Status, parse_retry_after, parse_status, refusal
from fluxtrail.clusters.authentication import Credential, credentials_for
from fluxtrail.clusters.clock import Clock, SystemClock
from fluxtrail.clusters.deep import decode_deep
from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.incluster import SERVICE_ACCOUNT_FOLDER, in_cluster_endpoint, is_in_cluster
from fluxtrail.clusters.kubeconfig import load_kubeconfig
from fluxtrail.clusters.proxies import proxy_from_environment
from fluxtrail.clusters.tls import TlsContexts
from fluxtrail.clusters.transport import ByteStream, build_session, read_bounded, translated
from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.observation import ClusterUid

REQUEST_SECONDS = 60.0
HEADERS_SECONDS = 60.0
BODY_LIMIT_BYTES = 64 * 1024 * 1024
_REFUSAL_LIMIT_BYTES = 64 * 1024

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class ClusterIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What a cluster is. `is_derived`: its kube-system namespace may not be read, so `uid` is a substitute."""

    uid: ClusterUid
    is_derived: bool


class ServerVersion(msgspec.Struct, frozen=True, rename="camel"):
    git_version: str = "unknown"
    platform: str = "unknown"


class _Meta(msgspec.Struct):
    uid: str | None = None


class _Namespace(msgspec.Struct):
    metadata: _Meta | None = None


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    params: Mapping[str, str] = {}
    method: str = "GET"
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = ""


class Connection:
    """Talks to one API server. Safe for concurrent use; used as `async with`, or closed with `close`.

    The session is made at the first request, so a connection may be built where no event loop runs yet.
    """

    def __init__(self, endpoint: Endpoint, *, clock: Clock | None = None, environ: Mapping[str, str] | None = None):
        self.name = endpoint.name
        self.namespace = endpoint.namespace
        """The context's (or pod's) own namespace."""
        self.server = endpoint.server
        self._endpoint = endpoint
        self._clock = clock or SystemClock()
        self._credentials = credentials_for(endpoint, self._clock)
        self._tls = TlsContexts(endpoint, self._clock) if endpoint.server.startswith("https:") else None
        self._proxy = endpoint.proxy_url or proxy_from_environment(endpoint.server, environ or {})
        self._session: aiohttp.ClientSession | None = None
        self._identity: ClusterIdentity | None = None

    def __repr__(self) -> str:
        return f"Connection(name={self.name!r}, server={self.server!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every connection, streams too. Closing twice is closing once."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(
        self,
        path: str,
        shape: type[T],
        params: Mapping[str, str] | None = None,
        *,
        accept: str = "",
        limit_bytes: int = BODY_LIMIT_BYTES,
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> T:
        """Return the body at `path` decoded as `shape`.

        Args:
            accept: the header that asks for another form than plain JSON.

        Raises:
            UpstreamError: and its subclasses, see `answers`.
            OversizedError: the body is longer than `limit_bytes`.
            WireError: the body has not the shape.
        """
        request = _Request(path=path, params=params or {}, accept=accept)
        body = await self._get_bytes(request, limit_bytes=limit_bytes, timeout_seconds=timeout_seconds)
        return self._decode(path, body, shape)

    async def create(self, path: str, body: Any, shape: type[T], *, timeout_seconds: float = REQUEST_SECONDS) -> T:
        """Make the object `body` in the collection at `path`; return what the server stored, decoded as `shape`.

        Raises:
            ConflictError: there is one of that name.
            UpstreamError: and its subclasses. It may have been stored all the same where no answer came.
        """
        return await self._write("POST", path, body, shape, timeout_seconds)

    async def replace(self, path: str, body: Any, shape: type[T], *, timeout_seconds: float = REQUEST_SECONDS) -> T:
        """Put `body` in the place of the object at `path`; return what the server stored, decoded as `shape`.

        Raises:
            ConflictError: the object is no longer at the resourceVersion in `body`.
            UpstreamError: and its subclasses. It may have been stored all the same where no answer came.
        """
        return await self._write("PUT", path, body, shape, timeout_seconds)

    async def patch(
        self,
        path: str,
        body: Any,
        shape: type[T],
        params: Mapping[str, str] | None = None,
        *,
        content_type: str,
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> T:
        """Send a patch of the object at `path`; return what the server made of it, decoded as `shape`.

        Args:
            content_type: what kind of patch it is.

        Raises:
            ConflictError: the object's present state forbids it; `FieldConflictError` of a server-side apply.
            UpstreamError: and its subclasses. It may have been stored all the same where no answer came.
        """
        return await self._write("PATCH", path, body, shape, timeout_seconds, params=params, content_type=content_type)

    async def delete(
        self,
        path: str,
        options: Any,
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Delete the object at `path`, with `options` as the API's DeleteOptions.

        Raises:
            ConflictError: a precondition does not hold.
            UpstreamError: and its subclasses.
        """
        await self._write("DELETE", path, options, msgspec.Raw, timeout_seconds, params=params)

    async def _write(
        self,
        method: str,
        path: str,
        body: Any,
        shape: type[T],
        timeout_seconds: float,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> T:
        request = _Request(
            path=path, method=method, params=params or {}, body=msgspec.json.encode(body), content_type=content_type
        )
        answer = await self._get_bytes(request, limit_bytes=BODY_LIMIT_BYTES, timeout_seconds=timeout_seconds)
        return self._decode(path, answer, shape)

    def _decode(self, path: str, body: bytes, shape: type[T]) -> T:
        try:
            return decode_deep(msgspec.json.Decoder(shape), body)
        except UNREADABLE as error:
            raise WireError(f"unexpected answer: {error}", subject=self._subject(path)) from error

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str] | None = None, *, accept: str = ""
    ) -> AsyncIterator[ByteStream]:
        """Open an answer that goes on, and close its connection at the end.

        Raises:
            UpstreamError: and its subclasses, while opening and from the stream's reads.
        """
        subject = self._subject(path)
        try:
            async with asyncio.timeout(HEADERS_SECONDS):
                response = await self._open(_Request(path=path, params=params or {}, accept=accept))
        except TimeoutError as error:
            raise UpstreamError(f"no answer within {HEADERS_SECONDS:g} s", subject=subject) from error
        try:
            yield ByteStream(response, subject=subject)
        finally:
            response.close()

    async def identity(self) -> ClusterIdentity:
        """Return who this cluster is: the uid of its kube-system namespace.

        Where that may not be read, a substitute derived from the server's URL and its CA: the same at every start as
        long as those two are; a cluster reached by another address counts as another one. Asked once, then kept.

        Raises:
            UpstreamError: the server gave no answer at all.
        """
        if self._identity is not None:
            return self._identity
        try:
            namespace = await self.get("/api/v1/namespaces/kube-system", _Namespace)
            uid = namespace.metadata.uid if namespace.metadata else None
        except (AuthError, NotFoundError) as error:
            if error.status == 401:
                raise
            uid = None
        if uid:
            self._identity = ClusterIdentity(uid=ClusterUid(uid), is_derived=False)
        else:
            self._identity = ClusterIdentity(uid=self._derived_uid(), is_derived=True)
            remedy = "allow get on the namespace kube-system to identify the cluster by its uid"
            _log.warning("cluster_uid_derived", cluster=self.name, uid=self._identity.uid, remedy=remedy)
        return self._identity

    async def cluster_uid(self) -> ClusterUid:
        """Return `identity().uid`."""
        return (await self.identity()).uid

    async def server_version(self) -> ServerVersion:
        return await self.get("/version", ServerVersion)

    def _derived_uid(self) -> ClusterUid:
        authority = self._endpoint.authority.load() if self._endpoint.authority is not None else b""
        digest = hashlib.sha256(self.server.encode() + b"\n" + authority).hexdigest()
        return ClusterUid(f"derived-{digest[:32]}")

    async def _get_bytes(self, request: _Request, *, limit_bytes: int, timeout_seconds: float) -> bytes:
        subject = self._subject(request.path)
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._open(request)
                async with response, translated(subject):
                    return await read_bounded(response, limit_bytes, subject=subject)
        except TimeoutError as error:
            raise UpstreamError(f"no whole answer within {timeout_seconds:g} s", subject=subject) from error

    async def _open(self, request: _Request) -> aiohttp.ClientResponse:
        """Send the request, a second time with renewed credentials where the first were refused."""
        credential = await self._credentials.current()
        response = await self._send(request, credential)
        if response.status == 401 and await self._is_renewed(response, credential):
            response = await self._send(request, await self._credentials.current())
        if response.status in (200, 201):
            return response
        raise await self._refusal(response, request.path)

    async def _is_renewed(self, response: aiohttp.ClientResponse, rejected: Credential) -> bool:
        try:
            is_renewed = await self._credentials.refresh(rejected)
        except BaseException:
            response.close()
            raise
        if is_renewed:
            response.close()
        return is_renewed

    async def _send(self, request: _Request, credential: Credential) -> aiohttp.ClientResponse:
        headers = {"Content-Type": request.content_type} if request.body is not None else {}
        if request.accept:
            headers["Accept"] = request.accept
        if credential.authorization is not None:
            headers["Authorization"] = credential.authorization.reveal()
        async with translated(self._subject(request.path)):
            return await self._open_session().request(
                request.method,
                self.server + request.path,
                params=dict(request.params),
                data=request.body,
                headers=headers,
                allow_redirects=False,
                ssl=self._tls.context(credential.certificate) if self._tls is not None else True,
                server_hostname=self._endpoint.tls_server_name if self._tls is not None else None,
                proxy=self._proxy,
            )

    async def _refusal(self, response: aiohttp.ClientResponse, path: str) -> UpstreamError:
        subject = self._subject(path)
        async with response:
            status = Status()
            try:
                async with translated(subject):
                    status = parse_status(await response.content.read(_REFUSAL_LIMIT_BYTES))
            except UpstreamError:
                _log.debug("refusal_unreadable", subject=subject, status=response.status)
            wait = parse_retry_after(response.headers.get("Retry-After"), now=self._clock.now())
            return refusal(response.status, status, subject=subject, retry_after_seconds=wait)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = build_session()
        return self._session

    def _subject(self, path: str) -> str:
        return f"{self.name} {path}"


def open_connection(
    context: str | None,
    environ: Mapping[str, str],
    *,
    clock: Clock | None = None,
    service_account_folder: Path = SERVICE_ACCOUNT_FOLDER,
) -> Connection:
    """Return a connection to the cluster meant by `context`, not yet used.

    A named context comes from the kubeconfig; without one the pod's own cluster is taken, and outside of a pod the
    kubeconfig's current context.

    Args:
        environ: read for KUBECONFIG, HOME, KUBERNETES_SERVICE_HOST and _PORT, and the proxy variables.

    Raises:
        ConfigError: no such context, no kubeconfig, a broken one; the message says what to change.
    """
    if not context and is_in_cluster(environ, folder=service_account_folder):
        endpoint = in_cluster_endpoint(environ, folder=service_account_folder)
    else:
        endpoint = load_kubeconfig(environ).endpoint(context or None)
    return Connection(endpoint, clock=clock, environ=environ)
