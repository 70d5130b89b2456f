"""GitHub, as far as it is told something: what its calls share, single commits, and dispatches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.forges.github_limits import AT_ONCE, GitHubLimits
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service, fields, is_web_address

BASE = "/repos/{owner}/{repo}"
DESCRIPTION_LIMIT = 140
_EVENT_TYPE_LIMIT = 100
_PAYLOAD_KEYS_LIMIT = 10
_PAYLOAD_LIMIT_BYTES = 64 * 1024
_DOCS = "https://docs.github.com/rest"

T = TypeVar("T")


class GitHubService(Service):
    """Its refusals and its limits.

    Args:
        limits: shared by all of GitHub's calls.
    """

    system: ClassVar[str] = "github"

    def __init__(self, desk: Desk, limits: GitHubLimits) -> None:
        super().__init__(desk)
        self.limits = limits

    def error(self, status: int, message: str) -> Any:
        texts = {429: "You have exceeded a secondary rate limit.", 500: "Server Error", 502: "Bad Gateway"}
        return {"message": message or texts.get(status, "error"), "documentation_url": _DOCS, "status": str(status)}

    def admit(self, asked: Asked) -> None:
        overrun = self.limits.admit(asked.token, is_read=asked.is_read, now=asked.now)
        if asked.at_once > AT_ONCE:
            overrun.append(("concurrency", f"{asked.at_once} requests at once"))
        for kind, detail in overrun:
            self.violate(asked, kind, detail)
        if overrun:
            raise self.limits.refuse(asked.token, now=asked.now)
        try:
            self.limits.check_primary(asked.token, now=asked.now)
        except RefusedError:
            self.violate(asked, "primary", "no request left this hour")
            raise

    def settle(self, asked: Asked, answer: Answer) -> Mapping[str, str]:
        """What finds nothing new costs nothing of the primary limit."""
        if answer.status != 304:
            self.limits.of(asked.token).primary.spend(asked.now)
        return self.limits.headers(asked.token, now=asked.now) | {"X-GitHub-Media-Type": "github.v3; format=json"}

    def repository(self, asked: Asked) -> str:
        """Return which repository a path means.

        Raises:
            RefusedError: 404: there is none.
        """
        name = f"{asked.part('owner')}/{asked.part('repo')}"
        if not self.desk.commits.has(name):
            raise RefusedError(404, "Not Found")
        return name

    def commit_message(self, repository: str, sha: str) -> str:
        """Raises:
        RefusedError: 422: nobody has that commit.
        """
        message = self.desk.commits.message_of(repository, sha)
        if message is None:
            raise RefusedError(422, f"No commit found for SHA: {sha}")
        return message


class GitHubRepositories(GitHubService):
    """Single commits, and events for workflows."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_get(BASE + "/commits/{sha}", self.answering("commit", self._commit))
        router.add_post(BASE + "/dispatches", self.answering("dispatch", self._dispatch))

    def _commit(self, asked: Asked) -> Answer:
        repository, sha = self.repository(asked), asked.part("sha")
        return Answer(200, {"sha": sha, "commit": {"message": self.commit_message(repository, sha)}})

    def _dispatch(self, asked: Asked) -> Answer:
        repository, body = self.repository(asked), fields(asked)
        event, payload = body.get("event_type"), body.get("client_payload") or {}
        if not isinstance(event, str) or not 1 <= len(event) <= _EVENT_TYPE_LIMIT:
            raise RefusedError(422, f"Invalid request.\n\nevent_type must have 1 to {_EVENT_TYPE_LIMIT} characters.")
        if not isinstance(payload, dict) or len(payload) > _PAYLOAD_KEYS_LIMIT:
            raise RefusedError(422, "No more than 10 properties are allowed; client_payload has more.")
        text = json.dumps(payload)
        if len(text) > _PAYLOAD_LIMIT_BYTES:
            raise RefusedError(422, "client_payload is too large.")
        sha = str(payload.get("sha", ""))
        at = asked.now
        facts = {"repository": repository, "sha": sha, "context": event, "description": text}
        self.recorder.write(at=at, system=self.system, call="dispatch", **facts)
        return Answer(204)


def check_texts(body: Json, *, addresses: Sequence[str], lengths: Mapping[str, int]) -> None:
    """Pass texts that fit.

    Raises:
        RefusedError: 422, with the first field that does not.
    """
    for name, longest in lengths.items():
        text = body.get(name)
        if text is not None and (not isinstance(text, str) or len(text) > longest):
            raise RefusedError(422, f"Validation Failed: {name} is too long (maximum is {longest} characters)")
    for name in addresses:
        text = body.get(name)
        if text and not is_web_address(str(text)):
            raise RefusedError(422, f"Validation Failed: {name} must use http(s) scheme")


def page(asked: Asked, items: Sequence[T]) -> Sequence[T]:
    """Return the page that a request wants: 30 a page, at most 100."""
    per_page = min(int(asked.request.query.get("per_page", "30")), 100)
    start = (max(int(asked.request.query.get("page", "1")), 1) - 1) * per_page
    return items[start : start + per_page]
