"""What a trail asks: a layer by its media type, and the annotations. Numbers as in the replaced tool's cases."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime

import msgspec
import pytest
from aiohttp import web
from tests.remotes.oci.conftest import RegistriesMaker
from tests.remotes.oci.registry import EXPORTER_INFO, OCI_INDEX, descriptor, digest_of, image_manifest, index_manifest
from tests.remotes.oci.worlds import EXPORT, REPOSITORY, FakeRegistry, says

from fluxtrail.model.errors import ConfigError, FluxtrailError, NotFoundError, UpstreamError, WireError
from fluxtrail.remotes.oci.held import HeldContent
from fluxtrail.remotes.oci.references import parse_reference
from fluxtrail.remotes.oci.registries import Registries, unpack
from fluxtrail.trail.strategies.exporter_info import parse_exporter_info

NOW = datetime(2026, 1, 12, 11, tzinfo=UTC)
LIMIT = 1024 * 1024


async def read(registries: Registries, fake: FakeRegistry, digest: str, *, limit_bytes: int = LIMIT) -> bytes | None:
    return await registries.read_layer(fake.url(), digest, EXPORTER_INFO, limit_bytes=limit_bytes, insecure=True)


async def test_a2_a_manifest_without_the_layer_costs_one_fetch(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add_artifact(media_type="text/plain")
    assert await read(registries, fake, digest) is None
    assert fake.paths() == [f"/v2/{REPOSITORY}/manifests/{digest}"]


async def test_a7_the_exporters_facts(registries: Registries, fake: FakeRegistry) -> None:
    body = await read(registries, fake, fake.add_artifact())
    assert body is not None
    assert msgspec.json.decode(body)["commit"] == "cptpicard"
    info = parse_exporter_info(body, now=NOW)
    (commit,) = info.commits
    assert (commit.sha, commit.summary) == ("ltdata", "update deployment")
    assert commit.stated_at == datetime(2026, 1, 12, 10, tzinfo=UTC)
    assert info.build_link == "https://ci.example.com/builds/1701"


async def test_a8_a_layer_that_is_no_json_is_refused(registries: Registries, fake: FakeRegistry) -> None:
    body = await read(registries, fake, fake.add_artifact(b"{not json"))
    assert body == b"{not json"
    with pytest.raises(WireError, match="not JSON"):
        parse_exporter_info(body, now=NOW)


async def test_a18_two_targets_of_one_revision_cost_one_fetch(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add_artifact(annotations={"a": "b"})
    async with asyncio.TaskGroup() as group:
        layers = [group.create_task(read(registries, fake, digest)) for _ in range(2)]
        noted = group.create_task(
            registries.annotations(fake.url(), digest.upper().replace("SHA", "sha"), insecure=True)
        )
    assert [layer.result() for layer in layers] == [EXPORT, EXPORT]
    assert noted.result() == {"a": "b"}
    assert await read(registries, fake, digest) == EXPORT
    assert fake.paths() == [
        f"/v2/{REPOSITORY}/manifests/{digest}",
        f"/v2/{REPOSITORY}/blobs/{digest_of(EXPORT)}",
    ]


async def test_a_manifest_that_is_gone(registries: Registries, fake: FakeRegistry) -> None:
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        await read(registries, fake, "sha256:" + "0" * 64)
    digest = fake.add_artifact()
    assert await read(registries, fake, digest) == EXPORT


async def test_an_index_is_followed_to_its_first_image(registries: Registries, fake: FakeRegistry) -> None:
    fake.add_artifact(annotations={"a": "inner", "b": "inner"})
    image = descriptor(fake.media_type, fake.manifests["latest"], platform={"os": "linux", "architecture": "amd64"})
    index = index_manifest([image], annotations={"a": "outer"})
    fake.add(index)
    fake.media_type = OCI_INDEX
    assert await read(registries, fake, digest_of(index)) == EXPORT
    assert await registries.annotations(fake.url(), digest_of(index), insecure=True) == {"a": "outer", "b": "inner"}


async def test_an_index_that_holds_itself_ends(registries: Registries, fake: FakeRegistry) -> None:
    inner = b"{}"
    for _ in range(10):
        fake.add(inner)
        inner = index_manifest([descriptor(OCI_INDEX, inner)])
    assert await read(registries, fake, fake.add(inner)) is None
    assert len(fake.paths()) == 3


async def test_a_layer_without_a_digest_is_not_asked_for(registries: Registries, fake: FakeRegistry) -> None:
    manifest = msgspec.json.encode({"layers": [None, {"mediaType": EXPORTER_INFO, "digest": "../../../etc/passwd"}]})
    with pytest.raises(WireError, match="is not a digest"):
        await read(registries, fake, fake.add(manifest))
    assert len(fake.paths()) == 1


async def test_a_layer_that_says_it_is_too_large_is_not_asked_for(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add_artifact()
    with pytest.raises(WireError, match="more than the limit of 10"):
        await read(registries, fake, digest, limit_bytes=10)
    assert len(fake.paths()) == 1


async def test_a_packed_layer_is_unpacked(registries: Registries, fake: FakeRegistry) -> None:
    assert await read(registries, fake, fake.add_artifact(gzip.compress(EXPORT))) == EXPORT


async def test_a_layer_that_grows_is_refused(registries: Registries, fake: FakeRegistry) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    with pytest.raises(WireError, match="unpacked it is larger"):
        await read(registries, fake, fake.add_artifact(bomb))


@pytest.mark.parametrize("body", [b"\x1f\x8b", b"\x1f\x8bnonsense", gzip.compress(EXPORT)[:-4]])
def test_a_damaged_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(WireError, match="gzip"):
        unpack(body, limit_bytes=LIMIT, subject="layer")


async def test_annotations_are_redacted_and_bounded(registries: Registries, fake: FakeRegistry) -> None:
    annotations = {
        "org.opencontainers.image.source": "https://user:hunter2@github.com/acme/shop?token=abc",
        "org.opencontainers.image.revision": "main@sha1:" + "a" * 40,
        "long": "x" * 5000,
    } | {f"z{number:04}": "" for number in range(1000)}
    found = await registries.annotations(
        fake.url(), fake.add(image_manifest([], annotations=annotations)), insecure=True
    )
    assert found["org.opencontainers.image.source"] == "https://github.com/acme/shop"
    assert found["org.opencontainers.image.revision"] == "main@sha1:" + "a" * 40
    assert len(found["long"].encode()) <= 1024
    assert len(found) == 128


@pytest.mark.parametrize("allow", [(), ("127.0.0.1/*",), ("http://127.0.0.1/another/*",), ("http://*/*",)])
async def test_a_registry_that_is_not_admitted_is_not_asked(
    make_registries: RegistriesMaker, fake: FakeRegistry, allow: tuple[str, ...]
) -> None:
    registries = make_registries(allow=allow)
    with pytest.raises(ConfigError, match="may not be contacted"):
        await read(registries, fake, fake.add_artifact())
    assert not fake.asked


async def test_a_watched_source_admits_its_registry_but_nothing_inside(make_registries: RegistriesMaker) -> None:
    registries = make_registries(allow=())
    registries.admit("oci://ghcr.io/acme/manifests")
    registries.admit("oci://169.254.169.254/acme/manifests", insecure=True)
    registries.open(parse_reference("oci://ghcr.io/other/thing"))
    for refused, insecure in (("oci://169.254.169.254/acme/manifests", True), ("oci://ghcr.io/acme/manifests", True)):
        with pytest.raises(ConfigError, match="may not be contacted"):
            registries.open(parse_reference(refused), insecure=insecure)


# -- what is held --------------------------------------------------------------------------------------------


async def test_a_cancelled_leader_passes_the_fetch_on() -> None:
    held, begun, never = HeldContent(), asyncio.Event(), asyncio.Event()

    async def hang() -> bytes:
        begun.set()
        await never.wait()
        raise AssertionError

    async def bring() -> bytes:
        return b"body"

    leader = asyncio.create_task(held.get("key", hang))
    await begun.wait()
    follower = asyncio.create_task(held.get("key", bring))
    await asyncio.sleep(0)
    leader.cancel()
    assert await follower == b"body"
    with pytest.raises(asyncio.CancelledError):
        await leader


async def test_a_failure_is_shared_and_not_kept(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add_artifact()
    asked, gate = asyncio.Event(), asyncio.Event()

    async def refuse(request: web.Request) -> web.StreamResponse:
        asked.set()
        await gate.wait()
        return await says(400)(request)

    fake.once("/v2/", refuse)
    asks = [asyncio.create_task(read(registries, fake, digest)) for _ in range(3)]
    await asked.wait()
    gate.set()
    outcomes = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(outcome, UpstreamError) and outcome.status == 400 for outcome in outcomes)
    assert len(fake.asked) == 1
    assert await read(registries, fake, digest) == EXPORT


async def test_what_is_held_is_bounded() -> None:
    held = HeldContent(total_limit_bytes=100)

    async def bring() -> bytes:
        return b"x" * 30

    for number in range(10):
        await held.get(number, bring)
    assert (len(held), held.size_bytes) == (3, 90)

    async def fail() -> bytes:
        raise FluxtrailError("asked again")

    assert await held.get(9, fail) == b"x" * 30
    with pytest.raises(FluxtrailError, match="asked again"):
        await held.get(0, fail)
