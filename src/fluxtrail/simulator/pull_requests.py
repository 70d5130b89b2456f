"""Pull requests as GitHub has them: who wrote one, who reviewed it and how, who merged it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fluxtrail.simulator.clock import seconds, wire_time
from fluxtrail.simulator.repositories import Commit, Person

REVIEWERS = ("ada", "bela", "chidi", "dana", "edda")
_OPEN_SECONDS = 600.0
"""For how long one is open at most, before it is merged."""
_VERDICTS = (("APPROVED",), ("CHANGES_REQUESTED", "APPROVED"))

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Review:
    id: int
    by: str
    """The login."""
    state: str
    """In GitHub's words: `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`."""
    at: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """One that was merged. Times are as GitHub writes them: whole seconds."""

    number: int
    title: str
    merge_sha: str
    created_at: str
    merged_at: str
    head_shas: tuple[str, ...]
    head_ref: str
    base_ref: str
    author: str
    merged_by: str
    reviews: tuple[Review, ...]


def login_of(person: Person) -> str:
    return person.email.partition("@")[0]


def write_pull_request(
    repository: str, merged: Commit, *, number: int, head_shas: tuple[str, ...], base_ref: str, at: datetime
) -> PullRequest:
    """Return a pull request that is merged now. Who reviewed it follows from its number, and from nothing else.

    Some were sent back once, and some were merged without anybody's approval.
    """
    dice = random.Random(f"{repository}#{number}")  # noqa: S311 - people of a simulation
    author = login_of(merged.author)
    created_at = at - seconds(dice.uniform(90.0, _OPEN_SECONDS))
    reviewers = dice.sample([login for login in REVIEWERS if login != author], dice.choice((0, 1, 1, 2)))
    said = [(by, state) for by in reviewers for state in dice.choice(_VERDICTS)]
    if dice.random() < 0.3:
        said.append((author, "COMMENTED"))
    step = (at - created_at) / (len(said) + 1)
    reviews = tuple(
        Review(number * 100 + index, by, state, wire_time(created_at + index * step))
        for index, (by, state) in enumerate(said, 1)
    )
    return PullRequest(
        number=number,
        title=merged.subject,
        merge_sha=merged.sha,
        created_at=wire_time(created_at),
        merged_at=wire_time(at),
        head_shas=head_shas,
        head_ref=f"change-{number}",
        base_ref=base_ref,
        author=author,
        merged_by=reviewers[-1] if reviewers else author,
        reviews=reviews,
    )


def pull_json(pull: PullRequest, repository: str, *, pages: str) -> Json:
    """Args:
    pages: the address below which pull requests have their pages.
    """
    return {
        "number": pull.number,
        "title": pull.title,
        "state": "closed",
        "html_url": f"{pages}/{repository}/pull/{pull.number}",
        "user": {"login": pull.author, "type": "User"},
        "merged_by": {"login": pull.merged_by, "type": "User"},
        "merged": True,
        "created_at": pull.created_at,
        "updated_at": pull.merged_at,
        "closed_at": pull.merged_at,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.merge_sha,
        "base": {"ref": pull.base_ref, "repo": {"full_name": repository}},
        "head": {"ref": pull.head_ref, "sha": pull.head_shas[-1] if pull.head_shas else pull.merge_sha},
    }


def review_json(pull: PullRequest, review: Review) -> Json:
    return {
        "id": review.id,
        "user": {"login": review.by, "type": "User"},
        "body": "",
        "state": review.state,
        "submitted_at": review.at,
        "commit_id": pull.head_shas[-1] if pull.head_shas else pull.merge_sha,
        "author_association": "MEMBER",
    }


def pull_text(pull: PullRequest) -> str:
    """Return what people read of it."""
    lines = [f"#{pull.number} {pull.title}", f"by {pull.author}, opened {pull.created_at}"]
    lines += [f"{review.at} {review.by}: {review.state.lower().replace('_', ' ')}" for review in pull.reviews]
    return "\n".join([*lines, f"merged by {pull.merged_by}, {pull.merged_at}", ""])
