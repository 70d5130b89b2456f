"""What a manifests commit's message says of the pipeline that made it. Pure: a message that says nothing is no error.

Conventions of gitops-connector's pipelines: the manifests are changed by a pull request from a branch
`deploy/<run id>/<image tag>/<branch>`, whose merge commit names it; on Azure DevOps, by `Merged PR <n>: …`.
"""

import re

import msgspec

MESSAGE_LIMIT = 10_000
"""Characters of a commit's message that are read, and passed on; GitHub takes 64 KiB with the rest."""

_PART = r"[^/\s'\"]{1,255}"
_REST = rf"(?P<tag>{_PART})(?:/(?P<branch>[^\s'\"]{{1,255}}))?"
_CONVENTION = re.compile(rf"(?<![^\s'\"])(?:refs/heads/)?(?:{_PART}/)?deploy/(?P<run>{_PART})/{_REST}")
_ANY_BRANCH = re.compile(rf"\bfrom {_PART}/{_PART}/(?P<run>\d{{1,20}})/{_REST}")
"""GitHub's merge commits of a branch that begins otherwise: gitops-connector looks at the slashes alone.

A run's id is a number, and what people call their branches seldom is."""
_MERGED = re.compile(
    r"\bmerged\s+pr\s*#?!?\s*(?P<azure>\d{1,9})\b|\bmerge pull request\s*#(?P<github>\d{1,9})\b", re.IGNORECASE
)
_SQUASHED = re.compile(r"\(#(?P<squash>\d{1,9})\)\s*$")


class DispatchPayload(msgspec.Struct, frozen=True, kw_only=True):
    """`client_payload` of a repository_dispatch: gitops-connector's three fields, and ours."""

    sha: str
    """What it calls the source's commit: the image tag, in its own pipelines."""
    runid: str
    commitmessage: str
    image_tag: str
    branch: str = ""
    manifests_sha: str


def dispatch_of(message: str, sha: str) -> DispatchPayload | None:
    """Return what the pipeline is told that waits for a manifests commit; None where `why_silent` says why.

    Args:
        sha: the manifests commit's.
    """
    found = _CONVENTION.search(message, 0, MESSAGE_LIMIT) or _ANY_BRANCH.search(message, 0, MESSAGE_LIMIT)
    if found is None:
        return None
    return DispatchPayload(
        sha=found["tag"],
        runid=found["run"],
        commitmessage=message[:MESSAGE_LIMIT],
        image_tag=found["tag"],
        branch=found["branch"] or "",
        manifests_sha=sha,
    )


def why_silent(message: str) -> str:
    """Return why no pipeline is told of a manifests commit; empty where one is."""
    if dispatch_of(message, "") is not None:
        return ""
    return (
        "its message names no branch deploy/<run id>/<image tag>/<branch>: no pipeline waits for it by that convention"
    )


def pull_request_of(comment: str) -> int | None:
    """Return the pull request that a commit's message says it merged.

    `Merged PR 12: …` of Azure DevOps, with whatever stands around it and without its colon too; GitHub's
    `Merge pull request #12`, and `… (#12)` at the end of the first line. The rest of a message may quote others.
    """
    first, _, rest = comment[:MESSAGE_LIMIT].partition("\n")
    found = _MERGED.search(first) or _SQUASHED.search(first) or _MERGED.search(rest)
    return int(next(group for group in found.groups() if group)) if found else None
