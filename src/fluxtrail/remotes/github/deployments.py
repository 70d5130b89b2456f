"""Deployments on GitHub: a commit that goes to an environment, and how far it has come.

Nothing is merged for one (`auto_merge` false) and no check holds one up (`required_contexts` none): what is told has
happened already.
Environments are made by GitHub on first use, and hard to delete.
Source: docs.github.com, REST API, "Deployments" and "Deployment statuses".
"""

from typing import Any
from urllib.parse import quote

import msgspec

from fluxtrail.model.errors import ConflictError, NotFoundError, UpstreamError
from fluxtrail.model.status import DeploymentRequest, StatusState
from fluxtrail.remotes.github.client import GitHubClient
from fluxtrail.remotes.github.facts import convert
from fluxtrail.remotes.github.telling import (
    ADDRESS_LIMIT,
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    naming_right,
    split_repository,
)
from fluxtrail.remotes.writing import (
    Audit,
    checked_deployment,
    checked_sha,
    cut_context,
    cut_line,
    hinted,
    no_audit,
    web_address,
)

PER_PAGE = 100
PAGES_LIMIT = 3
TASK = "deploy"
KEY = "fluxtrail"
_RIGHT = ("Deployments: write", "repo_deployment")
_WORDS = {
    StatusState.PENDING: "queued",
    StatusState.RUNNING: "in_progress",
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failure",
    StatusState.ERROR: "error",
    StatusState.NEUTRAL: "inactive",
}


class _WireDeployment(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    payload: Any = None
    """An object, or the JSON of one as text, as whoever made it sent it."""


class GitHubDeployments:
    """Makes deployments and notes their states. Safe for concurrent callers.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: GitHubClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def create(self, repository: str, request: DeploymentRequest) -> str:
        """Make a deployment, once, and return its id.

        Raises:
            NotFoundError: the commit or the repository is not known, or not to this token. ConflictError: GitHub
            refuses it (409, 422). UpstreamError: `retryable`: it may have been made, `find` tells.
        """
        owner, repo = split_repository(repository)
        sha, environment = checked_sha(request.sha), _environment(request)
        body = {
            "ref": sha,
            "task": TASK,
            "auto_merge": False,
            "required_contexts": [],
            "payload": {KEY: request.key},
            "environment": environment,
            "description": cut_line(request.description, DESCRIPTION_LIMIT, is_narrow=True),
            "transient_environment": request.is_transient,
            "production_environment": request.is_production,
        }
        self._audit(f"deployment to {environment}", f"{self._client.host}/{repository}@{sha}")
        with naming_right(*_RIGHT):
            try:
                content = await self._client.write(owner, repo, "/deployments", body)
            except ConflictError as exc:
                raise _explain(exc) from exc
        try:
            return str(msgspec.json.decode(content, type=_WireDeployment).id)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            text = f"GitHub took a deployment of {repository}, but its answer has no id"
            raise UpstreamError(text, retryable=True, subject="deployment") from exc

    async def find(self, repository: str, request: DeploymentRequest) -> str | None:
        """Return the id of the newest deployment that was made with the request's key, or None.

        The newest three hundred of the commit to the environment are looked through.
        """
        owner, repo = split_repository(repository)
        sha, environment = checked_sha(request.sha), quote(_environment(request), safe="")
        path = f"/deployments?sha={sha}&environment={environment}&task={TASK}&per_page={PER_PAGE}"
        for page in range(1, PAGES_LIMIT + 1):
            found = convert(await self._client.read_back(owner, repo, f"{path}&page={page}"), list[_WireDeployment])
            for wire in found:  # the newest first
                if _key_of(wire.payload) == request.key:
                    return str(wire.id)
            if len(found) < PER_PAGE:
                break
        return None

    async def note(
        self,
        repository: str,
        deployment: str,
        *,
        state: StatusState,
        description: str = "",
        url: str = "",
        environment_url: str = "",
    ) -> None:
        """Write how a deployment stands, once; a success makes older ones of its environment inactive.

        Raises:
            As `create`; writing the same state twice does no harm.
        """
        owner, repo = split_repository(repository)
        path = f"/deployments/{checked_deployment(deployment)}/statuses"
        body: dict[str, str | bool] = {
            "state": _WORDS[state],
            "description": cut_line(description, DESCRIPTION_LIMIT, is_narrow=True),
            "auto_inactive": True,
        }
        addresses = {"log_url": url, "environment_url": environment_url}
        body |= {name: good for name, text in addresses.items() if (good := web_address(text, limit=ADDRESS_LIMIT))}
        self._audit(f"deployment status {body['state']}", f"{self._client.host}/{repository}#{deployment}")
        with naming_right(*_RIGHT):
            await self._client.write(owner, repo, path, body)

    def budget_key(self, repository: str) -> str:
        """Return under which name the calls for a repository are counted: `github.com/acme`."""
        return self._client.budget_key(repository.partition("/")[0])


def _explain(exc: ConflictError) -> UpstreamError:
    if exc.status == 409:
        return hinted(exc, "its checks have failed, or its branch conflicts with the default one")
    if "no ref found" in exc.message.lower():
        return NotFoundError(exc.message, status=exc.status, subject=exc.subject)
    return exc


def _environment(request: DeploymentRequest) -> str:
    return cut_context(request.environment, NAME_LIMIT, is_narrow=True)


def _key_of(payload: Any) -> str | None:
    if isinstance(payload, str):
        try:
            payload = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    return payload.get(KEY) if isinstance(payload, dict) else None
