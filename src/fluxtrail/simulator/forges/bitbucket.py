"""Bitbucket, Cloud and Server: build statuses, one a key.

Source: Atlassian's REST documentation. Cloud takes 1,000 requests an hour of a kind; a key has at most 40 characters
there, and 255 on a server.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from aiohttp import web

from fluxtrail.simulator.artifact_limits import RefusedError
from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.forges.limits import Window
from fluxtrail.simulator.forges.service import Answer, Asked, Desk, Json, Service, fields, is_web_address

CLOUD = "/bitbucket/2.0/repositories/{owner}/{repo}/commit/{sha}"
SERVER = "/bitbucket-server/rest/api/{version}/projects/{owner}/repos/{repo}/commits/{sha}/builds"
OLD_SERVER = "/bitbucket-server/rest/build-status/1.0/commits/{sha}"
CLOUD_PER_HOUR = 1_000
CLOUD_STATES = ("INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED")
SERVER_STATES = ("INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED", "UNKNOWN")
_SERVER_LENGTHS = {"key": 255, "name": 255, "url": 450, "description": 255, "parent": 1024, "ref": 1024}
_CLOUD_LENGTHS = {"key": 40, "name": 255, "description": 255}


class _Builds(Service):
    """What both have: statuses by key."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._statuses: dict[tuple[str, str], dict[str, Json]] = defaultdict(dict)

    def place(self, asked: Asked) -> tuple[str, str]:
        """Return the repository and the sha.

        Raises:
            RefusedError: 404: there is none.
        """
        repository, sha = f"{asked.part('owner')}/{asked.part('repo')}", asked.part("sha")
        if self.desk.commits.message_of(repository, sha) is None:
            raise RefusedError(404, f"Commit {sha} does not exist in {repository}")
        return repository, sha

    def keep(self, asked: Asked, place: tuple[str, str], status: Json) -> bool:
        """Keep a status under its key; return whether the key is new."""
        held = self._statuses[place]
        before = held.get(status["key"])
        now = wire_time(asked.now)
        held[status["key"]] = {**(before or {"created_on": now}), **status, "updated_on": now}
        self.recorder.status(
            at=asked.now,
            system=self.system,
            call="status",
            repository=place[0],
            sha=place[1],
            context=status["key"],
            state=status["state"],
            description=str(status.get("description") or ""),
            url=status["url"],
            id=status["key"],
        )
        return before is None

    def find(self, asked: Asked, place: tuple[str, str], key: str) -> Json:
        found = self._statuses[place].get(key)
        if found is None:
            raise RefusedError(404, f"No build status {key[:80]} on {asked.part('sha')}")
        return found


class BitbucketCloud(_Builds):
    system: ClassVar[str] = "bitbucket"

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._windows: dict[str, Window] = {}

    def error(self, status: int, message: str) -> Any:
        return {"type": "error", "error": {"message": message, "data": {"status": status}}}

    def admit(self, asked: Asked) -> None:
        window = self._windows.setdefault(asked.token, Window(CLOUD_PER_HOUR, seconds=3600))
        if not window.spend(asked.now):
            self.violate(asked, "per_hour", f"{window.used(asked.now):g} requests in an hour")
            raise RefusedError(429, "Rate limit for this resource has been exceeded")

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post(CLOUD + "/statuses/build", self.answering("status", self._create))
        router.add_put(CLOUD + "/statuses/build/{key}", self.answering("status", self._update))
        router.add_get(CLOUD + "/statuses/build/{key}", self.answering("statuses", self._show))
        router.add_get(CLOUD + "/statuses", self.answering("statuses", self._list))

    def _create(self, asked: Asked) -> Answer:
        place, body = self.place(asked), fields(asked)
        _check(body, CLOUD_STATES, _CLOUD_LENGTHS)
        self.keep(asked, place, body)
        return Answer(201, self._statuses[place][body["key"]])

    def _update(self, asked: Asked) -> Answer:
        place, key = self.place(asked), asked.part("key")
        body = {**self.find(asked, place, key), **fields(asked), "key": key}
        _check(body, CLOUD_STATES, _CLOUD_LENGTHS)
        self.keep(asked, place, body)
        return Answer(200, self._statuses[place][key])

    def _show(self, asked: Asked) -> Answer:
        return Answer(200, self.find(asked, self.place(asked), asked.part("key")))

    def _list(self, asked: Asked) -> Answer:
        found = list(self._statuses[self.place(asked)].values())
        size, number = int(asked.request.query.get("pagelen", "10")), int(asked.request.query.get("page", "1"))
        shown = found[(number - 1) * size : number * size]
        return Answer(200, {"size": len(found), "page": number, "pagelen": size, "values": shown})


class BitbucketServer(_Builds):
    """Both of its calls: with the repository in the path, and the older one without."""

    system: ClassVar[str] = "bitbucket_server"

    def error(self, status: int, message: str) -> Any:
        del status
        return {"errors": [{"context": None, "message": message, "exceptionName": None}]}

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post(SERVER, self.answering("status", self._create))
        router.add_get(SERVER, self.answering("statuses", self._show))
        router.add_post(OLD_SERVER, self.answering("status", self._create_old))
        router.add_get(OLD_SERVER, self.answering("statuses", self._list_old))

    def _create(self, asked: Asked) -> Answer:
        place, body = self.place(asked), fields(asked)
        _check(body, SERVER_STATES, _SERVER_LENGTHS)
        self.keep(asked, place, body)
        return Answer(204)

    def _show(self, asked: Asked) -> Answer:
        key = asked.request.query.get("key", "")
        if not key:
            raise RefusedError(400, "key is required")
        return Answer(200, self.find(asked, self.place(asked), key))

    def _create_old(self, asked: Asked) -> Answer:
        """Any forty digits do: this call does not ask whether there is such a commit."""
        body = fields(asked)
        _check(body, SERVER_STATES[:3], _SERVER_LENGTHS)
        self.keep(asked, ("", asked.part("sha")), body)
        return Answer(204)

    def _list_old(self, asked: Asked) -> Answer:
        found = list(self._statuses["", asked.part("sha")].values())[::-1]
        return Answer(200, {"size": len(found), "isLastPage": True, "values": found, "start": 0, "limit": 25})


def _check(body: Json, states: tuple[str, ...], lengths: dict[str, int]) -> None:
    missing = [name for name in ("key", "state", "url") if not body.get(name)]
    if missing:
        raise RefusedError(400, f"{missing[0]}: required key not provided")
    if body["state"] not in states:
        raise RefusedError(400, f"state: {str(body['state'])[:40]!r} is not one of {', '.join(states)}")
    for name, longest in lengths.items():
        if len(str(body.get(name) or "")) > longest:
            raise RefusedError(400, f"{name}: ensure this value has at most {longest} characters")
    if not is_web_address(str(body["url"])):
        raise RefusedError(400, "url: enter a valid URL")
