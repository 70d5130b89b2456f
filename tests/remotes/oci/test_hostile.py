"""A registry that lies, stalls, floods, or sends us elsewhere."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from tests.remotes.oci.conftest import RegistriesMaker
from tests.remotes.oci.registry import OCI_INDEX, descriptor, digest_of, image_manifest, index_manifest
from tests.remotes.oci.worlds import EXPORT, NOW, REPOSITORY, FakeRegistry, Handler, Times, cut_short, endless, says

from fluxtrail.model.errors import AuthError, ConfigError, ConflictError, RateLimitedError, UpstreamError, WireError
from fluxtrail.remotes.oci.manifests import MANIFEST_LIMIT_BYTES
from fluxtrail.remotes.oci.references import Reference, parse_reference
from fluxtrail.remotes.oci.registries import Registries
from fluxtrail.remotes.oci.registry import ATTEMPTS, OciRegistry

MANIFEST = image_manifest([])
Starter = Callable[[], Awaitable[FakeRegistry]]


def at(fake: FakeRegistry, place: str = ":latest", repository: str = REPOSITORY) -> Reference:
    return parse_reference(f"{fake.url(repository)}{place}")


def client(registries: Registries, fake: FakeRegistry) -> OciRegistry:
    return registries.open(at(fake), insecure=True)


async def test_manifest_by_tag_and_by_digest(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add(MANIFEST)
    registry = client(registries, fake)
    assert (await registry.read_manifest(at(fake))).digest == digest
    assert (await registry.read_manifest(at(fake, ""))).body == MANIFEST
    assert (await registry.read_manifest(at(fake, f"@{digest}"))).media_type == fake.media_type
    assert fake.paths() == [f"/v2/{REPOSITORY}/manifests/{place}" for place in ("latest", "latest", digest)]
    headers = fake.asked[0].headers
    assert OCI_INDEX in headers["accept"]
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "fluxtrail"
    assert "authorization" not in headers


async def test_bytes_of_another_digest_are_refused(registries: Registries, fake: FakeRegistry) -> None:
    digest = fake.add(MANIFEST)
    fake.manifests[digest] = image_manifest([("x", b"y")])
    with pytest.raises(WireError, match=digest):
        await client(registries, fake).get_manifest(at(fake, f"@{digest}"))
    fake.blobs[digest] = b"another"
    with pytest.raises(WireError, match=digest):
        await client(registries, fake).read_blob(at(fake), digest, limit_bytes=100)
    assert len(fake.asked) == 2


async def test_a_tags_bytes_that_are_not_what_is_claimed(registries: Registries, fake: FakeRegistry) -> None:
    fake.once("/v2/", says(body=MANIFEST, Docker_Content_Digest="sha256:" + "0" * 64))
    with pytest.raises(WireError, match="sha256:0000"):
        await client(registries, fake).get_manifest(at(fake))


async def test_an_endless_body_is_cut(registries: Registries, fake: FakeRegistry) -> None:
    fake.always["/v2/"] = endless
    with pytest.raises(WireError, match=f"limit of {MANIFEST_LIMIT_BYTES} bytes"):
        await client(registries, fake).get_manifest(at(fake))
    with pytest.raises(WireError, match="limit of 1000 bytes"):
        await client(registries, fake).read_blob(at(fake), digest_of(b""), limit_bytes=1000)


async def test_an_endless_complaint_is_cut(registries: Registries, fake: FakeRegistry) -> None:
    async def complain(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=400)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"no " * 20000)
        except ConnectionError:
            return response

    fake.always["/v2/"] = complain
    with pytest.raises(UpstreamError, match="answered 400: no no") as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert len(str(caught.value)) < 1000


async def test_a_body_that_claims_too_much_is_not_read(make_registries: RegistriesMaker, fake: FakeRegistry) -> None:
    refused = asyncio.Event()

    async def claim(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await refused.wait()
        return response

    fake.always["/v2/"] = claim
    with pytest.raises(WireError, match="limit of 100 bytes"):
        await client(make_registries(timeout_seconds=1), fake).read_blob(at(fake), digest_of(b""), limit_bytes=100)
    refused.set()


async def test_packed_answers_are_not_unpacked(registries: Registries, fake: FakeRegistry) -> None:
    """What is hashed and bounded is what came over the network."""
    packed = gzip.compress(b" " * 1_000_000)
    fake.once("/v2/", says(body=packed, Content_Encoding="gzip"))
    assert await client(registries, fake).read_blob(at(fake), digest_of(packed), limit_bytes=len(packed)) == packed


async def test_a_registry_that_never_answers_costs_the_timeout(
    make_registries: RegistriesMaker, fake: FakeRegistry
) -> None:
    """A body that comes in drops is no answer either: the time is for all of it."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        while request.transport is not None and not request.transport.is_closing():
            await response.write(b" ")
            await asyncio.sleep(0.005)
        return response

    fake.always["/v2/"] = drip
    registries = make_registries(timeout_seconds=0.05)
    with pytest.raises(UpstreamError, match=r"no whole answer in 0\.05 s") as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert caught.value.retryable
    assert len(fake.asked) == ATTEMPTS


@pytest.mark.parametrize("trouble", [says(500), says(503, body=b"<html>"), cut_short])
async def test_what_passes_is_tried_again(registries: Registries, fake: FakeRegistry, trouble: Handler) -> None:
    fake.add(MANIFEST)
    for _ in range(ATTEMPTS - 1):
        fake.once("/v2/", trouble)
    assert (await client(registries, fake).read_manifest(at(fake))).body == MANIFEST
    assert len(fake.asked) == ATTEMPTS


async def test_a_registry_that_stays_broken_is_given_up(registries: Registries, fake: FakeRegistry) -> None:
    fake.always["/v2/"] = says(502, body=b'{"errors": [{"code": "UNKNOWN", "message": "upstream is down"}, null]}')
    with pytest.raises(UpstreamError, match="UNKNOWN upstream is down") as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert (caught.value.status, caught.value.retryable, len(fake.asked)) == (502, True, ATTEMPTS)


async def test_a_registry_that_says_when_to_come_back(registries: Registries, fake: FakeRegistry) -> None:
    fake.always["/v2/"] = says(503, Retry_After="600")
    with pytest.raises(UpstreamError) as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert (caught.value.retry_after_seconds, len(fake.asked)) == (600, 1)


@pytest.mark.parametrize(
    ("status", "kind"), [(400, UpstreamError), (403, AuthError), (409, ConflictError), (418, UpstreamError)]
)
async def test_what_stays_is_not_tried_again(
    registries: Registries, fake: FakeRegistry, status: int, kind: type[UpstreamError]
) -> None:
    fake.always["/v2/"] = says(status)
    with pytest.raises(kind) as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert (caught.value.retryable, caught.value.status, len(fake.asked)) == (False, status, 1)


async def test_a_registry_that_is_not_there(registries: Registries) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        await ask_nobody(registries, taken.getsockname()[1])


async def ask_nobody(registries: Registries, port: int) -> None:
    place = parse_reference(f"oci://127.0.0.1:{port}/a/b:latest")
    with pytest.raises(UpstreamError, match="does not answer") as caught:
        await registries.open(place, insecure=True).get_manifest(place)
    assert caught.value.retryable


# -- limits --------------------------------------------------------------------------------------------------


async def test_a_short_limit_is_waited_for(registries: Registries, fake: FakeRegistry, times: Times) -> None:
    fake.add(MANIFEST)
    fake.once("/v2/", says(429, Retry_After="3"))
    assert (await client(registries, fake).read_manifest(at(fake))).body == MANIFEST
    assert times.slept == [3]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        ("nonsense", 60),
        ("", 60),
        ("99999999999", 7200),
        ("Mon, 12 Jan 2026 10:01:40 GMT", 100),
        ("Mon, 12 Jan 99999 10:01:40 GMT", 60),
    ],
)
async def test_a_long_limit_is_told_and_kept(
    registries: Registries, fake: FakeRegistry, times: Times, said: str, seconds: float
) -> None:
    fake.add(MANIFEST)
    assert times.now == NOW
    fake.once("/v2/", says(429, Retry_After=said, Date="Mon, 12 Jan 2026 10:00:00 GMT"))
    for _ in range(2):
        with pytest.raises(RateLimitedError) as caught:
            await client(registries, fake).get_manifest(at(fake))
        assert caught.value.retry_after_seconds == seconds
    assert (len(fake.asked), times.slept) == (1, [])
    times.now += seconds
    assert (await client(registries, fake).read_manifest(at(fake))).body == MANIFEST


# -- redirects -----------------------------------------------------------------------------------------------

LOGIN = [{"host": "127.0.0.1", "username": "flux", "password": "hunter2hunter2"}]


def wants_basic(fake: FakeRegistry) -> None:
    fake.challenge = 'Basic realm="tests"'
    fake.accepts = lambda shown: shown.startswith("Basic ")


async def test_a_redirect_to_another_origin_carries_no_credential(
    make_registries: RegistriesMaker, fake: FakeRegistry, start_registry: Starter
) -> None:
    storage = await start_registry()
    signed = "/bucket/a%2Fb%20c?X-Signature=a%2Bb%2F%3D&x=a+b"
    storage.always["/bucket/"] = says(body=EXPORT)
    fake.always[f"/v2/{REPOSITORY}/blobs"] = says(307, Location=storage.base_url + signed)
    fake.add(MANIFEST)
    wants_basic(fake)
    registry = client(make_registries(credentials=LOGIN), fake)
    await registry.get_manifest(at(fake))
    assert fake.asked[-1].basic == "flux:hunter2hunter2"
    assert await registry.read_blob(at(fake), digest_of(EXPORT), limit_bytes=len(EXPORT)) == EXPORT
    assert "authorization" in fake.asked[-1].headers
    (asked,) = storage.asked
    assert asked.path == signed
    assert not {"authorization", "cookie"} & set(asked.headers)


async def test_a_redirect_back_home_carries_no_credential(
    make_registries: RegistriesMaker, fake: FakeRegistry, start_registry: Starter
) -> None:
    other = await start_registry()
    other.always["/"] = says(307, Location=f"{fake.base_url}/v2/_catalog")
    fake.always[f"/v2/{REPOSITORY}/blobs"] = says(307, Location=f"{other.base_url}/")
    fake.add(MANIFEST)
    wants_basic(fake)
    registry = client(make_registries(credentials=LOGIN), fake)
    await registry.get_manifest(at(fake))
    with pytest.raises(AuthError):
        await registry.read_blob(at(fake), digest_of(EXPORT), limit_bytes=len(EXPORT))
    home = [asked for asked in fake.asked if asked.path == "/v2/_catalog"]
    assert [asked.headers.get("authorization") for asked in home] == [None, None]


async def test_a_redirect_at_home_keeps_the_credential(make_registries: RegistriesMaker, fake: FakeRegistry) -> None:
    fake.add(MANIFEST)
    wants_basic(fake)
    fake.once(
        f"/v2/{REPOSITORY}/manifests/latest", says(302, Location=f"/v2/{REPOSITORY}/manifests/{digest_of(MANIFEST)}")
    )
    await client(make_registries(credentials=LOGIN), fake).get_manifest(at(fake))
    assert [bool(asked.headers.get("authorization")) for asked in fake.asked] == [False, False, True]


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:1/",
        "http://localhost:1/",
        "http://2130706433:1/",
        "http://metadata.google.internal/",
    ],
)
async def test_a_redirect_inside_is_refused(
    make_registries: RegistriesMaker, fake: FakeRegistry, location: str
) -> None:
    fake.always["/v2/"] = says(307, Location=location)
    registries = make_registries(allow=(f"http://{fake.host}/*",))
    with pytest.raises(ConfigError, match="may not be contacted"):
        await client(registries, fake).read_blob(at(fake), digest_of(b""), limit_bytes=100)
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://a:b@127.0.0.1/", "http://[/", "/a b"]
)
async def test_a_redirect_to_nowhere_is_refused(registries: Registries, fake: FakeRegistry, location: str) -> None:
    fake.always["/v2/"] = says(307, Location=location)
    with pytest.raises(UpstreamError, match="points to no URL") as caught:
        await client(registries, fake).get_manifest(at(fake))
    assert (caught.value.retryable, len(fake.asked)) == (False, 1)


async def test_a_redirect_in_a_circle_ends(registries: Registries, fake: FakeRegistry) -> None:
    fake.always["/v2/"] = says(307, Location="/v2/again")
    with pytest.raises(UpstreamError, match="in a circle"):
        await client(registries, fake).get_manifest(at(fake))
    assert len(fake.asked) == 6


async def test_storage_that_refuses_is_asked_by_another_url(
    registries: Registries, fake: FakeRegistry, start_registry: Starter
) -> None:
    """A signed URL may expire on the way; and storage's own 401 is no reason to log in anywhere."""
    storage = await start_registry()
    storage.once("/", says(401, WWW_Authenticate='Bearer realm="http://127.0.0.1:1/token"'))
    storage.once("/", says(403))
    storage.always["/"] = says(body=EXPORT)
    fake.always["/v2/"] = says(307, Location=f"{storage.base_url}/x")
    assert await client(registries, fake).read_blob(at(fake), digest_of(EXPORT), limit_bytes=10_000) == EXPORT
    assert len(storage.asked) == 3


# -- referrers -----------------------------------------------------------------------------------------------

SIGNATURE = descriptor("application/json", b"1", artifactType="application/vnd.dev.cosign")
SBOM = descriptor("application/json", b"2", artifactType="application/spdx+json")


async def test_referrers_over_pages(registries: Registries, fake: FakeRegistry) -> None:
    subject = fake.add(MANIFEST)
    path = f"/v2/{REPOSITORY}/referrers/{subject}"
    fake.once(path, says(body=index_manifest([SIGNATURE]), Link=f'<{path}?page=2>; rel="next"'))
    fake.once(path, says(body=index_manifest([SBOM])))
    found = await client(registries, fake).referrers(at(fake, f"@{subject}"), artifact_type="application/spdx+json")
    assert [item.digest for item in found] == [digest_of(b"2")]
    assert fake.paths() == [f"{path}?artifactType=application%2Fspdx%2Bjson", f"{path}?page=2"]


async def test_a_next_page_elsewhere_is_not_asked_for(registries: Registries, fake: FakeRegistry) -> None:
    fake.once("/v2/", says(body=index_manifest([SBOM]), Link='<https://example.com/steal>; rel="next"'))
    with pytest.raises(UpstreamError, match="another host"):
        await client(registries, fake).referrers(at(fake, f"@{digest_of(MANIFEST)}"))


async def test_referrers_by_tag_where_there_is_no_api(registries: Registries, fake: FakeRegistry) -> None:
    registry, subject = client(registries, fake), at(fake, f"@{fake.add(MANIFEST)}")
    assert await registry.referrers(subject) == []
    fake.add(index_manifest([SIGNATURE]), tag=digest_of(MANIFEST).replace(":", "-"))
    assert [item.artifact_type for item in await registry.referrers(subject)] == ["application/vnd.dev.cosign"]


async def test_configuration_of_the_image_for_a_platform(registries: Registries, fake: FakeRegistry) -> None:
    config = b'{"os": "linux", "architecture": "arm64", "config": {"Labels": {"a": "b"}}}'
    fake.blobs[digest_of(config)] = config
    image = image_manifest([], config=config)
    fake.add(image)
    members = [
        descriptor("x", b"other", platform={"os": "linux", "architecture": "amd64"}),
        descriptor("x", image, platform={"os": "linux", "architecture": "arm64"}),
    ]
    fake.add(index_manifest(members))
    registry = client(registries, fake)
    manifest = await registry.get_image(at(fake), platform="linux/arm64")
    assert (await registry.get_config(at(fake), manifest)).labels == {"a": "b"}


async def test_a_reference_of_another_registry_is_refused(registries: Registries, fake: FakeRegistry) -> None:
    with pytest.raises(WireError, match="not of this registry"):
        await client(registries, fake).get_manifest(parse_reference("ghcr.io/a/b"))
    assert not fake.asked
