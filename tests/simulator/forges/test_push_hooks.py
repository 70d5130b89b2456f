"""The simulated GitHub's webhook: what the real listener takes, in order, once, and never in anybody's way."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from fluxtrail.model.notices import Hook, NewNotice, PushNotice
from fluxtrail.simulator.clock import SimulatedClock
from fluxtrail.simulator.control_forges import ForgesControl
from fluxtrail.simulator.forges import push_hooks
from fluxtrail.simulator.forges.push_events import push_json
from fluxtrail.simulator.forges.push_hooks import PushHooks, sign
from fluxtrail.simulator.forges.server import Forges
from fluxtrail.simulator.repositories import Person, Push, Repository
from fluxtrail.web.hooks.app import create_hooks_app
from fluxtrail.web.hooks.senders import Sender

ADA = Person("Ada", "ada@acme.example")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "a secret of the webhook"
PAGES = "http://127.0.0.1:8"


class Pushes:
    """A repository, and what it said of its branch."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.seen: list[Push] = []
        repository.on_push = self.seen.append

    async def commit(self, text: str) -> str:
        made = await self.repository.commit({"a.txt": text}, f"{text}\n\nbody\n", author=ADA, at=NOON)
        return made.sha


@pytest.fixture
async def pushes(tmp_path: Path) -> Pushes:
    made = Pushes(Repository(tmp_path / "shop.git", name="acme/shop"))
    await made.repository.create()
    return made


@asynccontextmanager
async def telling(hooks: PushHooks) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(hooks.run(), name="webhook")
        yield
        task.cancel()


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hooks/github", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hooks/github"
    finally:
        await runner.cleanup()


class Kept:
    """An inbox."""

    def __init__(self) -> None:
        self.notices: list[NewNotice] = []

    async def keep(self, notices: Sequence[NewNotice]) -> None:
        self.notices += notices

    async def count(self) -> int:
        return 0


@asynccontextmanager
async def real_listener() -> AsyncIterator[tuple[str, Kept]]:
    """Serve the hooks listener's own application, through a server that hands each request over."""
    kept = Kept()
    sender = Sender(name="github", secret=SECRET, hooks=frozenset({Hook.GITHUB}))
    app = create_hooks_app([sender], kept, now=lambda: NOON, monotonic=lambda: 0.0, anonymous={})

    async def hand_over(request: web.Request) -> web.Response:
        body, sent = await request.read(), []
        scope = {
            "type": "http",
            "method": request.method,
            "path": request.path,
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return web.Response(status=sent[0]["status"])

    async with asyncio.TaskGroup() as group, serving(hand_over) as url:
        task = group.create_task(app.run(), name="hooks")
        yield url, kept
        task.cancel()


async def test_every_move_of_a_branch_comes_to_the_real_listener_in_its_order(pushes: Pushes) -> None:
    hooks = PushHooks()
    hooks.pages = PAGES
    repository = pushes.repository
    async with real_listener() as (url, kept), telling(hooks):
        repository.on_push = hooks.add
        unheard = await pushes.commit("one")
        hooks.listen(url, SECRET)
        second = await pushes.commit("two")
        merged, _ = await repository.merge([({"b.txt": "b"}, "Part")], "Merge", number=7, author=ADA, at=NOON)
        await repository.force_push(second)
        await until(lambda: hooks.counts["delivered"] == 3)
        hooks.listen("", "")
        await pushes.commit("nobody is told")
    said = [notice.said for notice in kept.notices]
    moves = [(unheard, second, False), (second, merged.sha, False), (merged.sha, second, True)]
    assert said == [
        PushNotice(repository=f"{PAGES}/acme/shop.git", ref="refs/heads/main", before=a, after=b, is_forced=is_forced)
        for a, b, is_forced in moves
    ]
    assert {notice.sender for notice in kept.notices} == {"github"}
    assert len({str(uuid.UUID(notice.key)) for notice in kept.notices}) == 3
    assert hooks.counts == {"delivered": 3, "refused": 0, "failed": 0, "dropped": 0}


async def test_a_wrong_secret_is_refused_and_nothing_comes_again(pushes: Pushes) -> None:
    hooks = PushHooks()
    async with real_listener() as (url, kept), telling(hooks):
        hooks.pages, pushes.repository.on_push = PAGES, hooks.add
        hooks.listen(url, "another secret of somebody")
        await pushes.commit("one")
        await until(lambda: hooks.counts["refused"] == 1)
    assert kept.notices == []


async def test_who_is_away_misses_what_was_pushed_and_hears_of_the_next(pushes: Pushes) -> None:
    hooks, heard = PushHooks(), list[str]()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        assert request.headers["X-Hub-Signature-256"] == sign(body, SECRET)
        assert request.headers["X-GitHub-Event"] == "push"
        heard.append(json.loads(body)["after"])
        return web.Response()

    async with serving(take) as gone:
        pass
    async with telling(hooks), serving(take) as url:
        pushes.repository.on_push = hooks.add
        hooks.listen(gone, SECRET)
        await pushes.commit("one")
        await until(lambda: hooks.counts["failed"] == 1)
        hooks.listen(url, SECRET)
        after = await pushes.commit("two")
        await until(lambda: heard)
    assert heard == [after]


async def test_who_does_not_answer_keeps_nobody_who_pushes(pushes: Pushes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_hooks, "MOST_WAITING", 2)
    hooks, asked, answer = PushHooks(), asyncio.Event(), asyncio.Event()

    async def stall(request: web.Request) -> web.Response:
        await request.read()
        asked.set()
        await answer.wait()
        return web.Response()

    async with telling(hooks), serving(stall) as url:
        hooks.listen(url, SECRET)
        pushes.repository.on_push = hooks.add
        await pushes.commit("one")
        await asyncio.wait_for(asked.wait(), 10)
        for text in ("two", "three", "four", "five"):
            await pushes.commit(text)
        assert hooks.counts["dropped"] == 2
        answer.set()
        await until(lambda: hooks.counts["delivered"] == 3)


async def test_a_body_says_what_githubs_says(pushes: Pushes) -> None:
    first = await pushes.commit("one")
    await pushes.repository.commit({"a.txt": None, "b.txt": "b"}, "Second", author=ADA, at=NOON)
    created, moved = (push_json(push, pages=PAGES) for push in pushes.seen)
    assert (created["before"], created["created"], created["forced"]) == ("0" * 40, True, False)
    assert created["repository"]["full_name"] == "acme/shop"
    assert created["repository"]["html_url"] == f"{PAGES}/acme/shop"
    assert (moved["before"], moved["created"]) == (first, False)
    [commit] = moved["commits"]
    assert (commit["added"], commit["removed"], commit["modified"]) == (["b.txt"], ["a.txt"], [])
    assert commit == moved["head_commit"]
    assert commit["author"] == {"name": "Ada", "email": "ada@acme.example", "username": "ada"}


async def test_the_remote_control_says_where_to_post() -> None:
    forges = Forges(SimulatedClock())
    forges.mounts.append(ForgesControl(forges).add_routes)
    answers = []
    async with forges, ClientSession(forges.url) as session:
        for given in ({"url": "ftp://x", "secret": "s"}, {"secret": "s"}, {"url": "http://x/hooks", "secret": "s"}):
            async with session.post("/forges/hooks", json=given) as answer:
                answers.append(answer.status)
        async with session.get("/forges") as answer:
            assert (await answer.json())["pushes"] == {"delivered": 0, "refused": 0, "failed": 0, "dropped": 0}
    assert answers == [400, 400, 200]
