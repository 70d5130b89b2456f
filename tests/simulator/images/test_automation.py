"""An application's images: built from its commits, bumped in the manifests by automation, run by their digest."""

from __future__ import annotations

import aiohttp
from tests.simulator.worlds import Play, commits, verdicts

from fluxtrail.simulator.images.layout import IMAGE, PRIVATE_IMAGE
from fluxtrail.simulator.script import Action, Step

STEP = Step(Action.IMAGE)


async def test_a_commit_of_an_application_arrives_with_its_image(play: Play) -> None:
    async with play(STEP, clusters=("prod-us", "staging")) as world:
        [answer] = commits(world, "Answer 11")
        expected = {"prod-us/apps": "deployed", "prod-us/apps-canary": "deployed", "staging/apps": "deployed"}
        assert verdicts(answer) == expected
        assert not answer["is_exported"]
        [bump] = commits(world, "Update from image update automation")
        assert verdicts(bump) == expected
        delivered = next(d for d in answer["deliveries"] if d["verdict"] == "deployed")
        assert delivered["carrier"] == bump["sha"]
        assert list(delivered["stages"]) == ["merged", "exported", "fetched", "applied", "running"]
        store = world.clusters["staging"].server.store
        status = store.get("imageupdateautomations", "images", "flux-system")["status"]
        assert status["lastPushCommit"] == bump["sha"]
        pinned = store.get("imagepolicies", "assistant-pinned", "flux-system")["status"]
        assert pinned["latestRef"]["tag"] == "1.1.0"
        assert pinned["observedPreviousRef"]["tag"] == "1.0.0"


async def test_nodes_run_the_manifest_of_their_platform_while_the_manifest_names_the_index(play: Play) -> None:
    async with play(STEP, clusters=("prod-us", "staging")) as world:
        image = world.images.find_image(f"{world.images.host}/{IMAGE}:1.1.0")
        assert image is not None
        ran = {}
        for name, cluster in world.clusters.items():
            [pod, *_] = cluster.server.store.list("pods", "shop", label_selector="app=assistant")
            ran[name] = pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[2]
            wanted = pod["spec"]["containers"][0]["image"]
            assert wanted.endswith(image.index.digest if name == "staging" else ":1.1.0")
        assert ran == {
            "prod-us": image.manifests["linux/arm64"].digest,
            "staging": image.manifests["linux/amd64"].digest,
        }


async def test_the_registry_tells_what_an_image_was_built_from(play: Play) -> None:
    async with play(STEP) as world, aiohttp.ClientSession(f"http://{world.images.host}") as session:
        async with session.get(f"/v2/{IMAGE}/manifests/1.1.0") as answer:
            index = await answer.json(content_type=None)
            assert answer.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
            assert answer.headers["Docker-Content-Digest"].startswith("sha256:")
        assert [item["platform"]["architecture"] for item in index["manifests"]] == ["amd64", "arm64"]
        async with session.get(f"/v2/{IMAGE}/manifests/{index['manifests'][0]['digest']}") as answer:
            manifest = await answer.json(content_type=None)
        async with session.get(f"/v2/{IMAGE}/blobs/{manifest['config']['digest']}") as answer:
            labels = (await answer.json(content_type=None))["config"]["Labels"]
        [answered] = commits(world, "Answer 11")
        assert labels["org.opencontainers.image.revision"] == answered["sha"]
        assert labels["org.opencontainers.image.source"] == world.application_repository.url
        async with session.get(f"/v2/{PRIVATE_IMAGE}/manifests/1.0.0") as answer:
            assert answer.status == 401
            assert "Basic" in answer.headers["WWW-Authenticate"]
        async with session.get(f"/v2/{IMAGE}/tags/list") as answer:
            assert (await answer.json())["tags"] == ["1.0.0", "1.1.0"]
        async with session.get(f"/v2/{IMAGE}/manifests/9.9.9") as answer:
            assert answer.status == 404
