"""Image repositories and policies, as Flux's image reflector writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.scanning import (
    ImagePolicy,
    ImageRepository,
    WireImagePolicy,
    WireImageRepository,
    project_image_policy,
    project_image_repository,
    registry_url,
)
from fluxtrail.model.sources import IMAGE_GROUP

META = {"name": "shop", "namespace": "apps", "uid": "u1"}
DIGEST = "sha256:" + "a" * 64


def repository(spec: object) -> ImageRepository:
    document = {"metadata": META, "spec": spec}
    return project_image_repository(msgspec.json.decode(msgspec.json.encode(document), type=WireImageRepository))


def policy(spec: object = None, status: object = None) -> ImagePolicy:
    document = {"metadata": META, "spec": spec, "status": status}
    return project_image_policy(msgspec.json.decode(msgspec.json.encode(document), type=WireImagePolicy))


@pytest.mark.parametrize(
    ("spec", "image", "is_insecure"),
    [
        ({"image": "ghcr.io/acme/shop"}, "ghcr.io/acme/shop", False),
        ({"image": " registry.local:5000/x:1 ", "insecure": True}, "registry.local:5000/x", True),
        ({"image": "user:secret@ghcr.io/x"}, "ghcr.io/x", False),
        ({"image": None, "insecure": None}, "", False),
        (None, "", False),
    ],
)
def test_what_is_scanned(spec: Any, image: str, is_insecure: bool) -> None:
    item = repository(spec)
    assert item.key == ObjectKey(IMAGE_GROUP, "ImageRepository", "apps", "shop")
    assert (item.image, item.is_insecure) == (image, is_insecure)


@pytest.mark.parametrize(
    ("status", "image", "digest"),
    [
        ({"latestRef": {"name": "ghcr.io/acme/shop", "tag": "1.2", "digest": DIGEST}}, "ghcr.io/acme/shop:1.2", DIGEST),
        ({"latestRef": {"name": "ghcr.io/acme/shop", "tag": "1.2"}}, "ghcr.io/acme/shop:1.2", None),
        ({"latestRef": {"name": "ghcr.io/acme/shop", "digest": "md5:1"}}, "ghcr.io/acme/shop", None),
        ({"latestImage": "registry:5000/acme/shop:1.2"}, "registry:5000/acme/shop:1.2", None),
        ({"latestRef": None, "latestImage": None}, "", None),
        (None, "", None),
    ],
)
def test_what_a_policy_has_chosen(status: Any, image: str, digest: str | None) -> None:
    item = policy(None, status)
    assert (item.image, item.digest) == (image, digest)
    assert item.repository is None


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ({"name": "shop"}, ObjectKey(IMAGE_GROUP, "ImageRepository", "apps", "shop")),
        ({"name": "shop", "namespace": "other"}, ObjectKey(IMAGE_GROUP, "ImageRepository", "other", "shop")),
        ({"name": None}, None),
        (None, None),
    ],
)
def test_which_repository_a_policy_chooses_from(reference: Any, key: ObjectKey | None) -> None:
    assert policy({"imageRepositoryRef": reference}).repository == key


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("ghcr.io/acme/shop", "https://ghcr.io/acme/shop"),
        ("localhost/x", "https://localhost/x"),
        ("acme/shop", "https://docker.io/acme/shop"),
        ("nginx", "https://docker.io/library/nginx"),
        ("ghcr.io/a b", None),
        ("", None),
    ],
)
def test_where_an_image_is_asked_for(image: str, url: str | None) -> None:
    assert registry_url(image) == url
    assert registry_url(image, is_insecure=True) == (url.replace("https://", "http://") if url else None)
