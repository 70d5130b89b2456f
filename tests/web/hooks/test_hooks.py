"""What is posted to the hooks listener, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.web.hooks.conftest import (
    FORGE_SECRET,
    NOW,
    SHA,
    Post,
    World,
    argo,
    cdevent,
    counted,
    flux,
    github,
    push,
    signed,
)

from fluxtrail.model.notices import ArgoNotice, EventNotice, FluxNotice, Hook, KeptNotice, PullRequestNotice, PushNotice
from fluxtrail.web.hooks.app import HooksApp

Kept = Callable[[], Awaitable[list[KeptNotice]]]
PATHS = [
    "/gitopsphase",
    "/hooks/flux",
    "/hooks/cdevents",
    "/hooks/argocd",
    "/hooks/github",
    "/hooks/gitlab",
    "/hooks/azuredevops",
]


async def test_a_signed_event_of_flux_is_in_the_ledger_when_it_is_answered(
    post: Post, kept: Kept, world: World
) -> None:
    body = flux()
    answer = await post("/hooks/flux", body, signed(body))
    assert (answer.status, answer.body) == (202, b"accepted\n")
    (notice,) = await kept()
    assert (notice.hook, notice.sender, notice.received_at) == (Hook.FLUX, "prod", NOW)
    assert isinstance(notice.said, FluxNotice)
    assert (notice.said.kind, notice.said.namespace, notice.said.name) == ("Kustomization", "flux-system", "apps")
    assert notice.said.metadata["revision"] == f"main@sha1:{SHA}"
    assert world.woken == 1


@pytest.mark.parametrize(("body", "said"), [(flux(), FluxNotice), (argo(), ArgoNotice)], ids=["flux", "argo"])
async def test_what_gitops_connector_takes_is_answered_200_and_never_echoed(
    post: Post, kept: Kept, body: bytes, said: type
) -> None:
    answer = await post("/gitopsphase", body, signed(body))
    assert (answer.status, answer.headers["content-type"], answer.body) == (
        *(200, "text/plain; charset=utf-8"),
        b"accepted\n",
    )
    (notice,) = await kept()
    assert notice.hook is Hook.GITOPSPHASE
    assert type(notice.said) is said


async def test_argo_cd_has_a_hook_of_its_own(post: Post, kept: Kept) -> None:
    body = argo()
    assert (await post("/hooks/argocd", body, signed(body))).status == 202
    (notice,) = await kept()
    assert isinstance(notice.said, ArgoNotice)
    assert notice.said.commit == SHA


@pytest.mark.parametrize("is_binary", [False, True])
async def test_cdevents_come_by_themselves_or_in_a_binary_cloud_event(post: Post, kept: Kept, is_binary: bool) -> None:
    body = cdevent()
    headers = signed(body, FORGE_SECRET)
    if is_binary:
        headers |= {"ce-id": "1", "ce-source": "/x", "ce-type": "y", "ce-specversion": "1.0"}
    assert (await post("/hooks/cdevents", body, headers)).status == 202
    (notice,) = await kept()
    assert isinstance(notice.said, EventNotice)
    assert (notice.said.type, notice.sender, notice.key) == (
        *("dev.cdevents.change.merged.0.3.0", "forge"),
        "/forge/acme 271069a8",
    )


async def test_github_tells_of_pushes_and_pull_requests(post: Post, kept: Kept) -> None:
    body = push()
    assert (await post("/hooks/github", body, github(body))).status == 202
    pull = {"number": 7, "base": {"ref": "main"}, "merged": True, "merge_commit_sha": SHA}
    other = json.dumps(
        {"action": "closed", "number": 7, "pull_request": pull, "repository": {"clone_url": "https://github.com/a/b"}}
    ).encode()
    assert (await post("/hooks/github", other, github(other, "pull_request", "d-2"))).status == 202
    first, second = await kept()
    assert isinstance(first.said, PushNotice)
    assert (first.said.after, first.key) == (SHA, "d-1")
    assert isinstance(second.said, PullRequestNotice)
    assert second.said.merge_sha == SHA


async def test_an_event_of_no_use_is_taken_and_forgotten(post: Post, kept: Kept, app: HooksApp) -> None:
    body = b'{"zen": "Design for failure."}'
    assert (await post("/hooks/github", body, github(body, "ping"))).status == 202
    assert await kept() == []
    assert counted(app)["ignored", "github"] == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_a_hook_takes_post_only(post: Post, path: str, method: str) -> None:
    answer = await post(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "path", ["/", "/hooks", "/hooks/", "/hooks/flux/x", "/HOOKS/FLUX", "/healthz", "/metrics", "/é"]
)
async def test_another_path_is_not_found_and_the_hooks_are_named(post: Post, path: str) -> None:
    answer = await post(path, flux(), signed(flux()))
    assert (answer.status, answer.problem["code"]) == (404, "not_found")
    assert "/hooks/flux" in answer.problem["detail"]


async def test_a_slash_at_the_end_and_a_query_change_nothing(post: Post, kept: Kept) -> None:
    body = flux()
    assert (await post("/hooks/flux/?x=1", body, signed(body))).status == 202
    assert len(await kept()) == 1


async def test_the_same_again_is_answered_the_same_and_kept_once(post: Post, kept: Kept, app: HooksApp) -> None:
    event, pushed = flux(), push()
    for _ in range(3):
        assert (await post("/hooks/flux", event, signed(event))).status == 202
        assert (await post("/hooks/github", pushed, github(pushed))).status == 202
        assert (await post("/hooks/cdevents", cdevent(), signed(cdevent(), FORGE_SECRET))).status == 202
    assert [notice.hook for notice in await kept()] == [Hook.FLUX, Hook.GITHUB, Hook.CDEVENTS]
    assert counted(app)["repeated",] == 6


async def test_what_may_be_news_is_kept_again(post: Post, kept: Kept) -> None:
    """Argo CD's notifications, and events without a time, do not tell a second delivery from a second event."""
    undated = flux(timestamp=None)
    for _ in range(2):
        await post("/hooks/argocd", argo(), signed(argo()))
        await post("/hooks/flux", undated, signed(undated))
    assert len(await kept()) == 4


async def test_another_delivery_of_another_event_is_kept(post: Post, kept: Kept) -> None:
    for number, body in enumerate([push(), push(), push(after="2" * 40)]):
        await post("/hooks/github", body, github(body, delivery=f"d-{number}"))
    assert [notice.key for notice in await kept()] == ["d-0", "d-1", "d-2"]


@pytest.mark.parametrize("delivery", ["x" * 5000, "\x80é", " "])
async def test_a_strange_key_is_kept_as_its_digest(post: Post, kept: Kept, delivery: str) -> None:
    body = push()
    headers: dict[str, Any] = github(body) | {"X-GitHub-Delivery": delivery}
    assert (await post("/hooks/github", body, headers)).status == 202
    (notice,) = await kept()
    assert notice.key.isascii()
    assert len(notice.key) <= 200


async def test_it_counts(post: Post, app: HooksApp) -> None:
    body = flux()
    await post("/hooks/flux", body, signed(body))
    await post("/hooks/flux", b"{", signed(b"{"))
    await post("/nothing")
    assert counted(app) == {
        ("accepted", "flux", "true"): 1,
        ("refused", "flux", "unreadable"): 1,
        ("refused", "none", "not_found"): 1,
        ("received_bytes", "flux"): len(body) + 1,
        ("repeated",): 0,
        ("transactions",): 1,
        ("failed_transactions",): 0,
        ("queue",): 0,
        ("backlog",): 1,
    }
