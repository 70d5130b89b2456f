"""Which image a digest is: of an index, a platform, a configuration; and what it was built from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from tests.remotes.oci.conftest import RegistriesMaker
from tests.remotes.oci.registry import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, RealRegistry, digest_of, needs_registry
from tests.remotes.oci.worlds import FakeRegistry, says

from fluxtrail.model.errors import (
    AuthError,
    ConfigError,
    NotFoundError,
    RateLimitedError,
    UpstreamError,
    WireError,
)
from fluxtrail.model.image_facts import find_commit, find_source
from fluxtrail.remotes.oci.registries import Registries

SHA = "c" * 40
SOURCE = "https://github.com/Acme/Shop"
LABELS = {
    "org.opencontainers.image.source": SOURCE,
    "org.opencontainers.image.revision": SHA,
    "org.opencontainers.image.version": "1.2.3",
}
REPOSITORY = "acme/shop"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CREATED = datetime(2026, 1, 12, 10, tzinfo=UTC)


def config_of(
    platform: str, labels: Mapping[str, str] | None = None, *, created: str = "2026-01-12T10:00:00Z"
) -> bytes:
    system, architecture = platform.split("/")
    document = {"os": system, "architecture": architecture, "created": created, "config": {"Labels": labels}}
    return msgspec.json.encode(document)


class Images:
    """Lays images into a registry that a test can look into."""

    def __init__(self, fake: FakeRegistry) -> None:
        self._fake = fake

    @property
    def name(self) -> str:
        return f"{self._fake.host}/{REPOSITORY}"

    def platform(
        self,
        platform: str = "linux/amd64",
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        media_type: str = OCI_MANIFEST,
        tag: str = "-",
        **more: Any,
    ) -> tuple[str, str]:
        """Add a platform's image; returns the digests of its manifest and of its configuration."""
        config = config_of(platform, labels, **more)
        config_digest = digest_of(config)
        self._fake.blobs[config_digest] = config
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": OCI_CONFIG, "digest": config_digest, "size": len(config)},
            "layers": [],
            "annotations": dict(annotations or {}),
        }
        return self._fake.add(msgspec.json.encode(manifest), tag=tag), config_digest

    def index(
        self,
        members: Mapping[str, str],
        *,
        tag: str = "1.2.3",
        annotations: Mapping[str, str] | None = None,
        media_type: str = OCI_INDEX,
    ) -> str:
        """Add an index of platform → digest, with an attestation as BuildKit adds one."""
        entries = [
            {"mediaType": OCI_MANIFEST, "digest": digest, "size": 1, "platform": _platform(platform)}
            for platform, digest in members.items()
        ]
        notes = {"vnd.docker.reference.type": "attestation-manifest"}
        entries.append(
            {"digest": digest_of(b"seen by"), "platform": _platform("unknown/unknown"), "annotations": notes}
        )
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": entries,
            "annotations": dict(annotations or {}),
        }
        return self._fake.add(msgspec.json.encode(document), tag=tag)


def _platform(text: str) -> dict[str, str]:
    system, architecture = text.split("/")
    return {"os": system, "architecture": architecture}


@pytest.fixture
def images(fake: FakeRegistry) -> Images:
    return Images(fake)


async def test_index_is_known_by_its_platforms_and_any_ones_labels(images: Images, registries: Registries) -> None:
    amd, _ = images.platform(labels=LABELS)
    arm, _ = images.platform("linux/arm64", labels=LABELS)
    index = images.index({"linux/amd64": amd, "linux/arm64": arm})

    facts = await registries.describe(f"{images.name}:1.2.3", index, insecure=True)

    assert facts.is_index
    assert [(item.digest, item.platform) for item in facts.platforms] == [(amd, "linux/amd64"), (arm, "linux/arm64")]
    assert facts.origin.source == "github.com/acme/shop"
    assert facts.origin.revision == SHA
    assert facts.origin.version == "1.2.3"
    assert facts.origin.created_at == CREATED


async def test_docker_list_is_an_index(images: Images, fake: FakeRegistry, registries: Registries) -> None:
    fake.media_type = DOCKER_LIST
    amd, _ = images.platform(labels=LABELS, media_type=DOCKER_MANIFEST)
    index = images.index({"linux/amd64": amd}, media_type=DOCKER_LIST)
    facts = await registries.describe(f"{images.name}:1.2.3", index, insecure=True)
    assert facts.is_index
    assert facts.origin.revision == SHA


async def test_index_that_says_everything_costs_one_request(
    images: Images, fake: FakeRegistry, registries: Registries
) -> None:
    amd, _ = images.platform()
    notes = LABELS | {"org.opencontainers.image.created": "2026-01-12T10:00:00Z"}
    index = images.index({"linux/amd64": amd}, annotations=notes)
    facts = await registries.describe(f"{images.name}:1.2.3", index, insecure=True)
    assert (facts.origin.revision, facts.origin.created_at) == (SHA, CREATED)
    assert len(fake.paths()) == 1


async def test_index_whose_first_platform_is_missing_is_told_by_the_next(
    images: Images, registries: Registries
) -> None:
    arm, _ = images.platform("linux/arm64", labels=LABELS)
    index = images.index({"linux/amd64": "sha256:" + "0" * 64, "linux/arm64": arm})
    facts = await registries.describe(f"{images.name}:1.2.3", index, insecure=True)
    assert facts.origin.revision == SHA


@pytest.mark.parametrize("pinned", [False, True], ids=["by its tag", "by the digest that was wanted"])
async def test_platform_is_found_in_its_index(images: Images, registries: Registries, pinned: bool) -> None:
    amd, _ = images.platform(labels=LABELS)
    arm, _ = images.platform("linux/arm64")
    index = images.index({"linux/amd64": amd, "linux/arm64": arm})
    wanted = f"{images.name}:moved@{index}" if pinned else f"{images.name}:1.2.3"

    facts = await registries.describe(wanted, arm, insecure=True)

    assert not facts.is_index
    assert (facts.index_digest, facts.platform) == (index, "linux/arm64")
    assert len(facts.platforms) == 2
    assert facts.origin.revision is None


async def test_platform_whose_tag_moved_has_no_index(images: Images, registries: Registries) -> None:
    amd, _ = images.platform(labels=LABELS)
    other, _ = images.platform(labels={})
    images.index({"linux/amd64": other})
    facts = await registries.describe(f"{images.name}:1.2.3", amd, insecure=True)
    assert (facts.index_digest, facts.platform, facts.platforms) == (None, "linux/amd64", ())
    assert facts.origin.revision == SHA


async def test_moving_tag_is_asked_again(images: Images, registries: Registries) -> None:
    amd, _ = images.platform(labels=LABELS)
    assert (await registries.describe(f"{images.name}:1.2.3", amd, insecure=True)).index_digest is None
    index = images.index({"linux/amd64": amd})
    assert (await registries.describe(f"{images.name}:1.2.3", amd, insecure=True)).index_digest == index


async def test_configuration_is_found_through_what_was_wanted(images: Images, registries: Registries) -> None:
    amd, _ = images.platform(labels=LABELS)
    arm, config = images.platform("linux/arm64", labels=LABELS)
    index = images.index({"linux/amd64": amd, "linux/arm64": arm})
    facts = await registries.describe(f"{images.name}:1.2.3", config, insecure=True)
    assert (facts.digest, facts.index_digest, facts.platform) == (config, index, "linux/arm64")
    assert facts.origin.revision == SHA


async def test_configuration_of_a_single_image_leads_to_its_manifest(images: Images, registries: Registries) -> None:
    manifest, config = images.platform(labels=LABELS, tag="single")
    facts = await registries.describe(f"{images.name}:single", config, insecure=True)
    assert (facts.index_digest, facts.platform, facts.is_index) == (manifest, "linux/amd64", False)


async def test_image_that_is_gone_is_not_found(images: Images, registries: Registries) -> None:
    images.platform(labels=LABELS, tag="single")
    with pytest.raises(NotFoundError):
        await registries.describe(f"{images.name}:single", "sha256:" + "1" * 64, insecure=True)


async def test_annotations_win_over_labels_and_are_not_mixed_with_them(images: Images, registries: Registries) -> None:
    """Labels may be the base image's: its repository with our commit would be nobody's."""
    inherited = {
        "org.opencontainers.image.source": "https://github.com/base/os",
        "org.opencontainers.image.revision": "b" * 40,
    }
    amd, _ = images.platform(labels=inherited, annotations={"org.opencontainers.image.source": SOURCE})
    index = images.index({"linux/amd64": amd}, annotations=LABELS)
    of_index = await registries.describe(f"{images.name}:1.2.3", index, insecure=True)
    assert (of_index.origin.source, of_index.origin.revision) == ("github.com/acme/shop", SHA)
    lone = await registries.describe(f"{images.name}:moved", amd, insecure=True)
    assert (lone.origin.source, lone.origin.revision) == ("github.com/base/os", "b" * 40)


async def test_time_of_a_reproducible_build_is_none(images: Images, registries: Registries) -> None:
    amd, _ = images.platform(labels=LABELS, created="1970-01-01T00:00:00Z", tag="one")
    facts = await registries.describe(f"{images.name}:one", amd, insecure=True)
    assert facts.origin.created_at is None


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (says(401), AuthError),
        (says(403), AuthError),
        (says(404), NotFoundError),
        (says(429, Retry_After="600"), RateLimitedError),
        (says(503), UpstreamError),
        (says(200, body=b"[]"), WireError),
    ],
    ids=["401", "403", "404", "429", "503", "another digest"],
)
async def test_refusals_are_told_apart(
    images: Images, fake: FakeRegistry, registries: Registries, answer: Any, error: type[Exception]
) -> None:
    amd, _ = images.platform(labels=LABELS, tag="one")
    fake.always["/v2/"] = answer
    with pytest.raises(error):
        await registries.describe(f"{images.name}:one", amd, insecure=True)


async def test_registry_that_nobody_admits_is_not_asked(
    images: Images, fake: FakeRegistry, make_registries: RegistriesMaker
) -> None:
    amd, _ = images.platform(tag="one")
    closed = make_registries(allow=())
    assert not closed.may_ask(f"{images.name}:one", insecure=True)
    with pytest.raises(ConfigError):
        await closed.describe(f"{images.name}:one", amd, insecure=True)
    assert fake.asked == []
    assert make_registries().may_ask(f"{images.name}:one", insecure=True)
    assert not make_registries().may_ask("NOT AN IMAGE")


async def test_configuration_larger_than_the_bound_is_refused(
    images: Images, fake: FakeRegistry, registries: Registries
) -> None:
    amd, config = images.platform(tag="one")
    fake.blobs[config] = b" " * (5 * 1024 * 1024)
    with pytest.raises(WireError, match="larger"):
        await registries.describe(f"{images.name}:one", amd, insecure=True)


@pytest.mark.requires("registry")
@needs_registry
async def test_real_registry_tells_index_platform_and_configuration(
    real_registry: RealRegistry, make_registries: RegistriesMaker
) -> None:
    registries = make_registries()
    name = f"{real_registry.host}/{REPOSITORY}"
    configs = {platform: config_of(platform, LABELS) for platform in ("linux/amd64", "linux/arm64")}
    members = {
        platform: real_registry.push(REPOSITORY, tag=platform.replace("/", "-"), config=config)
        for platform, config in configs.items()
    }
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": 400, "platform": _platform(platform)}
        for platform, digest in members.items()
    ]
    body = msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    index = real_registry.push_manifest(REPOSITORY, body, tag="1.2.3", media_type=OCI_INDEX)

    of_index = await registries.describe(f"{name}:1.2.3", index, insecure=True)
    of_arm = await registries.describe(f"{name}:1.2.3", members["linux/arm64"], insecure=True)
    of_config = await registries.describe(f"{name}:1.2.3", digest_of(configs["linux/amd64"]), insecure=True)

    assert of_index.is_index
    assert {facts.origin.revision for facts in (of_index, of_arm, of_config)} == {SHA}
    assert (of_arm.index_digest, of_arm.platform) == (index, "linux/arm64")
    assert (of_config.index_digest, of_config.platform) == (index, "linux/amd64")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://github.com/Acme/Shop.git", "github.com/acme/shop"),
        ("https://github.com/acme/shop/tree/main/app", "github.com/acme/shop"),
        ("https://github.com/acme/shop#readme", "github.com/acme/shop"),
        ("git@github.com:acme/shop.git", "github.com/acme/shop"),
        ("https://token@gitlab.com/acme/team/shop/-/tree/main", "gitlab.com/acme/team/shop"),
        ("shop", None),
        ("", None),
        (None, None),
    ],
)
def test_source_of_an_image_is_a_repository(text: str | None, canonical: str | None) -> None:
    assert find_source(text) == canonical


@pytest.mark.parametrize(
    ("text", "sha"),
    [
        (SHA, SHA),
        (SHA.upper(), SHA),
        (f"main@sha1:{SHA}", SHA),
        (f"sha1:{SHA}", SHA),
        ("c" * 7, None),
        ("0" * 40, None),
        (f"main@sha1:{'0' * 40}", None),
        ("v1.2.3", None),
        ("", None),
        (None, None),
    ],
)
def test_revision_of_an_image_is_a_whole_commit(text: str | None, sha: str | None) -> None:
    assert find_commit(text) == sha
