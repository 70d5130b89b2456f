"""`/api/v1/workloads`, `/images` and `/chains`, and the gauges over what does not run."""

from __future__ import annotations

import msgspec
import pytest
from tests.web.conftest import Ask
from tests.web.runs import AMD, ARM, EVERYWHERE, INDEX, PENDING, PRIVATE
from tests.web.worlds import World

from fluxtrail.model.views import ChainView, ImageDetail, ImageView, WorkloadView

API = "/api/v1"


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("?state=blocked", [2]),
        ("?cause=job_failed", [1]),
        ("?cluster=prod-us", [3]),
        ("?cluster=uid-prod-eu&state=rolled_out", [5]),
        ("?namespace=pay", []),
        ("?target=apps&limit=2", [1, 2]),
        ("?limit=2&cursor=2", [3, 4]),
    ],
)
async def test_workloads_are_listed_and_narrowed(ask: Ask, query: str, ids: list[int]) -> None:
    answer = await ask("api", f"{API}/workloads{query}")
    assert answer.status == 200
    assert [item["id"] for item in answer.json["items"]] == ids
    msgspec.convert(answer.json["items"], list[WorkloadView])


@pytest.mark.parametrize(
    ("query", "digests"),
    [
        ("", [INDEX, PRIVATE, PENDING]),
        ("?state=private", [PRIVATE]),
        ("?text=cart:v1.4.2", [INDEX]),
        ("?text=sha256:4d4d", [PENDING]),
        ("?cluster=staging", [PENDING]),
        ("?namespace=pay", []),
    ],
)
async def test_images_are_listed_and_narrowed(ask: Ask, query: str, digests: list[str]) -> None:
    answer = await ask("api", f"{API}/images{query}")
    assert [item["digest"] for item in answer.json["items"]] == digests
    msgspec.convert(answer.json["items"], list[ImageView])


@pytest.mark.parametrize("asked", [INDEX, INDEX[:13], INDEX.removeprefix("sha256:").upper(), AMD])
async def test_an_image_is_found_by_any_of_its_digests(ask: Ask, asked: str) -> None:
    answer = await ask("api", f"{API}/images/{asked}")
    detail = msgspec.convert(answer.json, ImageDetail)
    assert {detail.image.digest, *(image.digest for image in detail.related)} == {INDEX, AMD, ARM}
    assert [run.cluster for run in detail.runs if run.until is None] == ["prod-eu", "prod-us"]


async def test_a_beginning_of_several_digests_lists_them(ask: Ask, world: World) -> None:
    world.images[PRIVATE.replace("3c", "2c")] = world.images[PRIVATE]
    world.images[INDEX[:-4] + "ffff"] = world.images[INDEX]
    answer = await ask("api", f"{API}/images/{INDEX[:20]}")
    assert (answer.status, answer.json["code"]) == (409, "ambiguous")
    assert {item["repository"] for item in answer.json["candidates"]} == {"ghcr.io/acme/cart"}


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/images/sha256:9999", 404, "/api/v1/images"),
        ("/images/cart:v1", 400, "names are found by /api/v1/images?text="),
        ("/images/abc", 400, "digest='abc'"),
        ("/images?state=known&digest=x", 400, "digest='x'"),
        ("/images?state=lost", 400, "state='lost'"),
        ("/workloads?cause=bad_luck", 400, "cause='bad_luck'"),
        ("/workloads?cursor=x", 400, "cursor='x'"),
        ("/chains/widget/shop/cart", 404, "Write it with its group"),
        ("/chains/deploy/shop/basket", 404, "Is the namespace right?"),
        ("/chains/deploy/sh%20op/cart", 400, "a namespace as Kubernetes has it"),
        ("/chains/de%0Aploy/shop/cart", 400, "a kind as Kubernetes has it"),
    ],
)
async def test_what_cannot_be_answered_says_why(ask: Ask, path: str, status: int, said: str) -> None:
    answer = await ask("api", API + path)
    assert answer.status == status
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    ("path", "clusters"),
    [
        ("deploy/shop/cart", ["prod-eu", "prod-us"]),
        ("Deployment/-/cart", ["prod-eu", "prod-us"]),
        ("deployment/shop/cart?cluster=prod-us", ["prod-us"]),
    ],
)
async def test_chains_are_one_a_cluster(ask: Ask, path: str, clusters: list[str]) -> None:
    answer = await ask("api", f"{API}/chains/{path}")
    chains = msgspec.convert(answer.json["items"], list[ChainView])
    assert [chain.cluster for chain in chains] == clusters


async def test_a_chain_ends_with_its_commit(ask: Ask) -> None:
    (chain,) = (await ask("api", f"{API}/chains/deploy/shop/cart?cluster=prod-eu")).json["items"]
    assert [link["relation"] for link in chain["links"]] == [
        "asked", "applied_by", "chart", "source", "applied_by", "source", "revision",
    ]  # fmt: skip
    trail = await ask("api", f"{API}/commits/{chain['links'][-1]['sha']}")
    assert trail.json["commit"]["sha"] == EVERYWHERE


async def test_what_does_not_run_is_a_gauge(ask: Ask) -> None:
    text = (await ask("metrics", "/metrics")).body.decode()
    target = 'cluster="prod-us",kind="Kustomization",name="apps",namespace="flux-system"'
    stuck = [line for line in text.splitlines() if line.startswith("fluxtrail_workloads_not_running{")]
    assert sorted(_sorted_labels(line) for line in stuck) == [
        f'fluxtrail_workloads_not_running{{cause="image_pull",{target}}} 2.0',
        f'fluxtrail_workloads_not_running{{cause="progressing",{target}}} 1.0',
    ]
    assert 'fluxtrail_images{cluster="prod-us",state="known"} 4.0' in text


def _sorted_labels(line: str) -> str:
    head, _, rest = line.partition("{")
    labels, _, value = rest.partition("}")
    return f"{head}{{{','.join(sorted(labels.split(',')))}}}{value}"
