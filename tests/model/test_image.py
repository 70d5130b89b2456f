"""Names, tags and digests of images, as the replaced tracker reads them and beyond."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.image import find_digest, is_digest, split_image, without_userinfo

HEX = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("image_id", "expected"),
    [
        ("", ""),
        ("docker-pullable://nginx@sha256:abc123def456", "sha256:abc123def456"),
        ("docker://sha256:abc123def456789", "sha256:abc123def456789"),
        ("sha256:0123456789abcdef", "sha256:0123456789abcdef"),
        ("docker-pullable://gcr.io/my-project/my-image@sha256:fedcba9876543210", "sha256:fedcba9876543210"),
        ("docker-pullable://localhost:5000/myapp@sha256:1234567890abcdef", "sha256:1234567890abcdef"),
        ("some-random-id-without-sha", "some-random-id-without-sha"),
        ("docker://sha256:abc123 extra", "sha256:abc123"),
        ("sha256:abc123@extra", "sha256:abc123"),
        ("sha256:abc123 a@b", "sha256:abc123"),
        (f"docker-pullable://ghcr.io/acme/shop@sha256:{HEX}", f"sha256:{HEX}"),
        ("sha256:", "sha256:"),
        ("name@sha256:", "name@sha256:"),
        ("sha256:a sha256:b", "sha256:a"),
        ("sha256: sha256:b", "sha256:"),
    ],
)
def test_digest_of_an_image_id(image_id: str, expected: str) -> None:
    assert find_digest(image_id) == expected


@pytest.mark.parametrize(
    ("reference", "name", "tag"),
    [
        ("", "", ""),
        ("nginx", "nginx", ""),
        ("nginx:1.21", "nginx", "1.21"),
        ("nginx:latest", "nginx", "latest"),
        ("nginx@sha256:abc123def456", "nginx", ""),
        ("nginx:1.21@sha256:abc123def456", "nginx", "1.21"),
        ("localhost:5000/myapp", "localhost:5000/myapp", ""),
        ("localhost:5000/myapp:v1.0", "localhost:5000/myapp", "v1.0"),
        ("localhost:5000/myapp@sha256:abc123", "localhost:5000/myapp", ""),
        ("gcr.io/my-project/my-image:v1.0.0", "gcr.io/my-project/my-image", "v1.0.0"),
        ("myuser/myapp:latest", "myuser/myapp", "latest"),
        ("registry.example.com/namespace/image:tag", "registry.example.com/namespace/image", "tag"),
        ("ghcr.io/owner/repo/image:v2.0", "ghcr.io/owner/repo/image", "v2.0"),
        (
            "123456789.dkr.ecr.us-east-1.amazonaws.com/my-app:latest",
            "123456789.dkr.ecr.us-east-1.amazonaws.com/my-app",
            "latest",
        ),
        ("[2001:db8::1]:5000/app:1", "[2001:db8::1]:5000/app", "1"),
        ("app:", "app", ""),
        ("@sha256:abc", "", ""),
    ],
)
def test_name_and_tag_of_a_reference(reference: str, name: str, tag: str) -> None:
    assert split_image(reference) == (name, tag)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"sha256:{HEX}", True),
        ("", False),
        ("sha256:", False),
        ("sha256:abc123", False),
        (f"sha256:{HEX}0", False),
        (f"sha256:{HEX.upper()}", False),
        (f"sha512:{HEX}", False),
        (f"x@sha256:{HEX}", False),
        (f"sha256:{HEX}\n", False),
    ],
)
def test_only_a_whole_digest_is_one(text: str, expected: bool) -> None:
    assert is_digest(text) is expected


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("", ""),
        ("nginx:1", "nginx:1"),
        (f"ghcr.io/acme/shop:1@sha256:{HEX}", f"ghcr.io/acme/shop:1@sha256:{HEX}"),
        ("nginx@sha512:ab12", "nginx@sha512:ab12"),
        ("joe:hunter2@ghcr.io/acme/shop:1", "ghcr.io/acme/shop:1"),
        ("https://joe:hun/ter2@ghcr.io/acme/shop:1", "ghcr.io/acme/shop:1"),
        ("joe:hun@ter2@ghcr.io/acme/shop", "ghcr.io/acme/shop"),
        (f"joe:hunter2@ghcr.io/shop@sha256:{HEX}", f"ghcr.io/shop@sha256:{HEX}"),
        ("joe:hunter2@", ""),
    ],
)
def test_no_login_stays_in_a_reference(written: str, kept: str) -> None:
    assert without_userinfo(written) == kept


@given(st.text(alphabet="sha256:@ /a", max_size=40))
def test_what_is_found_is_in_the_image_id(image_id: str) -> None:
    found = find_digest(image_id)
    assert found in image_id
    assert found == image_id or (found.startswith("sha256:") and not set("@ ") & set(found))


@given(st.text(alphabet="ab.:/@", max_size=40))
def test_a_split_reference_loses_only_its_digest(reference: str) -> None:
    name, tag = split_image(reference)
    assert reference.partition("@")[0] in (name, f"{name}:{tag}")
    assert "/" not in tag
