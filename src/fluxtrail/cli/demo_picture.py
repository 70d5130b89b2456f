"""How the demo looks: commits as rows, clusters as columns, what holds things up below. Pure: facts in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fluxtrail.cli.demo_statuses import MARKS, PullRequestStatuses, draw_statuses, rows_of

Json = Mapping[str, Any]

DEFAULT_SERVER = "http://127.0.0.1:8080"
"""What the client commands ask unless told otherwise."""

_STAGES = ("merged", "exported", "fetched", "applied", "healthy", "running")
_NOT_RUNNING = "not_running"
"""What a delivery is called here that is deployed, and whose pods do not get on."""
_MARKS = {
    "deployed": ("✔", "green"),
    "not_running": ("◌", "bold yellow"),
    "pending": ("▸", "yellow"),
    "failed": ("✘", "bold red"),
    "rolled_back": ("↺", "magenta"),
    "lost": ("∅", "magenta"),
    "abandoned": ("–", "dim"),
    "unaffected": ("·", "dim"),
}
_WORST_FIRST = ("failed", "not_running", "pending", "rolled_back", "deployed", "lost", "abandoned", "unaffected")
_OPEN = ("failed", "not_running", "pending")
_WAITS = {
    "awaiting_export": "in CI",
    "awaiting_fetch": "to fetch",
    "awaiting_sync": "to sync",
    "waiting_for_dependency": "queued",
    "source_suspended": "paused",
    "suspended": "paused",
    "source_failing": "cut off",
}
"""Reasons in as few letters as a column has; the whole story is below the table."""
_KINDS = {"HelmRelease": "hr", "Kustomization": "ks"}
"""As flux abbreviates them."""
_NARROW = 96
"""Columns from which on authors are shown and clusters get more room."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, as a line."""

    at: str
    mark: str
    style: str
    text: str

    @classmethod
    def running(cls, commit: Json, delivery: Json) -> Event:
        """Return that all pods of a delivery run."""
        target = f"{delivery['cluster']}/{delivery['target'].rpartition('/')[2]}"
        text = f"{commit['sha'][:7]} running on {target} · {commit['subject']}"
        return cls(at=_clock(delivery["stages"]["running"]["at"]), mark="●", style="green", text=text)

    @classmethod
    def of(cls, commit: Json, delivery: Json) -> Event:
        mark, style = _MARKS.get(delivery["verdict"], ("?", ""))
        via = f" via {delivery['via'][:7]}" if delivery.get("via") else ""
        target = f"{delivery['cluster']}/{delivery['target'].rpartition('/')[2]}"
        verdict = delivery["verdict"].replace("_", " ")
        text = f"{commit['sha'][:7]} {verdict} on {target}{via} · {commit['subject']}"
        return cls(at=_clock(delivery.get("since")), mark=mark, style=style, text=text)

    @classmethod
    def status(cls, commit: Json, write: Json) -> Event:
        """Return that a commit's status became another one."""
        mark, style = MARKS.get(write["state"], ("?", ""))
        number = commit.get("pull_request")
        name = f"{write['repository'].rpartition('/')[2]}#{number}" if number else write["sha"][:7]
        text = f"{name} {write['context']}: {write['state']} · {write['description']}"
        return cls(at=_clock(write["at"]), mark=mark, style=style, text=text)

    @classmethod
    def treatment(cls, treatment: Json) -> Event:
        """Return that the doctor did something about an object."""
        kind, _, name = treatment["target"].partition("/")
        what = f"{treatment['remedy'].replace('_', ' and ')} {_KINDS.get(kind, kind)} {name}"
        why = treatment["message"].partition(": ")[2]
        text = f"doctor: {what} on {treatment['cluster']} · {why}"
        return cls(at=_clock(treatment["treated_at"]), mark="✚", style="cyan", text=text)

    def plain(self) -> str:
        return f"{self.at} {self.mark} {self.text}"


@dataclass(frozen=True, slots=True)
class Picture:
    """All that is drawn."""

    url: str
    seed: int
    clusters: tuple[str, ...]
    status: Json = field(default_factory=dict)
    trails: tuple[Json, ...] = ()
    overview: tuple[Json, ...] = ()
    events: tuple[Event, ...] = ()
    problem: str = ""
    told: PullRequestStatuses | None = None

    def with_problem(self, problem: str) -> Picture:
        return replace(self, problem=problem)


def draw(picture: Picture, *, width: int, height: int) -> RenderableType:
    """Return the picture for a terminal of this size."""
    held_up = list(_held_up(picture.trails))[:4]
    told_rows = rows_of(picture.told, height)
    rows = max(height - 9 - max(len(held_up), 1) - _event_rows(height) - told_rows, 3)
    return Group(
        _header(picture, width),
        _commits(picture, width, rows),
        Text(""),
        _trouble(held_up, width),
        Text(""),
        draw_statuses(picture.told, width=width, rows=told_rows),
        _events(picture, width, _event_rows(height)),
        _footer(picture, width),
    )


def _event_rows(height: int) -> int:
    return 5 if height >= 36 else 3 if height >= 26 else 1


def _header(picture: Picture, width: int) -> RenderableType:
    status = picture.status
    left = Text.assemble(("▲ Fluxtrail", "bold cyan"), ("  where is my commit?", "dim"))
    pushed = f"{status.get('changes_done', 0)}/{status.get('changes', 0)} changes"
    right = Text(f"seed {picture.seed} · {pushed}", style="dim")
    line = Table.grid(expand=True)
    line.add_column(justify="left")
    line.add_column(justify="right")
    line.add_row(left, right)
    counts = _counts(picture)
    counts.truncate(width)
    return Group(line, counts, Text("─" * width, style="dim"))


def _counts(picture: Picture) -> Text:
    counted = Counter(d["verdict"] for trail in picture.trails for d in trail["deliveries"])
    text = Text()
    for verdict in ("deployed", "pending", "failed", "rolled_back", "lost"):
        mark, style = _MARKS[verdict]
        text.append(f"{mark} {counted[verdict]} ", style=style if counted[verdict] else "dim")
        text.append(f"{verdict.replace('_', ' ')}  ", style="dim")
    return text


def _commits(picture: Picture, width: int, rows: int) -> RenderableType:
    is_wide = width >= _NARROW
    table = Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("commit", no_wrap=True, width=7)
    table.add_column("subject", no_wrap=True, ratio=1, overflow="ellipsis")
    if is_wide:
        table.add_column("by", no_wrap=True, width=7, overflow="ellipsis")
    for cluster in picture.clusters:
        table.add_column(cluster, no_wrap=True, width=17 if is_wide else 13, overflow="ellipsis")
    for trail in picture.trails[:rows]:
        commit = trail["commit"]
        cells: list[Text] = [Text(commit["sha"][:7], style="cyan"), Text(commit["subject"])]
        if is_wide:
            cells.append(Text(commit["author"].partition(" ")[0], style="dim"))
        cells += [_cell(trail, cluster, is_wide=is_wide) for cluster in picture.clusters]
        table.add_row(*cells)
    return table if picture.trails else Text("waiting for the first commit …", style="dim")


def _cell(trail: Json, cluster: str, *, is_wide: bool) -> Text:
    """Return how a commit stands on a cluster: the state of whichever target is furthest behind."""
    deliveries = [d for d in trail["deliveries"] if d["cluster"] == cluster]
    concerned = [d for d in deliveries if d["verdict"] != "unaffected"]
    if not deliveries:
        return Text("…", style="dim")
    if not concerned:
        return Text("·", style="dim")
    worst = min(concerned, key=lambda d: (_WORST_FIRST.index(_standing(d)), len(d.get("stages") or {})))
    mark, style = _MARKS[_standing(worst)]
    text = Text(f"{mark} ", style=style)
    text.append(_dots(worst), style=style)
    text.append(f"{_word(worst, is_wide=is_wide)}", style="dim" if worst["verdict"] == "deployed" else style)
    return text


def _dots(delivery: Json) -> str:
    """Return one dot a stage after merged, filled where it was reached; hollow ones are still to come."""
    stages = delivery.get("stages") or {}
    reached = [stage for stage in _STAGES[1:] if stage in stages]
    is_open = delivery["verdict"] in ("pending", "failed")
    missing = [s for s in ("fetched", "applied") if s not in stages] if is_open else []
    return "●" * len(reached) + "○" * len(missing) + (" " if reached or missing else "")


def _blocker(delivery: Json) -> Json | None:
    """Return the workload that keeps a delivered commit from running, if one does not get on by itself."""
    return next((b for b in delivery.get("blockers") or () if b["state"] in ("blocked", "failed")), None)


def _standing(delivery: Json) -> str:
    is_stuck = delivery["verdict"] == "deployed" and _blocker(delivery) is not None
    return _NOT_RUNNING if is_stuck else str(delivery["verdict"])


def _word(delivery: Json, *, is_wide: bool) -> str:
    verdict = str(delivery["verdict"])
    blocker = _blocker(delivery)
    if verdict == "deployed" and blocker is not None:
        return str(blocker.get("cause") or blocker["state"]).replace("_", " ")
    if verdict == "deployed":
        if delivery.get("undone_by"):
            return "undone"
        return _lead(delivery) or ("via " + delivery["via"][:5] if delivery.get("via") else "")
    if verdict == "pending":
        reason = str(delivery.get("reason") or "")
        return _WAITS.get(reason, reason.replace("_", " "))
    word = verdict.replace("_", " ")
    return word if is_wide else word.split(" ", maxsplit=1)[0]


def _lead(delivery: Json) -> str:
    """Return the time from merged to the last stage reached, as `12s` or `3m`."""
    stages = delivery.get("stages") or {}
    end = stages.get("running") or stages.get("healthy") or stages.get("applied")
    if not end or "merged" not in stages:
        return ""
    seconds = (_time(end["at"]) - _time(stages["merged"]["at"])).total_seconds()
    return f"{max(seconds, 0):.0f}s" if seconds < 100 else f"{seconds / 60:.0f}m"


def _held_up(trails: Iterable[Json]) -> Iterable[tuple[Json, list[Json]]]:
    """Yield what is failing or waiting, failures first: a commit, and where it has the same trouble.

    A target's newest open commit stands for those behind it.
    """
    open_ones = [(t["commit"], d) for t in trails for d in t["deliveries"] if _standing(d) in _OPEN]
    seen: set[tuple[str, str]] = set()
    groups: dict[tuple[str, str, str], tuple[Json, list[Json]]] = {}
    for commit, delivery in sorted(open_ones, key=lambda pair: _WORST_FIRST.index(_standing(pair[1]))):
        place = (delivery["cluster"], delivery["target"])
        if place not in seen:
            seen.add(place)
            key = (commit["sha"], _standing(delivery), str(delivery.get("reason")))
            groups.setdefault(key, (commit, []))[1].append(delivery)
    return groups.values()


def _trouble(held_up: list[tuple[Json, list[Json]]], width: int) -> RenderableType:
    title = Text("what holds things up", style="dim")
    if not held_up:
        return Group(title, Text("  nothing: all is where it should be", style="green"))
    lines = [title]
    for commit, deliveries in held_up:
        first = deliveries[0]
        mark, style = _MARKS[_standing(first)]
        where = f"{first['cluster']}/{first['target'].rpartition('/')[2]}"
        where = where if len(deliveries) == 1 else f"{len(deliveries)} targets"
        line = Text(f"  {mark} {where:<20} ", style=style)
        line.append(commit["sha"][:7], style="cyan")
        why, message = _reason(first)
        line.append(f"  {why}" + (f": {message}" if message else ""))
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return Group(*lines)


def _reason(delivery: Json) -> tuple[str, str]:
    """Return why a delivery waits, and what the cluster says about it."""
    blocker = _blocker(delivery)
    if delivery["verdict"] == "deployed" and blocker is not None:
        why = f"{blocker['workload'].rpartition('/')[2]}: {blocker.get('cause') or blocker['state']}"
        return why.replace("_", " "), " ".join(str(blocker.get("message") or "").split())
    why = str(delivery.get("reason") or delivery["verdict"]).replace("_", " ")
    return why, " ".join(str(delivery.get("message") or "").split())


def _events(picture: Picture, width: int, rows: int) -> RenderableType:
    lines = [Text("what happened", style="dim")]
    for event in picture.events[:rows]:
        line = Text(f"  {event.at} ", style="dim")
        line.append(f"{event.mark} ", style=event.style)
        line.append(event.text)
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return Group(*lines)


def _footer(picture: Picture, width: int) -> RenderableType:
    if picture.problem:
        line = Text(f"⚠ {picture.problem}", style="bold red")
    else:
        server = "" if picture.url == DEFAULT_SERVER else f"--server {picture.url} "
        line = Text("q quits · ", style="dim")
        line.append(f"{picture.url}/", style="cyan")
        if records := picture.status.get("records"):
            line.append(f" · {records} deployment records told")
        line.append(f" · fluxtrail {server}trace <commit>")
    line.truncate(width, overflow="ellipsis")
    return line


def _clock(text: str | None) -> str:
    return text[11:19] if text else "        "


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
