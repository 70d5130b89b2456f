"""What runs in the small world: workloads that do and do not, images and what they were built from, chains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from fluxtrail.model.moment import Evidence, exact
from fluxtrail.model.views import (
    BlockerView,
    ChainLink,
    ChainView,
    CommitView,
    DeliveryView,
    ImageDetail,
    ImageRunView,
    ImageView,
    TrailView,
    WorkloadView,
)

SHOP, MANIFESTS = "github.com/acme/shop", "github.com/acme/manifests"
EVERYWHERE = "4e1f0a2c3b5d697887a6b5c4d3e2f10918273645"
ON_ITS_WAY = "9f3c1ab27de45061cc8a3b9d04e7f21a6b5c8d90"
INDEX = "sha256:" + "1d" * 32
ARM, AMD = "sha256:" + "2a" * 32, "sha256:" + "2b" * 32
PRIVATE = "sha256:" + "3c" * 32
PENDING = "sha256:" + "4d" * 32
BACK_OFF = 'Back-off pulling image "ghcr.io/acme/checkout:v1.5.0": not found'
BLOCKED = BlockerView(
    workload="Deployment/shop/checkout",
    state="blocked",
    cause="image_pull",
    message=BACK_OFF,
    pod="checkout-7d9c5b9f4-x2x9p",
    container="checkout",
    since=datetime(2026, 11, 20, 10, 2, 30, tzinfo=UTC),
)
ROLLING_SET = BlockerView(workload="StatefulSet/shop/search", state="progressing", since=BLOCKED.since)


def at(seconds: float) -> datetime:
    return datetime(2026, 11, 20, 10, 0, tzinfo=UTC) + timedelta(seconds=seconds)


def workload(number: int, name: str, state: str, *, kind: str = "Deployment", **known: Any) -> WorkloadView:
    base = WorkloadView(
        id=number,
        cluster="prod-eu",
        cluster_uid="uid-prod-eu",
        workload=f"{kind}/shop/{name}",
        target="Kustomization/flux-system/apps",
        target_id=1,
        state=state,
        since=at(150),
        generation=3,
        rolled_generation=3 if state == "rolled_out" else 2,
        rolled=exact(at(150 if state == "rolled_out" else -7000), Evidence.PODS_READY),
        images={name: f"ghcr.io/acme/{name}:v1.4.2"},
        digests={name: INDEX} if state == "rolled_out" else {},
        observed_at=at(1795),
    )
    return msgspec.structs.replace(base, **known)


def workloads() -> list[WorkloadView]:
    return [
        workload(
            1, "migrate", "failed", kind="Job", cause="job_failed", message="Job has reached its backoff limit"
        ),
        workload(
            2, "checkout", "blocked", cause="image_pull", message=BACK_OFF, pod="checkout-7d9c5b9f4-x2x9p",
            container="checkout", images={"checkout": "ghcr.io/acme/checkout:v1.5.0"},
        ),
        workload(3, "search", "progressing", kind="StatefulSet", cluster="prod-us", cluster_uid="uid-prod-us"),
        workload(4, "report", "absent", kind="CronJob", rolled=None, rolled_generation=0),
        workload(5, "cart", "rolled_out"),
    ]  # fmt: skip


def image(digest: str, name: str, **known: Any) -> ImageView:
    base = ImageView(
        digest=digest,
        repository=f"ghcr.io/acme/{name}",
        state="known",
        tags=["v1.4.2"],
        created_at=at(-3000),
        source=SHOP,
        revision=EVERYWHERE,
        version="1.4.2",
        is_followed=True,
        is_attested=True,
        checked_at=at(100),
        running=3,
        clusters=["prod-eu", "prod-us"],
        since=at(200),
    )
    return msgspec.structs.replace(base, **known)


def images() -> list[ImageView]:
    unknown: dict[str, Any] = {
        "source": None, "revision": None, "version": "", "is_followed": False, "created_at": None, "is_attested": None,
    }  # fmt: skip
    return [
        image(INDEX, "cart", is_index=True),
        image(
            PRIVATE, "payments", state="private", running=1, clusters=["prod-eu"], checked_at=at(90),
            problem="ghcr.io wants a login for acme/payments: add one to credentials", **unknown,
        ),
        image(
            PENDING, "search", state="pending", tags=["latest"], running=1, clusters=["staging"], checked_at=None,
            **{**unknown, "is_attested": False},
        ),
    ]  # fmt: skip


def run(digest: str, cluster: str, name: str, since: float, until: float | None = None) -> ImageRunView:
    return ImageRunView(
        cluster=cluster,
        cluster_uid=f"uid-{cluster}",
        workload=f"Deployment/shop/{name}",
        container=name,
        digest=digest,
        image=f"ghcr.io/acme/{name}:v1.4.2",
        since=at(since),
        until=at(until) if until is not None else None,
    )


def details() -> dict[str, ImageDetail]:
    index, private, pending = images()
    platforms = [
        image(digest, "cart", index_digest=INDEX, platform=platform, running=count, clusters=[cluster])
        for digest, platform, count, cluster in ((AMD, "linux/amd64", 2, "prod-eu"), (ARM, "linux/arm64", 1, "prod-us"))
    ]
    runs = [run(AMD, "prod-eu", "cart", 200), run(ARM, "prod-us", "cart", 260), run(AMD, "staging", "cart", -900, 600)]
    found = {INDEX: ImageDetail(image=index, related=platforms, runs=runs)}
    for one in platforms:
        found[one.digest] = ImageDetail(
            image=one, related=[index, *(other for other in platforms if other is not one)], runs=runs
        )
    found[PRIVATE] = ImageDetail(image=private, runs=[run(PRIVATE, "prod-eu", "payments", 300)])
    found[PENDING] = ImageDetail(image=pending, runs=[run(PENDING, "staging", "search", 400)])
    return found


def _link(relation: str, kind: str, namespace: str, name: str, **known: Any) -> ChainLink:
    group = {"Deployment": "apps", "Kustomization": "kustomize.toolkit.fluxcd.io"}.get(kind, "")
    ready: dict[str, Any] = {"ready": "True", "reason": "ReconciliationSucceeded", "last_reconciled": at(145)}
    base = ChainLink(relation=relation, kind=kind, group=group, namespace=namespace, name=name)
    return msgspec.structs.replace(base, **(({} if kind in ("Pod", "Deployment", "Commit") else ready) | known))


def chain() -> ChainView:
    """A pod of a chart that a Kustomization brought."""
    revision = f"main@sha1:{EVERYWHERE}"
    return ChainView(
        cluster="prod-eu",
        cluster_uid="uid-prod-eu",
        links=[
            _link("asked", "Deployment", "shop", "cart"),
            _link("applied_by", "HelmRelease", "shop", "cart", revision="6.3.5", branch="cart"),
            _link("chart", "HelmChart", "flux-system", "shop-cart", revision="6.3.5", branch="cart 6.3.5"),
            _link(
                "source", "HelmRepository", "flux-system", "acme", url="https://charts.acme.dev/stable", ready="False",
                reason="IndexationFailed", message="failed to fetch the index: 503",
            ),
            _link("applied_by", "Kustomization", "flux-system", "apps", revision=revision, path="./apps"),
            _link(
                "source", "GitRepository", "flux-system", "manifests", revision=revision, branch="main",
                url="https://github.com/acme/manifests", repository=MANIFESTS, sha=EVERYWHERE,
            ),
            _link("revision", "Commit", "", EVERYWHERE, revision=revision, repository=SHOP, sha=EVERYWHERE),
        ],
    )  # fmt: skip


def broken_chain() -> ChainView:
    return ChainView(
        cluster="prod-us",
        cluster_uid="uid-prod-us",
        links=[
            _link("asked", "Deployment", "shop", "cart"),
            _link("applied_by", "HelmRelease", "shop", "cart", found=False),
        ],
        problem="HelmRelease/shop/cart is named, and is not there",
    )


ROLLING = "5ca1ab1e00112233445566778899aabbccddeeff"


def rolling() -> TrailView:
    """Applied everywhere: runs on one cluster, is stuck on one, has nothing to run on one, and is not known on one."""
    merged = exact(at(0), Evidence.PULL_REQUEST)
    stages = {
        "merged": merged,
        "fetched": exact(at(14), Evidence.ARTIFACT),
        "applied": exact(at(71), Evidence.READY_CONDITION),
    }
    checked = stages | {
        "healthy": exact(at(130), Evidence.READY_CONDITION),
        "running": exact(at(125), Evidence.PODS_READY),
    }

    def delivery(target_id: int, cluster: str, running: str, **known: Any) -> DeliveryView:
        base = DeliveryView(
            sha=ROLLING, repository=SHOP, cluster=cluster, cluster_uid=f"uid-{cluster}", verdict="deployed",
            target="Kustomization/flux-system/apps", target_id=target_id, since=at(71), is_settled=True,
            revision=f"main@sha1:{ROLLING}", stages=stages, running=running,
        )  # fmt: skip
        return msgspec.structs.replace(base, **known)

    return TrailView(
        commit=CommitView(
            sha=ROLLING, repository=SHOP, subject="Sell by the dozen", author="Jane Doe", committed_at=at(-90),
            merged=merged, pull_request=None, is_carrier=False, web_url=None, verdicts={"deployed": 4},
        ),
        queried=ROLLING,
        deliveries=[
            delivery(1, "prod-eu", "waiting", blockers=[BLOCKED, ROLLING_SET]),
            delivery(2, "prod-us", "reached", stages=checked, since=at(130)),
            delivery(3, "staging", "absent"),
            delivery(5, "edge", "unknown"),
        ],
        is_settled=True,
    )  # fmt: skip
