from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.remotes.oci.registry import EXPORTER_INFO, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, TARBALL

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.oci.manifests import (
    ELEMENT_LIMIT,
    MANIFEST_LIMIT_BYTES,
    find_image,
    find_layer,
    parse_image_config,
    parse_manifest,
)

FIXTURE: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": {"mediaType": OCI_CONFIG, "digest": "sha256:" + "1" * 64, "size": 233},
    "layers": [
        {"mediaType": TARBALL, "digest": "sha256:" + "2" * 64, "size": 456},
        {"mediaType": EXPORTER_INFO, "digest": "sha256:" + "3" * 64, "size": 789},
    ],
}


def encode(**changes: Any) -> bytes:
    return msgspec.json.encode(FIXTURE | changes)


def test_a5_the_layer_is_found_by_its_media_type() -> None:
    layer = find_layer(parse_manifest(encode()), EXPORTER_INFO)
    assert layer is not None
    assert (layer.digest, layer.size_bytes) == ("sha256:" + "3" * 64, 789)


def test_the_first_of_two_layers_is_taken() -> None:
    second = {"mediaType": EXPORTER_INFO, "digest": "sha256:" + "4" * 64}
    layer = find_layer(parse_manifest(encode(layers=[*FIXTURE["layers"], second])), EXPORTER_INFO)
    assert layer is not None
    assert layer.digest == "sha256:" + "3" * 64


@pytest.mark.parametrize(
    "layers", [None, [], [None], FIXTURE["layers"][:1], [{"mediaType": EXPORTER_INFO + "; v=1"}], [{"mediaType": None}]]
)
def test_a6_a_manifest_without_the_layer(layers: Any) -> None:
    assert find_layer(parse_manifest(encode(layers=layers)), EXPORTER_INFO) is None


@pytest.mark.parametrize(
    "data",
    [
        b"{invalid json",
        b"",
        b"[]",
        b"null",
        b'{"layers": {}}',
        b'{"layers": [1]}',
        b'{"annotations": {"a": 1}}',
        b"\xff\xfe",
        b'{"schemaVersion": 1, "fsLayers": []}',
        b'{"layers": [{}], "manifests": [{}]}',
        b'{"layers": ' + b"[" * 100_000,
        b" " * (MANIFEST_LIMIT_BYTES + 1),
    ],
)
def test_a6_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="manifest"):
        parse_manifest(data)


def test_null_and_unknown_are_no_obstacle() -> None:
    document = dict.fromkeys(("schemaVersion", "mediaType", "config", "layers", "manifests", "subject"))
    found = parse_manifest(msgspec.json.encode(document | {"annotations": {"a": None, "b": "c"}, "new": [1]}))
    assert (found.media_type, found.config, found.layers, found.annotations) == ("", None, (), {"b": "c"})
    assert not found.is_index
    descriptor = {"mediaType": None, "digest": None, "size": -1, "platform": None, "annotations": None, "data": "e30="}
    (layer,) = parse_manifest(encode(layers=[descriptor])).layers
    assert (layer.media_type, layer.digest, layer.size_bytes, layer.platform) == ("", "", None, None)


def index(*members: dict[str, Any] | None) -> Any:
    return parse_manifest(msgspec.json.encode({"schemaVersion": 2, "manifests": members}), media_type=OCI_INDEX)


ATTESTATION = {"digest": "d0", "platform": {"os": "unknown", "architecture": "unknown"}}
AMD = {"digest": "d1", "platform": {"os": "linux", "architecture": "amd64"}}
ARM = {"digest": "d2", "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}}


@pytest.mark.parametrize(
    ("platform", "digest"),
    [(None, "d1"), ("linux/amd64", "d1"), ("linux/arm", "d2"), ("linux/arm/v7", "d2"), ("linux/s390x", "d1")],
)
def test_the_image_of_an_index(platform: str | None, digest: str) -> None:
    found = find_image(index(None, ATTESTATION, AMD, ARM), platform)
    assert found is not None
    assert found.digest == digest


def test_an_index_without_images() -> None:
    assert index().is_index
    assert find_image(index(ATTESTATION)) is None


def test_image_configuration() -> None:
    labels = {"org.opencontainers.image.revision": "main@sha1:" + "a" * 40, "none": None}
    data = {"created": "2026-01-12T10:00:00Z", "architecture": "arm64", "os": "linux", "config": {"Labels": labels}}
    found = parse_image_config(msgspec.json.encode(data))
    assert str(found.platform) == "linux/arm64"
    assert found.created_at == datetime(2026, 1, 12, 10, tzinfo=UTC)
    assert found.labels == {"org.opencontainers.image.revision": "main@sha1:" + "a" * 40}
    assert parse_image_config(b'{"config": null, "created": "once"}').created_at is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "layers",
                    "manifests",
                    "config",
                    "digest",
                    "size",
                    "mediaType",
                    "platform",
                    "os",
                    "annotations",
                    "Labels",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON.map(msgspec.json.encode) | st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_manifest, parse_image_config):
        try:
            parse(data)
        except WireError:
            continue


def test_very_many_very_small_layers_are_refused_unread() -> None:
    data = b'{"layers":[' + b"{}," * (ELEMENT_LIMIT + 1) + b"{}]}"
    assert len(data) < MANIFEST_LIMIT_BYTES
    with pytest.raises(WireError, match=f"more than {ELEMENT_LIMIT} elements"):
        parse_manifest(data)
    assert len(parse_manifest(b'{"layers":[' + b"{}," * 999 + b"{}]}").layers) == 1000
