"""What people and programs ask of a ledger: every page and every list of the API, filtered as it is done in practice.

A question makes another address each time: its parameters come at random from what the ledger holds, or it goes through
a list page by page. So no answer is the one before.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

from benchmarks.pages_rows import PART_IMAGES
from benchmarks.pages_world import CLUSTERS, ENVIRONMENTS, PARTS, SERVICES, TEAMS

API = "/api/v1"
EACH = 500
WORDS = ("timeout", "discount", "search index", "Retry the", "behind the proxy", "cookie", "payment callback")
VERDICTS = ("pending", "deployed", "failed", "rolled_back", "lost", "abandoned", "unaffected")
FEW = ("failed", "rolled_back", "lost", "pending")
STATES = ("rolled_out", "progressing", "blocked", "failed", "absent")
_CURSOR = re.compile(rb'href="[^"]*?[?&](?:amp;)?cursor=([A-Za-z0-9_-]+)')

_SAMPLES = {
    "sources": "SELECT sha FROM commits WHERE NOT is_carrier AND pull_request IS NOT NULL",
    "exported": "SELECT sha FROM commits WHERE is_carrier",
    "pulls": "SELECT pull_request FROM commits WHERE pull_request IS NOT NULL",
    "authors": "SELECT DISTINCT author FROM commits",
    "targets": "SELECT id FROM targets WHERE deleted_at IS NULL",
    "digests": "SELECT digest FROM images WHERE listed_at IS NOT NULL",
    "built": "SELECT revision FROM images WHERE revision IS NOT NULL",
    "times": "SELECT at FROM commits",
    "last": "SELECT max(id) FROM transitions",
}
_FRESH = """
SELECT sha FROM commits WHERE NOT is_carrier
AND repository_id IN (SELECT id FROM repositories WHERE canonical LIKE '%/acme/%') ORDER BY at DESC LIMIT 60
"""
"""Those of the watched cluster are in the one ledger that saw them."""
_WIDE = """
SELECT sha FROM commits WHERE repository_id = (SELECT id FROM repositories WHERE canonical LIKE '%/platform')
AND id IN (SELECT commit_id FROM deliveries WHERE target_id IN (201, 141))
"""


@dataclass
class Samples:
    """What questions are made of."""

    pick: random.Random
    found: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path, *, seed: int) -> Samples:
        pick = random.Random(seed)
        found = {}
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            for name, wanted in _SAMPLES.items():
                everything = [str(row[0]) for row in connection.execute(wanted)]
                found[name] = pick.sample(everything, min(EACH, len(everything)))
            for name, wanted in (("fresh", _FRESH), ("wide", _WIDE)):
                found[name] = [str(row[0]) for row in connection.execute(wanted)]
        return cls(pick, found)

    def one(self, name: str) -> str:
        return self.pick.choice(self.found[name])

    def of(self, values: Sequence[str]) -> str:
        return self.pick.choice(values)

    def service(self) -> str:
        return f"acme/{self.of(SERVICES)}"

    def repository(self) -> str:
        return f"acme/{self.of((*SERVICES, *(f'{team}-fleet' for team in TEAMS), 'platform'))}"

    def target(self) -> str:
        return f"Kustomization/{self.of(SERVICES)}"

    def time(self) -> str:
        """Return an instant at which something was merged, as RFC 3339."""
        from fluxtrail.ledger.columns import from_micros  # noqa: PLC0415 - only here

        return from_micros(int(self.one("times"))).strftime("%Y-%m-%dT%H:%M:%SZ")


Given = dict[str, str]
Make = Callable[[Samples], Given]


@dataclass
class Question:
    """One way to ask.

    Attributes:
        name: as people read it.
        path: or what makes it.
        given: makes the query.
        walks: goes on where the answer before ended.
    """

    name: str
    path: str | Callable[[Samples], str]
    given: Make = lambda _: {}
    walks: bool = False
    _query: Given = field(default_factory=dict)
    _cursor: str | None = None

    @property
    def is_page(self) -> bool:
        return not self.name.startswith("/api")

    def address(self, samples: Samples) -> str:
        if self._cursor is None:
            self._query = self.given(samples)
        path = self.path if isinstance(self.path, str) else self.path(samples)
        query = {**self._query, **({"cursor": self._cursor} if self._cursor else {})}
        return f"{path}?{urlencode(query)}" if query else path

    def note(self, body: bytes) -> None:
        """Take note of where the next page begins."""
        if not self.walks:
            return
        if self.is_page:
            found = _CURSOR.findall(body)
            self._cursor = found[-1].decode() if found else None
        else:
            self._cursor = json.loads(body).get("next")


def questions() -> list[Question]:
    return [*_pages(), *_lists(), *_others()]


def _fixed(**given: str) -> Make:
    return lambda _: given


def _ask(name: str, path: str, parameter: str, value: Callable[[Samples], str], **fixed: str) -> Question:
    return Question(f"{name}", path, lambda samples: {parameter: value(samples), **fixed})


def _board(path: str) -> list[Question]:
    """Of the page and of the API alike."""

    def ask(parameter: str, value: Callable[[Samples], str], label: str = "…", **fixed: str) -> Question:
        also = "".join(f"&{name}={given}" for name, given in fixed.items())
        return _ask(f"{path}?{parameter}={label}{also}", path, parameter, value, **fixed)

    return [
        Question(f"{path} page by page", path, _fixed(by="cluster"), walks=True),
        Question(f"{path}?by=environment page by page", path, _fixed(by="environment"), walks=True),
        ask("repository", Samples.repository),
        ask("author", lambda s: s.one("authors").split()[-1]),
        ask("service", lambda s: s.of(SERVICES)),
        ask("environment", lambda s: s.of(ENVIRONMENTS)),
        ask("cluster", lambda s: s.of(CLUSTERS)),
        *(ask("verdict", lambda _, v=v: v, v) for v in VERDICTS),  # type: ignore[misc]
        ask("environment", lambda s: s.of(ENVIRONMENTS), verdict="failed"),
        ask("service", lambda s: s.of(SERVICES), verdict="rolled_back"),
        ask("text", lambda s: s.of(WORDS), "words"),
        ask("text", lambda s: s.one("sources")[:8], "sha"),
        ask("text", lambda s: f"nothing {s.pick.random()}", "nothing"),
        ask("since", Samples.time),
        ask("until", Samples.time),
        ask("carriers", lambda _: "true", "true"),
    ]


def _commits(path: str) -> list[Question]:
    def ask(parameter: str, value: Callable[[Samples], str], label: str = "…", **fixed: str) -> Question:
        also = "".join(f"&{name}={given}" for name, given in fixed.items())
        return _ask(f"{path}?{parameter}={label}{also}", path, parameter, value, **fixed)

    return [
        Question(f"{path} page by page", path, walks=True),
        ask("repository", Samples.repository),
        ask("branch", lambda _: "main", "main"),
        ask("author", lambda s: s.one("authors").split()[0]),
        ask("author", lambda s: f"nobody {s.pick.random()}", "nobody"),
        *(ask("verdict", lambda _, v=v: v, v) for v in VERDICTS),  # type: ignore[misc]
        ask("repository", Samples.repository, verdict="lost"),
        ask("repository", Samples.service, verdict="failed"),
        ask("since", Samples.time),
        ask("carriers", lambda _: "false", "false"),
    ]


def _running(root: str) -> list[Question]:
    """Targets, images, workloads."""

    def ask(path: str, parameter: str, value: Callable[[Samples], str], label: str = "…") -> Question:
        return _ask(f"{root}{path}?{parameter}={label}", root + path, parameter, value)

    clusters, teams = (lambda s: s.of(CLUSTERS)), (lambda s: s.of((*TEAMS, "platform")))
    return [
        Question(f"{root}/clusters", f"{root}/clusters"),
        Question(f"{root}/targets page by page", f"{root}/targets", walks=True),
        ask("/targets", "cluster", clusters),
        ask("/targets", "namespace", teams),
        ask("/targets", "target", Samples.target),
        Question(f"{root}/targets/…", lambda s: f"{root}/targets/{s.one('targets')}"),
        Question(f"{root}/images page by page", f"{root}/images", walks=True),
        ask("/images", "cluster", clusters),
        ask("/images", "namespace", teams),
        *(ask("/images", "state", lambda _, v=v: v, v) for v in ("known", "private", "absent", "pending")),  # type: ignore[misc]
        ask("/images", "text", lambda s: s.of((*SERVICES, *PARTS)), "name"),
        ask("/images", "text", lambda s: f"acme/{s.of(SERVICES)}:1.{s.pick.randrange(999)}", "name:tag"),
        ask("/images", "text", lambda s: s.one("digests")[:15], "digest"),
        ask("/images", "text", lambda s: f"nothing{s.pick.random()}", "nothing"),
        ask("/images", "revision", lambda s: s.one("built")),
        Question(f"{root}/images/…", lambda s: f"{root}/images/{s.one('digests')}"),
        Question(
            f"{root}/images/… that runs everywhere",
            lambda s: f"{root}/images/{_everywhere(s)}",
        ),
        Question(f"{root}/workloads page by page", f"{root}/workloads", walks=True),
        ask("/workloads", "cluster", clusters),
        ask("/workloads", "namespace", teams),
        ask("/workloads", "target", Samples.target),
        *(ask("/workloads", "state", lambda _, v=v: v, v) for v in STATES),  # type: ignore[misc]
        ask("/workloads", "cause", lambda s: s.of(("image_pull", "crash_loop", "quota"))),
    ]


def _everywhere(samples: Samples) -> str:
    from benchmarks.pages_rows_around import PROXIES, index_digest  # noqa: PLC0415 - only here

    name = samples.of(("proxy", *PART_IMAGES))
    return index_digest(f"{name}/{samples.pick.choice((PROXIES - 1, PROXIES - 2))}")


def _reports(path: str) -> list[Question]:
    sinks = ("route.github", "route.chat", "route.audit")
    states = ("waiting", "dead", "sent", "dropped")
    return [
        Question(f"{path} page by page", path, walks=True),
        *(_ask(f"{path}?state={v}", path, "state", lambda _, v=v: v) for v in states),  # type: ignore[misc]
        _ask(f"{path}?sink=…", path, "sink", lambda s: s.of(sinks)),
        _ask(f"{path}?sink=…&state=dead", path, "sink", lambda s: s.of(sinks), state="dead"),
    ]


def _pages() -> list[Question]:
    def search(label: str, value: Callable[[Samples], str], **fixed: str) -> Question:
        return _ask(f"/search?q={label}", "/search", "q", value, **fixed)

    return [
        Question("/", "/"),
        Question("/?by=day", "/", _fixed(by="day")),
        *_board("/board"),
        *_commits("/commits"),
        *_trails("/commits"),
        *_running(""),
        *_reports("/reports"),
        search("words", lambda s: s.of(WORDS)),
        search("sha", lambda s: s.one("exported")[:6]),
        search("#12", lambda s: f"#{s.one('pulls')}"),
        search("target", lambda s: s.of((*SERVICES, *PARTS))),
        search("nothing", lambda s: f"nothing {s.pick.random()}"),
        _ask("/search, as one types", "/search", "q", lambda s: s.of(WORDS)[: s.pick.randrange(1, 5)], part="list"),
    ]


def _trails(path: str) -> list[Question]:
    return [
        Question(f"{path}/… of a service", lambda s: f"{path}/{s.one('sources')}"),
        Question(f"{path}/… an export", lambda s: f"{path}/{s.one('exported')}"),
        Question(f"{path}/… on its way", lambda s: f"{path}/{s.one('fresh')}"),
        Question(f"{path}/… to 60 targets", lambda s: f"{path}/{s.one('wide')}"),
        Question(f"{path}/… by its first digits", lambda s: f"{path}/{s.one('sources')[:12]}"),
    ]


def _deliveries() -> list[Question]:
    path = f"{API}/deliveries"

    def ask(parameter: str, value: Callable[[Samples], str], label: str = "…", **fixed: str) -> Question:
        also = "".join(f"&{name}={given}" for name, given in fixed.items())
        return _ask(f"{path}?{parameter}={label}{also}", path, parameter, value, **fixed)

    return [
        Question(f"{path} page by page", path, walks=True),
        ask("cluster", lambda s: s.of(CLUSTERS)),
        ask("namespace", lambda s: s.of((*TEAMS, "platform"))),
        ask("target", Samples.target),
        ask("repository", Samples.repository),
        ask("sha", lambda s: s.one("sources")),
        *(ask("verdict", lambda _, v=v: v, v) for v in VERDICTS),  # type: ignore[misc]
        ask("cluster", lambda s: s.of(CLUSTERS), verdict="failed"),
        ask("repository", Samples.service, cluster="production-eu-1"),
        ask("repository", Samples.service, cluster="production-eu-1", verdict="rolled_back"),
        ask("since", Samples.time),
    ]


def _lists() -> list[Question]:
    runs, records = f"{API}/ci/runs", f"{API}/records"
    return [
        *_board(f"{API}/board"),
        *_commits(f"{API}/commits"),
        *_trails(f"{API}/commits"),
        _ask(f"{API}/trail?q=#12", f"{API}/trail", "q", lambda s: f"#{s.one('pulls')}"),
        *_deliveries(),
        *_running(API),
        *_reports(f"{API}/reports"),
        Question(f"{runs} page by page", runs, walks=True),
        _ask(f"{runs}?repository=…", runs, "repository", Samples.service),
        _ask(f"{runs}?repository=nobody", runs, "repository", lambda s: f"acme/nobody-{s.pick.random()}"),
        _ask(f"{runs}?sha=…", runs, "sha", lambda s: s.one("sources")),
        _ask(f"{runs}?state=failed", runs, "state", lambda _: "failed"),
        _ask(f"{runs}?state=running", runs, "state", lambda _: "running"),
        _ask(f"{runs}?role=export", runs, "role", lambda _: "export"),
        _ask(f"{runs}?system=…", runs, "system", lambda s: s.of(("github_actions", "gitlab_ci", "cdevents"))),
        Question(f"{records} page by page", records, walks=True),
        _ask(f"{records}?cluster=…", records, "cluster", lambda s: s.of(CLUSTERS)),
        _ask(f"{records}?namespace=…", records, "namespace", lambda s: f"team-{s.pick.randrange(40)}"),
        _ask(f"{records}?told=unknown", records, "told", lambda _: "unknown"),
        _ask(f"{records}?text=…", records, "text", lambda s: s.of(SERVICES)),
        Question(f"{records}/counts", f"{records}/counts"),
    ]


def _others() -> list[Question]:
    history, feed = f"{API}/transitions", f"{API}/feed"
    return [
        _ask(history, history, "after", lambda s: str(s.pick.randrange(int(s.one("last"))))),
        _ask(f"{feed} as JSON", feed, "after", lambda s: str(s.pick.randrange(int(s.one("last"))))),
        Question(f"{API}/status", f"{API}/status"),
        Question(f"{API}/lead-times?by=day", f"{API}/lead-times", _fixed(by="day")),
        Question(f"{API}/routes", f"{API}/routes"),
        _ask(f"{API}/search?q=words", f"{API}/search", "q", lambda s: s.of(WORDS)),
        _ask(f"{API}/search?q=sha", f"{API}/search", "q", lambda s: s.one("sources")[:7]),
        Question(
            f"{API}/chains/…",
            lambda s: f"{API}/chains/Deployment/{quote(s.of(TEAMS))}/{s.of(SERVICES)}",
        ),
        *(
            _ask(f"{API}/{name}?format=csv", f"{API}/{name}", "format", lambda _: "csv", limit="100")
            for name in ("commits", "deliveries", "board", "targets", "images", "workloads", "reports")
        ),
        Question(f"{API}/commits?limit=1000", f"{API}/commits", _fixed(limit="1000"), walks=True),
        Question(f"{API}/deliveries?limit=1000", f"{API}/deliveries", _fixed(limit="1000"), walks=True),
        Question("/api/deployments (Spektate's)", "/api/deployments"),
        _ask("/api/deployments?author=…", "/api/deployments", "author", lambda s: s.one("authors")),
        Question("/api/flux (Spektate's)", "/api/flux"),
    ]
