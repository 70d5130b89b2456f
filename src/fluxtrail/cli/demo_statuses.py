"""A pull request's statuses in the demo's picture: what its forge shows below it, as they change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

Json = Mapping[str, Any]

MARKS = {
    "pending": ("●", "yellow"),
    "success": ("✔", "green"),
    "failure": ("✘", "bold red"),
    "error": ("✘", "magenta"),
}
_MOST_CONTEXTS = 3
_KEPT_COMMITS = 200


@dataclass(frozen=True, slots=True)
class StatusLine:
    """One context of a commit."""

    context: str
    state: str
    description: str
    steps: tuple[str, ...]
    """The states that it went through, oldest first."""


@dataclass(frozen=True, slots=True)
class PullRequestStatuses:
    """One commit's statuses, and the pull request that brought it."""

    sha: str
    repository: str
    number: int | None
    subject: str
    lines: tuple[StatusLine, ...]


class StatusBook:
    """Keeps what was written of the newest commits; the one that was written of last is shown."""

    def __init__(self) -> None:
        self.last_number = 0
        """Of the writes that were read."""
        self._lines: dict[str, dict[str, StatusLine]] = {}
        self._facts: dict[str, Json] = {}

    def learn(self, commits: Iterable[Json]) -> None:
        """Take in subjects and numbers of commits."""
        self._facts |= {commit["sha"]: commit for commit in commits}
        for sha in list(self._facts)[: -5 * _KEPT_COMMITS]:
            del self._facts[sha]

    def add(self, writes: Iterable[Json]) -> list[tuple[Json, Json]]:
        """Take in writes; return the commits of those that changed a state, each with its write."""
        changed = []
        for write in writes:
            self.last_number = max(self.last_number, write["number"])
            if (write["system"], write["call"]) != ("github", "status"):
                continue
            lines = self._lines.pop(write["sha"], {})
            before = lines.get(write["context"])
            steps = before.steps if before else ()
            if before is None or before.state != write["state"]:
                steps = (*steps, write["state"])
                changed.append((self._commit(write["sha"]), write))
            lines[write["context"]] = StatusLine(write["context"], write["state"], write["description"], steps)
            # The newest commit stands last.
            self._lines[write["sha"]] = lines
        for sha in list(self._lines)[:-_KEPT_COMMITS]:
            del self._lines[sha]
        return changed

    def shown(self) -> PullRequestStatuses | None:
        """Return the commit that was written of last; one that came by a pull request is preferred."""
        newest = list(self._lines)[::-1]
        if not newest:
            return None
        sha = next((sha for sha in newest[:10] if self._commit(sha).get("pull_request")), newest[0])
        commit, lines = self._commit(sha), self._lines[sha]
        return PullRequestStatuses(
            sha=sha,
            repository=commit.get("repository", "").rpartition("/")[2],
            number=commit.get("pull_request"),
            subject=commit.get("subject", ""),
            lines=tuple(lines[context] for context in sorted(lines)),
        )

    def _commit(self, sha: str) -> Json:
        return self._facts.get(sha) or {"sha": sha}


def rows_of(shown: PullRequestStatuses | None, height: int) -> int:
    """Return how many lines there are for it: none on a low terminal."""
    if shown is None or height < 24:
        return 0
    return 2 + min(len(shown.lines), _MOST_CONTEXTS)


def draw_statuses(shown: PullRequestStatuses | None, *, width: int, rows: int) -> RenderableType:
    """Return the pane: a title, a line a context, and an empty one."""
    if shown is None or rows == 0:
        return Group()
    title = Text("on its pull request", style="dim") if shown.number else Text("on the commit", style="dim")
    title.append(f" {shown.repository}#{shown.number}" if shown.number else "", style="cyan")
    title.append(f" {shown.sha[:7]}", style="cyan")
    title.append(f" {shown.subject}")
    lines = [title, *(_line(line) for line in shown.lines[: rows - 2])]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines, Text(""))


def _line(status: StatusLine) -> Text:
    mark, style = MARKS.get(status.state, ("?", ""))
    line = Text("  ")
    for step in status.steps[-5:-1]:
        line.append(MARKS.get(step, ("?", ""))[0], style=MARKS.get(step, ("?", ""))[1])
    line.append(f"{mark} {status.context} ", style=style)
    line.append(status.description or status.state)
    return line
