"""Deployments on GitLab: a commit that goes to an environment, which GitLab makes on first use.

They have no key and no description: a commit's newest in an environment is the one, unless a job of GitLab's own CI
made it. One that has ended does not run again.
Source: docs.gitlab.com, "Deployments API", "Environments API"; gitlab-org/gitlab, app/models/deployment.rb.
"""

import msgspec
import structlog

from fluxtrail.model.errors import AuthError, NotFoundError, UpstreamError, WireError
from fluxtrail.model.status import DeploymentRequest, StatusState
from fluxtrail.remotes.gitlab.client import NAME, PER_PAGE, GitLabClient
from fluxtrail.remotes.gitlab.telling import TEXT_LIMIT, naming_right
from fluxtrail.remotes.rest import Answer
from fluxtrail.remotes.writing import Audit, checked_deployment, checked_sha, cut_context, no_audit, web_address

log = structlog.get_logger(__name__)

PAGES_LIMIT = 3
_WORDS = {
    StatusState.PENDING: "running",  # GitLab takes no deployment that has not begun
    StatusState.RUNNING: "running",
    StatusState.SUCCESS: "success",
    StatusState.FAILURE: "failed",
    StatusState.ERROR: "canceled",
    StatusState.NEUTRAL: "canceled",
}


class _WireEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str | None = None
    external_url: str | None = None


class _WireDeployment(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    sha: str | None = None
    status: str | None = None
    environment: _WireEnvironment | None = None
    deployable: msgspec.Raw = msgspec.Raw(b"null")
    """The job that made it; null where it was made as we make them."""


class _WireProject(msgspec.Struct, frozen=True, kw_only=True):
    default_branch: str | None = None


class GitLabDeployments:
    """Makes deployments and notes their states. Safe for concurrent callers.

    `repository` is a project's path without GitLab's own root, see `GitLabClient.project_of`.

    Args:
        audit: told of every write before it is sent.
    """

    def __init__(self, client: GitLabClient, *, audit: Audit = no_audit) -> None:
        self._client, self._audit = client, audit

    async def create(self, repository: str, request: DeploymentRequest) -> str:
        """Make a running deployment, once, and return its id. Without a branch it is the project's default one.

        Raises:
            NotFoundError: the project is not known, or not to this token. UpstreamError: `retryable`: it may have been
            made, `find` tells. RateLimitedError, AuthError, ConflictError, WireError.
        """
        sha, environment = checked_sha(request.sha), _environment(request)
        with naming_right():
            ref = request.ref or await self._default_branch(repository)
            body = {"environment": environment, "sha": sha, "ref": ref, "tag": False, "status": "running"}
            self._audit(f"deployment to {environment}", f"{self._client.place(repository)}@{sha}")
            answer = await self._client.write("POST", repository, "/deployments", body)
        try:
            return str(answer.read(_WireDeployment, name=NAME).id)
        except WireError as exc:
            text = f"GitLab took a deployment of {repository}, but its answer has no id"
            raise UpstreamError(text, retryable=True, subject="deployment") from exc

    async def find(self, repository: str, request: DeploymentRequest) -> str | None:
        """Return the id of the newest deployment of the commit to the environment that no job made, or None.

        The newest three hundred of the environment are looked through.
        """
        sha = checked_sha(request.sha)
        query: dict[str, str | int] = {"environment": _environment(request), "order_by": "id", "sort": "desc"}
        for page in range(1, PAGES_LIMIT + 1):
            answer = await self._client.read_back(repository, "/deployments", **query, per_page=PER_PAGE, page=page)
            found = answer.read(list[_WireDeployment], name=NAME)
            for wire in found:
                if wire.sha == sha and bytes(wire.deployable) == b"null":
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
        """Write how a deployment stands, once; where it stands there already, or has ended before it ran, is as good.

        GitLab keeps no description and no link of a deployment.

        Raises:
            As `create`. The environment's address is left as it is where the token may not change it.
        """
        path, word = f"/deployments/{checked_deployment(deployment)}", _WORDS[state]
        self._audit(f"deployment status {word}", f"{self._client.place(repository)}#{deployment}")
        with naming_right():
            try:
                answer = await self._client.write("PUT", repository, path, {"status": word})
            except UpstreamError as exc:
                if exc.status != 400:
                    raise
                answer = await self._client.read_back(repository, path)
                kept = answer.read(_WireDeployment, name=NAME).status
                if kept != word and (state.is_final or kept == "created"):
                    raise
        address = web_address(environment_url, limit=TEXT_LIMIT)
        if address:
            await self._place(repository, _read(answer), address)

    def budget_key(self, repository: str) -> str:
        """Return under which name the calls for a repository are counted: `gitlab.com/acme`."""
        return self._client.budget_key(repository)

    # -- inside ----------------------------------------------------------------------------------------------

    async def _place(self, repository: str, environment: _WireEnvironment | None, address: str) -> None:
        """Say where people reach an environment, unless GitLab has it."""
        if environment is None or environment.external_url == address:
            return
        where = f"{self._client.place(repository)}#{environment.id}"
        self._audit("environment address", where)
        try:
            await self._client.write("PUT", repository, f"/environments/{environment.id}", {"external_url": address})
        except (AuthError, NotFoundError) as exc:
            log.warning("environment address not changed", environment=where, error=str(exc))

    async def _default_branch(self, repository: str) -> str:
        branch = (await self._client.read_back(repository)).read(_WireProject, name=NAME).default_branch
        if not branch:
            raise NotFoundError(f"{repository[:200]} has no default branch, and the commit's is not known", status=None)
        return branch


def _environment(request: DeploymentRequest) -> str:
    return cut_context(request.environment, TEXT_LIMIT)


def _read(answer: Answer) -> _WireEnvironment | None:
    """Return the environment of a deployment's answer; what cannot be read has none, and is written all the same."""
    try:
        return answer.read(_WireDeployment, name=NAME).environment
    except WireError:
        return None
