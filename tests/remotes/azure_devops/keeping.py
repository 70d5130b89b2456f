"""An Azure DevOps with one repository: it keeps statuses, pull requests with their notes, and plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from aiohttp import web
from tests.remotes.forges import SECRET, SHA, FakeForge, Says, Times, making

from fluxtrail.remotes.azure_devops.client import AzureDevOpsClient

REPOSITORY = "acme/Web Shop/cart&co#1"
ROOT = "/tfs/acme/Web%20Shop/_apis/git/repositories/cart%26co%231"
PROJECT = "6ce954b1-ce1f-45d1-b94d-e6bf2464ba2c"
PLANS = f"/tfs/acme/{PROJECT}/_apis/distributedtask/hubs/build/plans/"
TIMELINES = f"/tfs/acme/{PROJECT}/_apis/build/builds/"
ClientMaker = Callable[..., AzureDevOpsClient]


@dataclass
class Keeper:
    """`forge.says(keeper)` puts it behind the server."""

    forge: FakeForge
    statuses: list[dict[str, Any]] = field(default_factory=list)
    properties: dict[int, dict[str, Any]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    timelines: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, request: web.Request) -> Says:
        asked = self.forge.asked[-1]
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = msgspec.json.decode(asked.body) if asked.body else None
        if parts.path.startswith(PLANS):
            return self._plan(parts.path.removeprefix(PLANS), body, query)
        if parts.path.startswith(TIMELINES):
            records = self.timelines.get(parts.path.removeprefix(TIMELINES).partition("/")[0])
            return Says(json={"records": records}) if records is not None else refusal(404, "TF400000: No such build")
        if not parts.path.startswith(ROOT):
            return refusal(404, "TF401019: The Git repository does not exist or you do not have permissions for it.")
        assert query["api-version"].startswith("6.0")
        names = [unquote(name) for name in parts.path.removeprefix(ROOT).split("/") if name]
        match names:
            case ["commits", sha, "statuses"]:
                if sha != SHA:
                    return refusal(404, f"TF401175:The version descriptor <Commit: {sha} > could not be resolved")
                return self._statuses(body, query)
            case ["pullRequests"]:
                skip, top = int(query["$skip"]), int(query["$top"])
                return Says(json={"count": 0, "value": self.pulls[skip : skip + top]})
            case ["pullRequests", number, "properties"]:
                found = self.properties.get(int(number))
                if found is None:
                    return refusal(404, "TF401180: The requested pull request was not found.")
                return Says(json={"count": len(found), "value": found})
        return refusal(404, "nothing here")

    def losing_its_answer(self, request: web.Request) -> Says:
        """Take it, and answer as a gateway does that waited too long."""
        self(request)
        return Says(status=504, body=b"<html>504</html>", content_type="text/html")

    @property
    def shown(self) -> dict[str, str]:
        """What a commit's page shows: by context, the state; like ones take each other's place."""
        kept: list[dict[str, Any]] = []
        for one in self.statuses:
            kept = [k for k in kept if k["targetUrl"] != one["targetUrl"] and k["context"] != one["context"]] + [one]
        return {f"{one['context']['genre']}/{one['context']['name']}": one["state"] for one in kept}

    def note(self, number: int, text: Any = None, **changes: Any) -> None:
        """Leave a task's ids on a pull request, or another text in their place."""
        ids = {"taskid": "t1", "jobid": "j1", "planurl": f"{self.forge.base_url}/tfs/acme/", "planid": "plan 1"}
        stated = {**ids, "projectid": PROJECT, "pr_num": str(number), **changes}
        value = json.dumps(stated) if text is None else text
        self.properties[number] = {"callback-task-id": {"$type": "System.String", "$value": value}}

    def _statuses(self, body: Any, query: dict[str, str]) -> Says:
        if body is None:
            found = list({json.dumps(one["context"]): one for one in self.statuses}.values())
            return Says(json={"count": len(found), "value": found if query["latestOnly"] == "true" else self.statuses})
        assert set(body) == {"state", "description", "targetUrl", "context"}
        self.statuses.append({"id": len(self.statuses) + 1, **body})
        return Says(status=201, json=self.statuses[-1])

    def _plan(self, rest: str, body: Any, query: dict[str, str]) -> Says:
        name, _, tail = rest.partition("/")
        plan = self.plans.get(unquote(name))
        if plan is None:
            return refusal(404, f"Orchestration plan {unquote(name)} was not found.")
        if tail == "":
            return Says(json={"planId": unquote(name), **plan})
        assert (tail, query["api-version"]) == ("events", "2.0-preview.1")
        if plan["state"] == "completed":
            return refusal(500, "The plan cannot be changed.")
        self.events.append(body)
        plan["state"] = "completed"
        return Says(status=204, body=b"")


def refusal(status: int, message: str) -> Says:
    return Says(status=status, json={"$id": "1", "message": message, "typeKey": "X", "errorCode": 0})


def clients(forge: FakeForge, times: Times) -> AbstractAsyncContextManager[ClientMaker]:
    """Make clients that ask `forge`, with a token of acme's unless told otherwise."""
    tokens = [{"host": "ado.test", "owner": "tfs/acme", "token": SECRET}]
    return making(AzureDevOpsClient, times, credentials=tokens, host="ado.test", api_url=f"{forge.base_url}/tfs")
