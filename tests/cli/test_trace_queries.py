"""What is traced: commits, images, objects; and what each form may mean."""

from __future__ import annotations

import msgspec
import pytest
from tests.cli.conftest import Invoke
from tests.web.runs import AMD, EVERYWHERE, INDEX
from tests.web.worlds import World

from fluxtrail.cli.trace_queries import NO_NAMESPACE, Way, read_query
from fluxtrail.model.kinds import find_kind

HEX = "9f3c1ab2"


@pytest.mark.parametrize(
    ("query", "ways"),
    [
        (HEX, [Way.TRAIL, Way.IMAGE]),
        ("#12", [Way.TRAIL]),
        ("acme/shop#12", [Way.TRAIL]),
        (f"acme/shop@{HEX}", [Way.TRAIL]),
        (f"main@sha1:{HEX}", [Way.TRAIL]),
        (f"sha256:{HEX}", [Way.IMAGE, Way.TRAIL]),
        (f"ghcr.io/acme/shop@sha256:{HEX}", [Way.IMAGE, Way.TRAIL]),
        (f"latest@sha256:{HEX}", [Way.TRAIL]),
        ("ghcr.io/acme/shop:v1", [Way.IMAGE_NAME, Way.TRAIL]),
        ("ghcr.io/acme/shop", [Way.OBJECT, Way.IMAGE_NAME, Way.TRAIL]),
        ("registry.local:5000/acme/shop:v1", [Way.IMAGE_NAME, Way.TRAIL]),
        ("nginx", [Way.IMAGE_NAME, Way.TRAIL]),
        ("acme/shop", [Way.OBJECT, Way.IMAGE_NAME, Way.TRAIL]),
        ("deploy/web", [Way.OBJECT]),
        ("deployments/shop/web", [Way.OBJECT]),
        ("hr/web", [Way.OBJECT]),
        ("ks/apps", [Way.OBJECT, Way.TRAIL]),
        ("Kustomization/flux-system/apps", [Way.OBJECT, Way.TRAIL]),
        ("rollouts.argoproj.io/web", [Way.OBJECT, Way.IMAGE_NAME, Way.TRAIL]),
        ("/web", [Way.IMAGE_NAME, Way.TRAIL]),
    ],
)
def test_a_query_is_read_by_its_form(query: str, ways: list[Way]) -> None:
    assert [reading.way for reading in read_query(query, namespace=None)] == ways


@pytest.mark.parametrize(
    ("query", "namespace", "expected"),
    [
        ("deploy/web", None, ("deploy", NO_NAMESPACE, "web")),
        ("deploy/web", "shop", ("deploy", "shop", "web")),
        ("deploy web", "shop", ("deploy", "shop", "web")),
        ("deploy/shop/web", None, ("deploy", "shop", "web")),
        ("deploy/shop/web", "shop", ("deploy", "shop", "web")),
        ("ns/shop", "shop", ("ns", NO_NAMESPACE, "shop")),
    ],
)
def test_an_object_has_its_namespace(query: str, namespace: str | None, expected: tuple[str, str, str]) -> None:
    (reading,) = read_query(query, namespace=namespace)
    assert (reading.kind, reading.namespace, reading.text) == expected


@pytest.mark.parametrize("query", ["web", "deploy/shop/web", HEX])
def test_a_namespace_is_of_objects_alone(query: str) -> None:
    assert read_query(query, namespace="pay") == []


@pytest.mark.parametrize(
    ("text", "group", "kind"),
    [
        ("deploy", "apps", "Deployment"),
        ("Deployments.apps", "apps", "Deployment"),
        ("STS", "apps", "StatefulSet"),
        ("po", "", "Pod"),
        ("cronjobs", "batch", "CronJob"),
        ("hr", "helm.toolkit.fluxcd.io", "HelmRelease"),
        ("gitrepositories", "source.toolkit.fluxcd.io", "GitRepository"),
        ("ks", "kustomize.toolkit.fluxcd.io", "Kustomization"),
        ("networkpolicies", "networking.k8s.io", "NetworkPolicy"),
        ("ingresses", "networking.k8s.io", "Ingress"),
        ("Rollout.argoproj.io", "argoproj.io", "rollout"),
    ],
)
def test_kinds_are_known_by_all_their_names(text: str, group: str, kind: str) -> None:
    assert find_kind(text) == (group, kind)


@pytest.mark.parametrize("text", ["widget", "", ".io", "widget."])
def test_what_no_name_tells_is_no_kind(text: str) -> None:
    assert find_kind(text) is None


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["deploy/basket", "-n", "shop"], 1, "Is the namespace right?"),
        (["deploy/basket"], 1, "no cluster has 'deploy/basket' in any namespace"),
        ([" "], 2, "an empty text names nothing"),
        (["widget/cart"], 1, "Write it with its group"),
        (["ghcr.io/acme/nothing:v1"], 1, "no image that runs is called"),
        (["sha256:9999"], 1, "no image that runs or ran has the digest"),
        (["web", "-n", "shop"], 2, "write kind/name"),
        (["payments", "-w"], 2, "leads to no single commit"),
    ],
)
async def test_what_is_not_found_says_where_to_look(
    invoke: Invoke, arguments: list[str], exit_code: int, said: str
) -> None:
    result = await invoke("trace", *arguments)
    assert (result.exit_code, said in result.output) == (exit_code, True), result.output


async def test_a_sha_that_is_no_commit_may_be_a_digest(invoke: Invoke) -> None:
    result = await invoke("trace", INDEX.removeprefix("sha256:")[:8], "-o", "name")
    assert result.stdout == f"image/ghcr.io/acme/cart@{INDEX}\n"


async def test_a_digest_of_several_images_lists_them(invoke: Invoke, world: World) -> None:
    twin = msgspec.structs.replace(world.images[AMD].image, digest=AMD[:-4] + "ffff")
    world.images[twin.digest] = msgspec.structs.replace(world.images[AMD], image=twin)
    result = await invoke("trace", AMD[:20])
    assert result.exit_code == 2
    assert AMD in result.output


async def test_a_name_of_too_many_images_lists_them(invoke: Invoke, world: World) -> None:
    detail = world.images[INDEX]
    for number in range(6):
        digest = f"sha256:{number}e".ljust(71, "e")
        image = msgspec.structs.replace(detail.image, digest=digest, tags=[f"v{number}"])
        world.images[digest] = msgspec.structs.replace(detail, image=image)
    result = await invoke("trace", "ghcr.io/acme/cart")
    assert result.exit_code == 2
    assert "may mean 7 images; give a tag or a digest" in result.output
    narrowed = await invoke("trace", "ghcr.io/acme/cart:v3")
    assert narrowed.stdout.startswith("ghcr.io/acme/cart:v3 ")


async def test_an_image_watched_is_its_commit_watched(invoke: Invoke) -> None:
    result = await invoke("trace", "ghcr.io/acme/cart:v1.4.2", "-w", "-o", "name")
    assert (result.exit_code, result.stdout) == (0, f"commit/{EVERYWHERE}\n")


async def test_without_watched_clusters_a_target_still_leads_to_its_commit(invoke: Invoke, world: World) -> None:
    world.chains = []
    result = await invoke("trace", "kustomization/apps", "-o", "name")
    assert result.stdout == f"commit/{EVERYWHERE}\n"
