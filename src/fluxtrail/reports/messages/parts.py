"""What every chat's message of a commit has, in plain text: a title, a line an environment, a footer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fluxtrail.model.status import StatusState
from fluxtrail.reports.standings.saying import Saying

SUBJECT_LIMIT = 200
SUMMARY_LIMIT = 400
NAME_LIMIT = 100
DEFAULT_TEXT = "{% for one in environments %}{{ one.environment }}: {{ one.state }}, {{ one.summary }}\n{% endfor %}"
"""What stands where no blocks are shown, and what makes two messages the same."""


class Line(NamedTuple):
    state: StatusState
    environment: str
    summary: str


class Parts(NamedTuple):
    state: StatusState
    subject: str
    commit_url: str
    lines: Sequence[Line]
    facts: Sequence[tuple[str, str]]
    """(text, link or nothing): where it is, whose it is."""
    trail_url: str


def parts_of(saying: Saying) -> Parts:
    commit = saying.values["commit"]
    commit_url = web_url(commit["url"])
    where = f"{commit['repository'].partition('/')[2] or commit['repository']} {commit['branch']}".strip()
    facts = [(commit["short_sha"], commit_url), (short(where, NAME_LIMIT), "")]
    if commit["author"]:
        facts.append((short(commit["author"], NAME_LIMIT), ""))
    if commit["pull_request"]:
        facts.append((f"#{commit['pull_request']}", pull_request_url(commit_url, commit["pull_request"])))
    return Parts(
        state=saying.state,
        subject=short(commit["subject"], SUBJECT_LIMIT) or commit["short_sha"],
        commit_url=commit_url,
        lines=[_line(one) for one in saying.values["environments"]],
        facts=facts,
        trail_url=web_url(saying.texts["url"].strip()),
    )


def _line(values: Mapping[str, Any]) -> Line:
    return Line(
        StatusState(values["state"]),
        short(values["environment"], NAME_LIMIT),
        short(values["summary"], SUMMARY_LIMIT),
    )


def short(text: str, limit: int) -> str:
    """Return `text` as one line of at most `limit` characters that are shown."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def web_url(url: str) -> str:
    """Return `url` if people can open it; else nothing."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("https", "http") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return url if is_good and url.isprintable() and " " not in url and len(url) <= 2_000 else ""


def pull_request_url(commit_url: str, number: int) -> str:
    """Return the page of a pull request; nothing where only the forge knows how its pages are called."""
    host = urlsplit(commit_url).hostname or ""
    for mark, page, hosts in _PAGES:
        place, found, _ = commit_url.partition(mark)
        if found and (not hosts or host in hosts):
            return f"{place}{page}{number}"
    return ""


_PAGES: Sequence[tuple[str, str, frozenset[str]]] = (
    ("/-/commit/", "/-/merge_requests/", frozenset()),
    ("/commit/", "/pull/", frozenset({"github.com"})),
    ("/commit/", "/pulls/", frozenset({"codeberg.org", "gitea.com"})),
    ("/commit/", "/pullrequest/", frozenset({"dev.azure.com"})),
    ("/commits/", "/pull-requests/", frozenset({"bitbucket.org"})),
)
