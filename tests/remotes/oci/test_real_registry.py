"""Against Debian's docker-registry (CNCF distribution 2.8)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.remotes.oci.conftest import RegistriesMaker
from tests.remotes.oci.registry import (
    EXPORTER_INFO,
    OCI_INDEX,
    OCI_MANIFEST,
    PASSWORD,
    TARBALL,
    USER,
    RealRegistry,
    descriptor,
    digest_of,
    image_manifest,
    index_manifest,
    needs_registry,
    running_registry,
)
from tests.remotes.oci.test_login import docker
from tests.remotes.oci.worlds import EXPORT

from fluxtrail.model.errors import AuthError, NotFoundError
from fluxtrail.remotes.oci.references import Reference, parse_reference, resolve_revision
from fluxtrail.remotes.oci.registries import Registries

pytestmark = [pytest.mark.requires("registry"), pytest.mark.process, needs_registry]

REPOSITORY = "grafana/kube-manifests"
LAYERS = [(TARBALL, b"a tarball"), (EXPORTER_INFO, EXPORT)]
ORIGIN = {
    "org.opencontainers.image.source": "https://github.com/acme/shop",
    "org.opencontainers.image.revision": "main@sha1:" + "a" * 40,
    "org.opencontainers.image.created": "2026-01-12T10:00:00Z",
}
LIMIT = 1024 * 1024


def at(registry: RealRegistry, place: str) -> Reference:
    return parse_reference(f"{registry.url(REPOSITORY)}{place}")


async def test_an_artifact_with_the_exporters_layer_and_its_origin(
    registries: Registries, real_registry: RealRegistry
) -> None:
    digest = real_registry.push(REPOSITORY, tag="master", layers=LAYERS, annotations=ORIGIN)
    url = real_registry.url(REPOSITORY)
    applied = resolve_revision(url, f"master@{digest}")
    assert applied.digest == digest
    assert await registries.read_layer(url, digest, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True) == EXPORT
    assert await registries.read_layer(url, digest, "text/plain", limit_bytes=LIMIT, insecure=True) is None
    assert await registries.annotations(url, digest, insecure=True) == ORIGIN


async def test_tag_index_configuration_and_referrers(registries: Registries, real_registry: RealRegistry) -> None:
    config = b'{"os": "linux", "architecture": "amd64", "config": {"Labels": {"a": "b"}}}'
    digest = real_registry.push(REPOSITORY, layers=LAYERS, config=config)
    image = image_manifest(LAYERS, config=config)
    assert digest == digest_of(image)
    member = descriptor(OCI_MANIFEST, image, platform={"os": "linux", "architecture": "amd64"})
    index = real_registry.push_manifest(REPOSITORY, index_manifest([member]), tag="multi", media_type=OCI_INDEX)
    registry = registries.open(at(real_registry, ":multi"), insecure=True)
    assert (await registry.read_manifest(at(real_registry, ":multi"))).digest == index
    manifest = await registry.get_image(at(real_registry, ":multi"), platform="linux/amd64")
    assert [layer.media_type for layer in manifest.layers] == [TARBALL, EXPORTER_INFO]
    assert (await registry.get_config(at(real_registry, ":multi"), manifest)).labels == {"a": "b"}
    subject = at(real_registry, f"@{digest}")
    assert await registry.referrers(subject) == []
    real_registry.push_manifest(
        REPOSITORY, index_manifest([member]), tag=digest.replace(":", "-"), media_type=OCI_INDEX
    )
    assert [item.digest for item in await registry.referrers(subject)] == [digest]
    assert (
        await registries.read_layer(
            real_registry.url(REPOSITORY), index, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True
        )
        == EXPORT
    )


async def test_a_deleted_artifact_is_not_found(make_registries: RegistriesMaker, real_registry: RealRegistry) -> None:
    digest = real_registry.push(REPOSITORY, layers=LAYERS)
    url = real_registry.url(REPOSITORY)
    held = make_registries()
    assert await held.read_layer(url, digest, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True) == EXPORT
    real_registry.delete(REPOSITORY, digest)
    with pytest.raises(NotFoundError, match="MANIFEST_UNKNOWN"):
        await make_registries().read_layer(url, digest, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True)
    assert await held.read_layer(url, digest, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True) == EXPORT
    with pytest.raises(NotFoundError, match="not found"):
        await held.annotations(real_registry.url("no/such"), digest, insecure=True)


async def test_a_registry_with_a_password(make_registries: RegistriesMaker, tmp_path: Path) -> None:
    with running_registry(tmp_path, with_password=True) as registry:
        digest = registry.push(REPOSITORY, layers=LAYERS)
        login = {"username": USER, "password": PASSWORD}
        for environ in (
            docker(tmp_path, {registry.host: login}),
            docker(tmp_path, {f"http://{registry.host}/v2/": login}),
        ):
            found = await make_registries(environ=environ).read_layer(
                registry.url(REPOSITORY), digest, EXPORTER_INFO, limit_bytes=LIMIT, insecure=True
            )
            assert found == EXPORT
        wrong = [{"host": registry.host, "username": USER, "password": "wrong password"}]
        for credentials in ([], wrong):
            with pytest.raises(AuthError) as caught:
                await make_registries(credentials=credentials).annotations(
                    registry.url(REPOSITORY), digest, insecure=True
                )
            assert "wrong password" not in str(caught.value)
