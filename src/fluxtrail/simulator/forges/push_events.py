"""A branch that moved, in the words of GitHub's webhook `push`. Pure.

Source: docs.github.com, "Webhook events and payloads", push.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fluxtrail.simulator.clock import wire_time
from fluxtrail.simulator.pull_requests import login_of
from fluxtrail.simulator.repositories import Commit, Person, Push, Repository

EVENT = "push"
MOST_COMMITS = 2048
"""In one body; of a push that brought more there are the newest."""
_NOTHING = "0" * 40
"""The commit of a branch that there was none of."""

Json = dict[str, Any]


def push_json(push: Push, *, pages: str) -> Json:
    """Args:
    pages: the address below which repositories have their pages, and are cloned from.
    """
    repository = push.repository
    page = f"{pages}/{repository.name}"
    before = push.before.sha if push.before else _NOTHING
    commits = [_commit_json(commit, repository, page=page) for commit in push.commits[-MOST_COMMITS:]]
    person = push.after.author
    return {
        "ref": f"refs/heads/{repository.branch}",
        "before": before,
        "after": push.after.sha,
        "created": push.before is None,
        "deleted": False,
        "forced": push.is_forced,
        "base_ref": None,
        "compare": f"{page}/compare/{before[:12]}...{push.after.sha[:12]}",
        "commits": commits,
        "head_commit": _commit_json(push.after, repository, page=page),
        "repository": _repository_json(repository, page=page),
        "pusher": {"name": login_of(person), "email": person.email},
        "sender": {"login": login_of(person), "type": "User"},
    }


def _repository_json(repository: Repository, *, page: str) -> Json:
    owner, _, name = repository.name.partition("/")
    return {
        "name": name,
        "full_name": repository.name,
        "private": True,
        "owner": {"name": owner, "login": owner, "type": "Organization"},
        "html_url": page,
        "url": page,
        "clone_url": f"{page}.git",
        "default_branch": repository.branch,
        "master_branch": repository.branch,
    }


def _commit_json(commit: Commit, repository: Repository, *, page: str) -> Json:
    before = repository.commits[commit.parents[0]].files if commit.parents else {}
    return {
        "id": commit.sha,
        "distinct": True,
        "message": commit.message.rstrip("\n"),
        "timestamp": wire_time(commit.committed_at),
        "url": f"{page}/commit/{commit.sha}",
        "author": _person_json(commit.author),
        "committer": _person_json(commit.author),
        "added": _among(commit.paths, lambda path: path not in before),
        "removed": _among(commit.paths, lambda path: path not in commit.files),
        "modified": _among(commit.paths, lambda path: path in before and path in commit.files),
    }


def _among(paths: Sequence[str], is_one: Callable[[str], bool]) -> list[str]:
    return [path for path in paths if is_one(path)]


def _person_json(person: Person) -> Json:
    return {"name": person.name, "email": person.email, "username": login_of(person)}
