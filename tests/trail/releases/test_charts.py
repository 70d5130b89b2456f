"""Where charts stand: in git at the commit they were built from, or as versions in their repository."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.trail.following import World
from tests.trail.transcripts import CLUSTER

from fluxtrail.model.flux import SOURCE_GROUP
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.records import RepositoryRecord, SourceRecord
from fluxtrail.model.revision import version_sha
from fluxtrail.model.sources import ArtifactSource, chart_place, project_artifact_source, taken_path, url_to_ask
from fluxtrail.model.wire import WireArtifactSource

replace = msgspec.structs.replace

GIT = ObjectKey(SOURCE_GROUP, "GitRepository", "flux-system", "charts")
PLACE = ObjectKey(SOURCE_GROUP, "HelmRepository", "flux-system", "acme")
SHA = "c5ad06e797330cafe0000000000000000000beef"
OTHER = "2b09cb8a9db60cafe0000000000000000000beef"


def chart(made_from: ObjectKey, **fields: Any) -> ArtifactSource:
    reference = {"kind": made_from.kind, "name": made_from.name}
    version, built_from = fields.pop("version", None), fields.pop("built_from", None)
    document = {
        "metadata": {"name": "shop-cart", "namespace": "flux-system", "uid": "h1"},
        "spec": {"chart": fields.pop("chart", "./charts/cart"), "sourceRef": reference, "version": "6.x"},
        "status": {
            "observedSourceArtifactRevision": built_from,
            "artifact": {"revision": version, "digest": fields.pop("digest", f"sha256:{version}")} if version else None,
        },
    }
    wire = msgspec.json.decode(msgspec.json.encode(document), type=WireArtifactSource)
    return project_artifact_source(wire, kind="HelmChart")


def helm_repository(url: str) -> ArtifactSource:
    document = {"metadata": {"name": PLACE.name, "namespace": PLACE.namespace, "uid": "p1"}, "spec": {"url": url}}
    wire = msgspec.json.decode(msgspec.json.encode(document), type=WireArtifactSource)
    return project_artifact_source(wire, kind="HelmRepository")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        made.origin("charts")
        yield made


def known(world: World, item: ArtifactSource) -> tuple[SourceRecord, RepositoryRecord | None]:
    source = world.registry.sources[CLUSTER, item.key]
    return source, world.registry.repositories[source.repository_id] if source.repository_id is not None else None


# -- as they are kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "built_from", "origin"),
    [
        ("0.1.0+c5ad06e79733", f"main@sha1:{SHA}", f"main@sha1:{SHA}"),
        ("0.1.0+c5ad06e79733.4", f"main@sha1:{SHA}", f"main@sha1:{SHA}"),
        ("0.1.0+c5ad06e79733", f"main@sha1:{OTHER}", None),
        ("0.1.0", f"main@sha1:{SHA}", f"main@sha1:{SHA}"),
        ("0.1.0", f"sha256:{'a' * 64}", None),
        ("0.1.0", None, None),
    ],
    ids=["revision", "values files", "a write before its artifact", "version", "helm repository", "nothing"],
)
def test_commit_that_a_chart_was_built_from(version: str, built_from: str | None, origin: str | None) -> None:
    assert chart(GIT, version=version, built_from=built_from).origin == origin


@pytest.mark.parametrize(
    ("url", "name", "place"),
    [
        ("https://Charts.example.com/acme/", "cart", "helm://charts.example.com/acme/cart"),
        ("http://charts.example.com:8080", "cart", "helm://charts.example.com:8080/cart"),
        ("oci://ghcr.io/acme/charts", "cart", "oci://ghcr.io/acme/charts/cart"),
        ("bucket://minio.example.com/charts", "./cart", "bucket://minio.example.com/charts/cart"),
    ],
)
def test_place_of_a_chart_is_named_after_its_repository_and_itself(url: str, name: str, place: str) -> None:
    assert chart_place(url, name) == place
    assert url_to_ask("helm://charts.example.com/cart") is None


def test_version_is_followed_as_itself() -> None:
    assert version_sha("6.3.5") == version_sha("6.3.5")
    assert version_sha("6.3.5") != version_sha("6.3.6")
    assert len(version_sha("6.3.5") or "") == 64
    assert version_sha(f"main@sha1:{SHA}") is None
    assert version_sha(None) is None


def test_path_of_a_chart_is_normal() -> None:
    assert taken_path("./charts/cart/") == ("charts/cart",)
    assert taken_path("./") == ()


# -- from git -----------------------------------------------------------------------------------------------------


async def test_chart_from_git_is_followed_by_its_commit(world: World) -> None:
    sha = world.commit("charts", charts__cart__values="1")
    await world.fetch("charts", sha)
    item = await world.pull(chart(GIT, version=f"0.1.0+{sha[:12]}", built_from=f"main@sha1:{sha}"))
    source, repository = known(world, item)
    assert repository is not None
    assert not repository.is_artifact
    assert (source.sha, source.branch) == (sha, "main")
    assert source.inputs[0].key == GIT
    assert source.inputs[0].paths == ("charts/cart",)
    assert world.registry.shas[source.id] == {f"0.1.0+{sha[:12]}": sha}


async def test_source_that_moves_on_without_a_new_version_gives_no_new_chart(world: World) -> None:
    first = world.commit("charts", charts__cart__values="1")
    await world.fetch("charts", first)
    await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{first}"))
    second = world.commit("charts", charts__cart__values="2")
    await world.fetch("charts", second)
    item = await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{second}"))
    source, _ = known(world, item)
    assert source.sha == first
    third = world.commit("charts", charts__cart__values="3")
    await world.fetch("charts", third)
    await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{third}"))
    await world.pull(chart(GIT, version="0.2.0", built_from=f"main@sha1:{third}"))
    source, _ = known(world, item)
    assert source.sha == third
    assert world.registry.shas[source.id] == {"0.1.0": first, "0.2.0": third}


async def test_source_that_moves_on_is_remembered_over_a_restart(world: World) -> None:
    first = world.commit("charts", charts__cart__values="1")
    await world.fetch("charts", first)
    await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{first}"))
    await world.restart()
    second = world.commit("charts", charts__cart__values="2")
    await world.fetch("charts", second)
    item = await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{second}"))
    assert known(world, item)[0].sha == first


async def test_chart_seen_before_its_source_waits_for_it(world: World) -> None:
    sha = world.commit("charts", charts__cart__values="1")
    item = await world.pull(chart(GIT, version="0.1.0", built_from=f"main@sha1:{sha}"))
    assert known(world, item)[1] is None
    await world.fetch("charts", sha)
    source, repository = known(world, item)
    assert repository is not None
    assert (source.sha, repository.is_artifact) == (sha, False)


# -- from a Helm repository ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_seen_first", [True, False])
async def test_chart_from_a_helm_repository_is_a_version_in_its_place(world: World, is_seen_first: bool) -> None:
    if is_seen_first:
        await world.pull(helm_repository("https://charts.example.com/acme"), revision=f"sha256:{'a' * 64}")
    item = await world.pull(chart(PLACE, chart="cart", version="6.3.5", built_from=f"sha256:{'a' * 64}"))
    if not is_seen_first:
        assert known(world, item)[1] is None
        await world.pull(helm_repository("https://charts.example.com/acme"), revision=f"sha256:{'a' * 64}")
    source, repository = known(world, item)
    assert repository is not None
    assert (repository.canonical, repository.is_artifact) == ("helm://charts.example.com/acme/cart", True)
    assert source.branch == f"flux-system/shop-cart@{CLUSTER}"
    assert source.sha == version_sha("6.3.5")
    newer = await world.pull(chart(PLACE, chart="cart", version="6.4.0"))
    assert known(world, newer)[0].sha == version_sha("6.4.0")
    assert known(world, newer)[0].branch == source.branch


async def test_helm_repository_itself_is_no_change_and_is_never_asked(world: World) -> None:
    asked: list[str] = []
    world.follower._on_source = asked.append
    item = await world.pull(helm_repository("https://charts.example.com/acme"), revision=f"sha256:{'a' * 64}")
    source, repository = known(world, item)
    assert (source.url, repository, asked) == ("https://charts.example.com/acme", None, [])
    async with world.ledger.unit() as unit:
        assert await unit.fetches([source.id]) == []


async def test_oci_helm_repository_has_no_status_and_places_its_charts(world: World) -> None:
    await world.pull(helm_repository("oci://ghcr.io/acme/charts"))
    item = await world.pull(chart(PLACE, chart="cart", version="6.3.5"))
    repository = known(world, item)[1]
    assert repository is not None
    assert repository.canonical == "oci://ghcr.io/acme/charts/cart"
