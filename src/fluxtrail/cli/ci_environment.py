"""What CI systems tell the commands they run, in variables: which run this is, and of what.

Source: GitHub Actions "Variables reference"; GitLab "Predefined CI/CD variables reference"; Azure Pipelines "Use
predefined variables"; Jenkins "Using environment variables" and its Git plugin; CircleCI "Built-in environment
variables"; Buildkite "Environment variables".
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

import msgspec

from fluxtrail.model.ci import CiSystem

Env = Mapping[str, str]
Facts = dict[str, Any]
"""Fields of a `CiStatement`."""
EVENT_LIMIT_BYTES = 8 * 1024 * 1024
_HEADS = "refs/heads/"


class Surroundings(NamedTuple):
    name: str
    """Of the CI system, for people; empty where none is known by its variables."""
    facts: Facts


def read_environment(env: Env) -> Surroundings:
    """Return what the variables of the CI system say that runs us; nothing outside of one."""
    for name, sign, read in _SYSTEMS:
        if env.get(sign, "").strip().lower() not in ("", "false", "0"):
            facts = {field: value for field, value in read(env).items() if value not in ("", None)}
            return Surroundings(name, facts)
    return Surroundings("", {})


def _github(env: Env) -> Facts:
    server, project = env.get("GITHUB_SERVER_URL", "https://github.com"), env.get("GITHUB_REPOSITORY", "")
    run_id, is_branch = env.get("GITHUB_RUN_ID", ""), env.get("GITHUB_REF_TYPE", "branch") == "branch"
    return {
        "system": CiSystem.GITHUB_ACTIONS,
        "host": _host(server),
        "project": project,
        "repository": f"{server}/{project}" if project else "",
        "sha": _pull_request_head(env) or env.get("GITHUB_SHA", ""),
        "run_id": run_id,
        "attempt": _number(env.get("GITHUB_RUN_ATTEMPT")),
        "pipeline": env.get("GITHUB_WORKFLOW", ""),
        "number": _hash(env.get("GITHUB_RUN_NUMBER")),
        "url": f"{server}/{project}/actions/runs/{run_id}" if project and run_id else "",
        "branch": env.get("GITHUB_HEAD_REF") or (env.get("GITHUB_REF_NAME", "") if is_branch else ""),
        "event": env.get("GITHUB_EVENT_NAME", ""),
        "author": env.get("GITHUB_ACTOR", ""),
        "pull_request": _found(r"refs/pull/(\d+)/", env.get("GITHUB_REF", "")),
    }


def _pull_request_head(env: Env) -> str:
    """Return the head of the pull request that a run is for: GITHUB_SHA is a merge that nobody will ever follow."""
    path = env.get("GITHUB_EVENT_PATH", "")
    if not path or not env.get("GITHUB_EVENT_NAME", "").startswith("pull_request"):
        return ""
    try:
        with Path(path).open("rb") as file:
            found = msgspec.json.decode(file.read(EVENT_LIMIT_BYTES), type=_Event)
    except (OSError, msgspec.MsgspecError):
        return ""
    return found.pull_request.head.sha


class _Head(msgspec.Struct):
    sha: str


class _PullRequest(msgspec.Struct):
    head: _Head


class _Event(msgspec.Struct):
    pull_request: _PullRequest


def _gitlab(env: Env) -> Facts:
    run_id = env.get("CI_PIPELINE_ID", "")
    return {
        "system": CiSystem.GITLAB_CI,
        "host": env.get("CI_SERVER_HOST") or _host(env.get("CI_SERVER_URL", "")),
        "project": env.get("CI_PROJECT_PATH", ""),
        "repository": env.get("CI_PROJECT_URL", ""),
        "sha": env.get("CI_COMMIT_SHA", ""),
        "run_id": run_id,
        "pipeline": env.get("CI_PIPELINE_NAME", ""),
        "number": _hash(run_id),
        "url": env.get("CI_PIPELINE_URL", ""),
        "branch": "" if env.get("CI_COMMIT_TAG") else env.get("CI_COMMIT_REF_NAME", ""),
        "event": env.get("CI_PIPELINE_SOURCE", ""),
        "author": env.get("GITLAB_USER_LOGIN", ""),
        "pull_request": _number(env.get("CI_MERGE_REQUEST_IID")),
    }


def _azure(env: Env) -> Facts:
    collection, project = env.get("SYSTEM_COLLECTIONURI", ""), env.get("SYSTEM_TEAMPROJECT", "")
    run_id, branch = env.get("BUILD_BUILDID", ""), env.get("BUILD_SOURCEBRANCH", "")
    host, organisation = _azure_place(collection)
    page = f"{collection.rstrip('/')}/{quote(project)}/_build/results?buildId={run_id}"
    return {
        "system": CiSystem.AZURE_PIPELINES if host and organisation and project else CiSystem.STATED,
        "host": host,
        "project": quote(f"{organisation}/{project}") if organisation and project else "",
        "repository": env.get("BUILD_REPOSITORY_URI", ""),
        "sha": env.get("BUILD_SOURCEVERSION", ""),
        "run_id": run_id,
        "pipeline": env.get("BUILD_DEFINITIONNAME", ""),
        "number": env.get("BUILD_BUILDNUMBER", ""),
        "url": page if collection and project and run_id else "",
        "branch": branch.removeprefix(_HEADS) if branch.startswith(_HEADS) else "",
        "event": env.get("BUILD_REASON", ""),
        "author": env.get("BUILD_REQUESTEDFOR", ""),
        "pull_request": _number(env.get("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"))
        or _number(env.get("SYSTEM_PULLREQUEST_PULLREQUESTID")),
    }


def _azure_place(collection: str) -> tuple[str, str]:
    """Return host and organisation of `https://dev.azure.com/org/`, or of the older `https://org.visualstudio.com/`."""
    host, path = _host(collection), unquote(urlsplit(collection).path).strip("/")
    if host.endswith(".visualstudio.com"):
        return "dev.azure.com", host.removesuffix(".visualstudio.com")
    return host, path


def _jenkins(env: Env) -> Facts:
    job, number, branch = env.get("JOB_NAME", ""), env.get("BUILD_NUMBER", ""), env.get("GIT_BRANCH", "")
    return {
        "host": _host(env.get("JENKINS_URL", "")),
        "repository": env.get("GIT_URL") or env.get("GIT_URL_1", ""),
        "sha": env.get("GIT_COMMIT", ""),
        "run_id": f"{quote(job)}#{number}" if job and number else "",
        "pipeline": job,
        "number": _hash(number),
        "url": env.get("BUILD_URL", ""),
        "branch": env.get("CHANGE_BRANCH") or env.get("BRANCH_NAME") or branch.removeprefix("origin/"),
        "author": env.get("CHANGE_AUTHOR", ""),
        "pull_request": _number(env.get("CHANGE_ID")),
    }


def _circleci(env: Env) -> Facts:
    return {
        "host": "circleci.com",
        "repository": env.get("CIRCLE_REPOSITORY_URL", ""),
        "sha": env.get("CIRCLE_SHA1", ""),
        "run_id": env.get("CIRCLE_WORKFLOW_ID") or env.get("CIRCLE_BUILD_NUM", ""),
        "pipeline": env.get("CIRCLE_JOB", ""),
        "number": _hash(env.get("CIRCLE_BUILD_NUM")),
        "url": env.get("CIRCLE_BUILD_URL", ""),
        "branch": env.get("CIRCLE_BRANCH", ""),
        "author": env.get("CIRCLE_USERNAME", ""),
        "pull_request": _found(r"/(\d+)/?$", env.get("CIRCLE_PULL_REQUEST", "")),
    }


def _buildkite(env: Env) -> Facts:
    sha = env.get("BUILDKITE_COMMIT", "")
    return {
        "host": "buildkite.com",
        "repository": env.get("BUILDKITE_REPO", ""),
        "sha": "" if sha == "HEAD" else sha,
        "run_id": env.get("BUILDKITE_BUILD_ID", ""),
        "pipeline": env.get("BUILDKITE_PIPELINE_NAME") or env.get("BUILDKITE_PIPELINE_SLUG", ""),
        "number": _hash(env.get("BUILDKITE_BUILD_NUMBER")),
        "url": env.get("BUILDKITE_BUILD_URL", ""),
        "branch": env.get("BUILDKITE_BRANCH", ""),
        "event": env.get("BUILDKITE_SOURCE", ""),
        "author": env.get("BUILDKITE_BUILD_CREATOR", ""),
        "pull_request": _number(env.get("BUILDKITE_PULL_REQUEST")),
    }


_SYSTEMS: tuple[tuple[str, str, Callable[[Env], Facts]], ...] = (
    ("GitHub Actions", "GITHUB_ACTIONS", _github),
    ("GitLab CI", "GITLAB_CI", _gitlab),
    ("Azure Pipelines", "TF_BUILD", _azure),
    ("CircleCI", "CIRCLECI", _circleci),
    ("Buildkite", "BUILDKITE", _buildkite),
    ("Jenkins", "JENKINS_URL", _jenkins),
)


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _found(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return _number(match[1]) if match else None


def _hash(number: str | None) -> str:
    return f"#{number}" if number else ""
