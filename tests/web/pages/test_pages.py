"""The pages as a browser without scripts reads them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest
from tests.web.conftest import Answer, Ask
from tests.web.worlds import FAILED, ON_ITS_WAY, World

from fluxtrail.web.pages.assets import assets

PAGES = ("/", "/board", "/commits", "/search", "/search?q=checkout")
HTML = {"Accept": "text/html,*/*;q=0.1"}
VOID = {"meta", "link", "input", "br"}


class Read(HTMLParser):
    """What a page has: its links, its ids, its scripts; whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str | None] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.attributes |= set(known)
        if tag == "a":
            self.links.append(known.get("href") or "")
        if tag == "script":
            self.scripts.append(known.get("src"))
        if known.get("id"):
            self.ids.append(str(known["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An SVG's."""

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def text_of(answer: Answer) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.body.decode()))


@pytest.mark.parametrize("path", PAGES)
async def test_page_is_whole_and_has_nothing_that_its_policy_forbids(ask: Ask, path: str) -> None:
    answer = await ask("api", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    read = Read(answer.body.decode())
    assert (read.open, read.wrong) == ([], [])
    assert len(read.ids) == len(set(read.ids))
    assert all(src is not None and src.startswith("/static/") for src in read.scripts)
    assert not {name for name in read.attributes if name == "style" or name.startswith("on")}
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
async def test_what_htmx_swaps_in_is_the_same_without_the_frame(ask: Ask, path: str) -> None:
    fragment = (await ask("api", path, headers={"HX-Request": "true"})).body.decode()
    assert "<header" not in fragment.split("<main")[0]
    assert 'id="main"' in fragment
    whole = await ask("api", path, headers={"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert whole.body.startswith(b"<!doctype html>")


async def test_overview_tells_what_is_on_its_way_and_what_fails(ask: Ask) -> None:
    text = text_of(await ask("api", "/"))
    assert "Raise the checkout timeout to 30 seconds (#12)" in text
    assert "kustomize build failed" in text
    assert "BuildFailed" in text
    for cluster in ("prod-eu", "prod-us", "staging"):
        assert cluster in text


async def test_board_has_a_row_for_each_commit_and_a_word_for_each_verdict(ask: Ask) -> None:
    answer = await ask("api", "/board")
    text = text_of(answer)
    assert "syncing" in text
    assert "not affected" in text
    assert "lost" in text
    read = Read(answer.body.decode())
    assert f"/commits/{ON_ITS_WAY}#staging" in read.links


async def test_filters_stand_in_the_address_in_the_form_and_as_chips(ask: Ask) -> None:
    answer = await ask("api", "/board?verdict=failed&cluster=prod-eu&since=2026-11-20T09:00:00Z")
    read = Read(answer.body.decode())
    assert "/board?verdict=failed&since=2026-11-20T09%3A00%3A00Z" in read.links  # without the cluster
    assert "/board" in read.links  # without any
    api = next(link for link in read.links if link.startswith("/api/v1/board"))
    assert (await ask("api", api)).status == 200
    table = next(link for link in read.links if "format=csv" in link)
    assert (await ask("api", table)).headers["content-type"].startswith("text/csv")
    assert re.search(r'<option value="failed"\s+selected', answer.body.decode())


async def test_time_ago_of_a_page_is_an_instant_for_the_api(ask: Ask) -> None:
    read = Read((await ask("api", "/commits?since=24h")).body.decode())
    api = next(link for link in read.links if link.startswith("/api/v1/commits"))
    assert "since=2026-11-19T10%3A30" in api
    assert (await ask("api", api)).status == 200


async def test_empty_fields_of_a_form_leave_the_address(ask: Ask) -> None:
    answer = await ask("api", "/board?text=&verdict=failed&author=", allow_redirects=False)
    assert (answer.status, answer.headers["location"]) == (303, "/board?verdict=failed")


async def test_list_without_anything_says_so(ask: Ask, world: World) -> None:
    world.trails = {}
    assert "No commit yet" in text_of(await ask("api", "/board"))
    assert "No commit yet" in text_of(await ask("api", "/commits"))
    assert "No commit is like that" in text_of(await ask("api", "/commits?author=nobody"))
    assert "Everything has arrived" in text_of(await ask("api", "/"))


async def test_pages_of_a_list_follow_each_other(ask: Ask) -> None:
    first = Read((await ask("api", "/commits?limit=2")).body.decode())
    behind = next(link for link in first.links if "cursor=" in link)
    second = await ask("api", behind)
    assert second.status == 200
    assert "not from the beginning" in text_of(second)
    assert "/commits?limit=2" in Read(second.body.decode()).links


# errors


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/board?verdct=failed", 400, "accepted here: by, repository, author"),
        ("/board?verdict=best", 400, "verdict=best"),
        ("/board?since=soon", 400, "how long ago, such as 90m"),
        ("/commits?limit=0", 400, "limit=0"),
        ("/?x=1", 400, "accepted here: by"),
        ("/nowhere", 404, "There is nothing at this address"),
        ("/static/none.js", 404, "there is no such file"),
    ],
)
async def test_what_is_wrong_is_said_on_a_page(ask: Ask, path: str, status: int, said: str) -> None:
    answer = await ask("api", path, headers=HTML)
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert said.lower() in text_of(answer).replace("&#39;", "'").lower()


async def test_ledger_that_cannot_be_read_is_a_page_too(ask: Ask, world: World) -> None:
    world.fails = True
    answer = await ask("api", "/")
    assert answer.status == 503
    assert "Cannot answer now" in text_of(answer)


async def test_who_asks_for_no_page_gets_problem_details(ask: Ask) -> None:
    for path in ("/nowhere", "/api/v1/nowhere"):
        answer = await ask("api", path, headers={"Accept": "*/*"})
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await ask("api", "/api/v1/nowhere", headers=HTML)
    assert answer.headers["content-type"] == "application/problem+json"


# what others write


async def test_script_in_a_commit_message_is_text(ask: Ask, world: World) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
    for sha in (ON_ITS_WAY, FAILED):
        trail = world.trails[sha]
        commit = msgspec.structs.replace(trail.commit, subject=evil, author=evil)
        deliveries = [msgspec.structs.replace(one, message=evil, reason=evil) for one in trail.deliveries]
        world.trails[sha] = msgspec.structs.replace(trail, commit=commit, deliveries=deliveries)
    for path in (*PAGES, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/board?text=%3Cscript%3Ealert(1)"):
        answer = await ask("api", path)
        assert b"<script>alert" not in answer.body
        assert b"<img" not in answer.body
        assert not {name for name in Read(answer.body.decode()).attributes if name.startswith("on")}


# search


async def test_search_finds_commits_targets_and_pages(ask: Ask) -> None:
    links = Read((await ask("api", "/search?q=checkout")).body.decode()).links
    assert f"/commits/{ON_ITS_WAY}" in links
    assert "/targets/4" in Read((await ask("api", "/search?q=infra")).body.decode()).links
    assert "Nothing is called so" in text_of(await ask("api", "/search?q=zzzz"))


async def test_sha_that_means_one_commit_leads_to_it(ask: Ask) -> None:
    answer = await ask("api", f"/search?q={ON_ITS_WAY[:8]}", allow_redirects=False)
    assert (answer.status, answer.headers["location"]) == (303, f"/commits/{ON_ITS_WAY}")
    assert (await ask("api", f"/search?q={ON_ITS_WAY[:8]}&part=list")).status == 200


# colours and files


async def test_colours_are_kept_in_a_cookie(ask: Ask) -> None:
    answer = await ask("api", "/theme?to=dark&back=/board%3Fby%3Dcluster", allow_redirects=False)
    assert (answer.status, answer.headers["location"]) == (303, "/board?by=cluster")
    assert answer.headers["set-cookie"].startswith("fluxtrail-theme=dark")
    page = await ask("api", "/", headers={"Cookie": "fluxtrail-theme=dark"})
    assert b'<html lang="en" data-theme="dark">' in page.body
    odd = await ask("api", "/", headers={"Cookie": 'fluxtrail-theme="><script>'})
    assert b'<html lang="en">' in odd.body


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "/\\evil.example", "evil"])
async def test_switch_of_colours_leads_nowhere_else(ask: Ask, back: str) -> None:
    answer = await ask("api", f"/theme?to=light&back={back}", allow_redirects=False)
    assert answer.headers["location"] == "/"


async def test_files_are_kept_by_the_address_that_names_their_content(ask: Ask) -> None:
    tag = assets()["app.css"].tag
    known = await ask("api", f"/static/app.css?v={tag}")
    assert (known.status, known.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in known.headers["cache-control"]
    assert known.headers["x-content-type-options"] == "nosniff"
    for path in ("/static/app.css", "/static/app.css?v=old"):
        assert (await ask("api", path)).headers["cache-control"] == "no-cache"
    again = await ask("api", "/static/app.css", headers={"If-None-Match": f'"{tag}"'})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"])
async def test_nothing_else_is_served(ask: Ask, path: str) -> None:
    assert (await ask("api", path)).status == 404


def test_scripts_weigh_less_than_200_kilobytes() -> None:
    scripts = {name: len(asset.content) for name, asset in assets().items() if name.endswith(".js")}
    assert sum(scripts.values()) < 200_000
    assert sum(size for name, size in scripts.items() if not name.startswith("vendor/")) < 30_000
