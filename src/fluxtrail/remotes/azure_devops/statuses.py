"""Commit statuses on Azure DevOps: the newest of a context (genre and name) counts.

A status takes the place of one with the same context, and of one with the same address: so each context gets an address
of its own. A commit's mark in lists is the state that was posted last: so what is more urgent, and ours, is posted once
more after what went well.
Source: learn.microsoft.com, Azure DevOps REST API, "Statuses - Create", "Statuses - List"; what gitops-connector does.
"""

from urllib.parse import quote, urlsplit, urlunsplit

import msgspec
import structlog

from fluxtrail.model.errors import FluxtrailError
from fluxtrail.model.status import CommitStatus, StatusState
from fluxtrail.remotes.azure_devops.client import API_VERSION, NAME, AzureDevOpsClient, AzureRepository
from fluxtrail.remotes.azure_devops.telling import STATUS_RIGHT, naming_right
from fluxtrail.remotes.writing import Audit, checked_sha, cut_context, cut_line, no_audit, web_address

log = structlog.get_logger(__name__)

DESCRIPTION_LIMIT = 1_000
CONTEXT_LIMIT = 200
ADDRESS_LIMIT = 1_000
"""Azure DevOps documents no limits; nobody reads more."""
DEFAULT_GENRE = "fluxtrail"
_MARK = "context="
_WORDS = {
    StatusState.PENDING: "pending",
    StatusState.RUNNING: "pending",
    StatusState.SUCCESS: "succeeded",
    StatusState.NEUTRAL: "notApplicable",
    StatusState.FAILURE: "failed",
    StatusState.ERROR: "error",
}
_STATES = {
    "succeeded": StatusState.SUCCESS,
    "notApplicable": StatusState.NEUTRAL,
    "partiallySucceeded": StatusState.FAILURE,
    "failed": StatusState.FAILURE,
    "error": StatusState.ERROR,
}
"""All others (pending, notSet) are not there yet."""
_URGENT_FIRST = ("failed", "error", "pending", "succeeded", "notApplicable")


class _WireContext(msgspec.Struct, frozen=True, kw_only=True):
    name: str | None = None
    genre: str | None = None


class _WireStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: int = 0
    state: str | None = None
    description: str | None = None
    target_url: str | None = None
    context: _WireContext | None = None


class _WireStatuses(msgspec.Struct, frozen=True, kw_only=True):
    value: list[_WireStatus]


class AzureStatuses:
    """Writes and reads back the statuses of commits. Safe for concurrent callers.

    `repository` is a canonical path, see `AzureDevOpsClient.find_repository`.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: AzureDevOpsClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def write(self, repository: str, sha: str, status: CommitStatus) -> None:
        """Write a status, once; then another of ours again, as it stands, where that one is more urgent.

        Without an address it leads to the commit's own page.

        Raises:
            NotFoundError: the commit or the repository is not known, or not to this token. UpstreamError: `retryable`:
            it may have been taken. RateLimitedError, AuthError, WireError.
        """
        place, told = self._client.repository_of(repository), self.as_kept(status)
        page = told.url or marked_address(self._client.commit_page(place, sha), told.context)
        checked_sha(sha)
        word = _WORDS[told.state]
        async with self._client.lock(f"{self._client.place(place)}@{sha}"):
            with naming_right(STATUS_RIGHT):
                await self._post(place, sha, told.context, word, told.description, page)
            if word in ("succeeded", "notApplicable"):
                await self._post_worst_again(place, sha, word)

    async def find(self, repository: str, sha: str, context: str) -> CommitStatus | None:
        """Return the newest status of a context, as Azure DevOps has it, or None."""
        place = self._client.repository_of(repository)
        name = _kept_context(context)
        wanted = _split(name)
        found = [wire for wire in await self._newest(place, checked_sha(sha)) if _context_of(wire) == wanted]
        if not found:
            return None
        wire = max(found, key=lambda one: one.id)
        address = wire.target_url or ""
        is_page = address == marked_address(self._client.commit_page(place, sha), name)
        return CommitStatus(
            state=_STATES.get(wire.state or "", StatusState.PENDING),
            context=name,
            description=wire.description or "",
            url="" if is_page else address,
        )

    def as_kept(self, status: CommitStatus) -> CommitStatus:
        """Return `status` as `find` answers it once it is taken: in its words, with an address of its own."""
        context = _kept_context(status.context)
        address = web_address(status.url, limit=ADDRESS_LIMIT)
        return CommitStatus(
            state=_STATES.get(_WORDS[status.state], StatusState.PENDING),
            context=context,
            description=cut_line(status.description, DESCRIPTION_LIMIT, is_utf16=True),
            url=marked_address(address, context) if address else "",
        )

    # -- inside ----------------------------------------------------------------------------------------------

    async def _newest(self, place: AzureRepository, sha: str) -> list[_WireStatus]:
        query: dict[str, str | int] = {"api-version": API_VERSION, "latestOnly": "true", "top": 1_000}
        answer = await self._client.read(place, f"/commits/{sha}/statuses", **query)
        return answer.read(_WireStatuses, name=NAME).value

    async def _post(
        self, place: AzureRepository, sha: str, context: str, word: str, description: str, address: str
    ) -> None:
        genre, name = _split(context)
        body = {
            "state": word,
            "description": description,
            "targetUrl": address,
            "context": {"name": name, "genre": genre},
        }
        self._audit(f"commit status {word} {context}", f"{self._client.place(place)}@{sha}")
        await self._client.write("POST", place, f"/commits/{sha}/statuses", body, **{"api-version": API_VERSION})

    async def _post_worst_again(self, place: AzureRepository, sha: str, word: str) -> None:
        """Let the commit's mark be that of our most urgent context. What was to be said is said already."""
        try:
            ours = [wire for wire in await self._newest(place, sha) if _is_ours(wire)]
            worst = min(ours, key=_urgency, default=None)
            if worst is None or _urgency(worst) >= _URGENT_FIRST.index(word):
                return
            genre, name = _context_of(worst)
            told = worst.state or "", worst.description or "", worst.target_url or ""
            await self._post(place, sha, f"{genre}/{name}", *told)
        except FluxtrailError as exc:
            log.info("mark_not_renewed", repository=self._client.place(place), sha=sha, error=str(exc))


def marked_address(address: str, context: str) -> str:
    """Return an address that no other context has: with the context's name as its query's last part."""
    parts = urlsplit(address)
    mark = f"{_MARK}{quote(context, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{mark}" if parts.query else mark))


def _kept_context(context: str) -> str:
    genre, name = _split(cut_context(context, CONTEXT_LIMIT))
    return f"{genre}/{name}"


def _split(context: str) -> tuple[str, str]:
    """Return genre and name; without one of its own a context is of our genre."""
    genre, _, name = context.partition("/")
    return (genre, name) if genre and name else (DEFAULT_GENRE, context)


def _context_of(wire: _WireStatus) -> tuple[str, str]:
    context = wire.context or _WireContext()
    return context.genre or "", context.name or ""


def _is_ours(wire: _WireStatus) -> bool:
    """Whether we posted it: by its address."""
    genre, name = _context_of(wire)
    mark = f"{_MARK}{quote(f'{genre}/{name}', safe='')}"
    return urlsplit(wire.target_url or "").query.rpartition("&")[2] == mark


def _urgency(wire: _WireStatus) -> int:
    return _URGENT_FIRST.index(wire.state) if wire.state in _URGENT_FIRST else len(_URGENT_FIRST)
