"""What Fluxtrail asks GitHub (or Enterprise Server): commits, their pull requests, files.

What it tells GitHub is in `statuses.py`, `deployments.py` and `dispatches.py`; they go through `write` here.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import gidgethub
import stamina
from gidgethub import sansio

from fluxtrail.credentials.binding import CredentialSource, Kind, repository_host
from fluxtrail.model.commit import CommitFacts, is_sha
from fluxtrail.model.errors import AuthError, ConfigError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes.allowances import AllowanceBook
from fluxtrail.remotes.github.facts import (
    PullRequest,
    parse_commit,
    parse_file,
    parse_pull_request,
    parse_pull_requests,
    parse_sha,
)
from fluxtrail.remotes.github.transport import WHOSE, Transport
from fluxtrail.remotes.waits import RetryWaits
from fluxtrail.remotes.writing import encode_body

T = TypeVar("T")

API_VERSION = "2022-11-28"
ATTEMPTS = 5
PULL_REQUEST_COMMITS = 250  # GitHub lists no more
LIMIT_ATTEMPTS = 3
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_KINDS: tuple[Kind, ...] = ("token",)
_RAW = "application/vnd.github.raw+json"


class GitHubClient:
    """One GitHub. Safe for concurrent callers; they share limits and cache.

    Every method raises RateLimitedError, AuthError (401, 403), NotFoundError (404), ConflictError, UpstreamError
    (after five attempts at a 5xx or a broken connection) and WireError (an answer of another shape).

    Args:
        session: made by the caller, closed by the caller.
        base_url: `https://api.github.com`, or Enterprise Server's `https://host/api/v3`.
        host: where its repositories are, if that does not follow from `base_url`; it may name a port.
        longest_wait_seconds: a rate limit that ends within it is waited for, a longer one raises at once.
        clock: POSIX seconds.
        allowances: told what the answers say is left.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        credentials: CredentialSource,
        base_url: str = "https://api.github.com",
        host: str | None = None,
        longest_wait_seconds: float = 5.0,
        retry_waits: RetryWaits | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        requester: str = "fluxtrail",
        allowances: AllowanceBook | None = None,
    ) -> None:
        if not re.match(r"https?://[^/@?#]+(/[^@?#]*)?$", base_url):
            raise ConfigError("not an API address such as https://api.github.com", subject="github.base_url")
        self.host, _, port = (host or repository_host(base_url)).lower().partition(":")
        self._port = int(port) if port.isdigit() else None
        self._credentials = credentials
        self._longest_wait_seconds = longest_wait_seconds
        self._waits = retry_waits or RetryWaits()
        self._transport = Transport(
            session,
            requester=requester,
            base_url=base_url.rstrip("/"),
            clock=clock,
            sleep=sleep,
            longest_wait_seconds=longest_wait_seconds,
            secrets=lambda: credentials.secrets,
            allowances=allowances,
        )

    async def get_commit(self, owner: str, repo: str, sha: str) -> CommitFacts:
        """Return a commit; `paths` are the files of GitHub's first page, `paths_truncated` says if that is not all."""
        data = await self._get(owner, f"{repository_path(owner, repo)}/commits/{_sha(sha)}", is_immutable=True)
        return parse_commit(data)

    async def find_pull_requests(self, owner: str, repo: str, sha: str) -> list[PullRequest]:
        """Return the pull requests that a commit belongs to, merged or open, as GitHub orders them.

        For a commit on the default branch: those that brought it. Else also those that have it as their own.
        """
        url = f"{repository_path(owner, repo)}/commits/{_sha(sha)}/pulls?per_page=100"
        return parse_pull_requests(await self._get(owner, url))

    async def pull_request(self, owner: str, repo: str, number: int) -> PullRequest:
        return parse_pull_request(await self._get(owner, f"{repository_path(owner, repo)}/pulls/{int(number)}"))

    async def pull_request_commits(self, owner: str, repo: str, number: int) -> list[str]:
        """Return the shas of a pull request's own commits, oldest first; GitHub gives at most 250."""
        url = f"{repository_path(owner, repo)}/pulls/{int(number)}/commits?per_page=100"
        return await self._retrying(owner, lambda token: self._collect_shas(url, token))

    async def read_file(self, owner: str, repo: str, sha: str, path: str, *, limit_bytes: int) -> bytes | None:
        """Return a file's bytes at a commit; None for a folder, a link or a submodule.

        Raises:
            NotFoundError: GitHub answers 404 alike for a repository that is absent or hidden and for a file that is.
            WireError: the file is larger than `limit_bytes`; the message names both.
        """
        url = f"{repository_path(owner, repo)}/contents/{_path(path)}?ref={_sha(sha)}"
        answer = parse_file(await self._get(owner, url, is_immutable=True))
        if not answer.is_file:
            return None
        if answer.size_bytes > limit_bytes:
            raise WireError(f"{answer.size_bytes} bytes are more than the limit of {limit_bytes}", subject=path)
        if answer.content is not None:
            return answer.content
        return await self._retrying(owner, lambda token: self._read_raw(url, token, limit_bytes))

    async def read_back(self, owner: str, repo: str, path: str) -> Any:
        """Return the document at a path below the repository; asked conditionally where it is known already."""
        return await self._get(owner, f"{repository_path(owner, repo)}{path}")

    async def write(self, owner: str, repo: str, path: str, body: Any) -> bytes:
        """Post to a path below the repository, once, and return the answer of a success.

        A refused token is renewed and a short limit waited for: there GitHub took nothing.

        Raises:
            UpstreamError: `retryable` says that it may have been taken: a 5xx, or no answer. Its kin as for the rest.
            WireError: `body` cannot be sent; nothing was.
        """
        url = sansio.format_url(f"{repository_path(owner, repo)}{path}", None, base_url=self._transport.base_url)
        content = encode_body(body)
        try:
            return await self._patiently(owner, lambda token: self._post(url, content, token))
        except WireError as exc:
            raise UpstreamError(f"it may have been taken, but {exc.message}", subject=exc.subject) from exc

    def budget_key(self, owner: str) -> str:
        """Return whose allowance the owner's calls use up: `github.com/acme` of an App, `github.com` of a token."""
        return self._credentials.allowance_of(self.host, owner, port=self._port)

    # -- inside ----------------------------------------------------------------------------------------------

    async def _get(self, owner: str, url: str, *, is_immutable: bool = False) -> Any:
        """Get one document. What a sha names does not change: there a fresh cached answer is good enough."""
        headers = _headers(is_immutable=is_immutable)
        return await self._retrying(
            owner, lambda token: self._transport.getitem(url, None, oauth_token=token, extra_headers=headers)
        )

    async def _collect_shas(self, url: str, token: str | None) -> list[str]:
        shas: list[str] = []
        pages = self._transport.getiter(url, None, oauth_token=token, extra_headers=_headers(is_immutable=False))
        async for item in pages:
            shas.append(parse_sha(item))
            if len(shas) >= PULL_REQUEST_COMMITS:
                await pages.aclose()
                break
        return shas

    async def _read_raw(self, url: str, token: str | None, limit_bytes: int) -> bytes:
        headers = sansio.create_headers(self._transport.requester, accept=_RAW, oauth_token=token)
        headers |= _headers(is_immutable=True)
        full = sansio.format_url(url, None, base_url=self._transport.base_url)
        return (await self._transport.exchange("GET", full, headers, limit_bytes=limit_bytes))[2]

    async def _post(self, url: str, content: bytes, token: str | None) -> bytes:
        headers = sansio.create_headers(self._transport.requester, oauth_token=token) | {
            "content-type": "application/json; charset=utf-8",
            "x-github-api-version": API_VERSION,
        }
        return (await self._transport.exchange("POST", url, headers, content))[2]

    async def _retrying(self, owner: str, call: Callable[[str | None], Awaitable[T]]) -> T:
        """Run `call` with the owner's token: five attempts in all, as the tool this replaces made."""
        waits = self._waits
        async for attempt in stamina.retry_context(
            on=_is_transient,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=waits.initial_seconds,
            wait_max=waits.longest_seconds,
            wait_jitter=waits.jitter_seconds,
        ):
            with attempt:
                return await self._patiently(owner, call)
        raise AssertionError("unreachable")

    async def _patiently(self, owner: str, call: Callable[[str | None], Awaitable[T]]) -> T:
        """Run `call`, waiting for rate limits that end soon; one 401 is answered with another token, if there is."""
        credential = await self._credentials.obtain(self.host, owner, port=self._port, kinds=_KINDS)
        WHOSE.set(self.budget_key(owner) if credential else self.host)
        is_renewed = False
        limited = 0
        while True:
            try:
                return await call(credential.secret if credential else None)
            except RateLimitedError as exc:
                limited += 1
                is_short = (exc.retry_after_seconds or 0) <= self._longest_wait_seconds
                if not is_short or limited == LIMIT_ATTEMPTS:
                    raise
            except AuthError as exc:
                if exc.status != 401 or is_renewed or credential is None:
                    raise
                other = await self._credentials.renew(credential, self.host, owner, port=self._port, kinds=_KINDS)
                if other is None:
                    raise
                credential, is_renewed = other, True
            except (ValueError, LookupError, RecursionError, gidgethub.GitHubException) as exc:
                raise WireError("GitHub's answer is not the JSON it promised", subject="github") from exc


def _is_transient(exc: Exception) -> bool:
    return isinstance(exc, UpstreamError) and exc.retryable and not isinstance(exc, RateLimitedError)


def _headers(*, is_immutable: bool) -> dict[str, str]:
    headers = {"x-github-api-version": API_VERSION}
    return headers if is_immutable else {**headers, "cache-control": "no-cache"}


def repository_path(owner: str, repo: str) -> str:
    """Return where the API has a repository.

    Raises:
        WireError: a name is none, and must not become a part of a path.
    """
    for name in (owner, repo):
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise WireError(f"{name[:100]!r} is not a GitHub owner or repository", subject="repository")
    return f"/repos/{owner}/{repo}"


def _sha(sha: str) -> str:
    if not is_sha(sha):
        raise WireError(f"{sha[:80]!r} is not a full commit id", subject="sha")
    return sha


def _path(path: str) -> str:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if path.startswith("/") or ".." in names or "\0" in path or not names:
        raise WireError(f"{path[:200]!r} is not a path inside a repository", subject="path")
    return quote("/".join(names), safe="/")
