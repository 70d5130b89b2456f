from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.oci.references import parse_digest, parse_reference, resolve_revision

HEX = "6971abcdef" * 6 + "ed45"
UPPER = f"sha256:{HEX.upper()}"
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("oci://ghcr.io/grafana/kube-manifests", "ghcr.io", "grafana/kube-manifests", None, None),
        ("ghcr.io/grafana/kube-manifests:v1.2", "ghcr.io", "grafana/kube-manifests", "v1.2", None),
        (f"ghcr.io/a/b@{UPPER}", "ghcr.io", "a/b", None, DIGEST),
        (f"GHCR.io/a/b:latest@{DIGEST}", "ghcr.io", "a/b", "latest", DIGEST),
        ("localhost:5000/a", "localhost:5000", "a", None, None),
        ("oci://registry.flux-system.svc:5000/a/b:t", "registry.flux-system.svc:5000", "a/b", "t", None),
        ("oci://registry/a", "registry", "a", None, None),
        ("[::1]:5000/a:t", "[::1]:5000", "a", "t", None),
        ("nginx", "docker.io", "library/nginx", None, None),
        ("nginx:1.27", "docker.io", "library/nginx", "1.27", None),
        ("acme/shop:1", "docker.io", "acme/shop", "1", None),
        ("index.docker.io/nginx", "docker.io", "library/nginx", None, None),
        ("oci://registry-1.docker.io/bitnamicharts/redis", "docker.io", "bitnamicharts/redis", None, None),
        ("ghcr.io/a/b__c-d.e:T_1", "ghcr.io", "a/b__c-d.e", "T_1", None),
    ],
)
def test_reference(text: str, registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    found = parse_reference(text)
    assert (found.registry, found.repository, found.tag, found.digest) == (registry, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oci://",
        "oci://ghcr.io",
        "oci://ghcr.io/",
        "oci://localhost:5000",
        "https://ghcr.io/a/b",
        "ghcr.io/a/b:",
        "ghcr.io/a/b:-x",
        "ghcr.io/a/b:" + "t" * 129,
        "ghcr.io/a/b@",
        "ghcr.io/a/b@sha256:abc",
        "ghcr.io/A/b",
        "ghcr.io/a//b",
        "ghcr.io/../b",
        "ghcr.io/a/b?x=1",
        "user:secret@ghcr.io/a/b",
        "ghcr.io:99999/a",
        "gh cr.io/a",
        "-x.io/a",
        "ghcr.io/" + "a" * 256,
    ],
)
def test_what_is_no_reference_is_refused_with_value_and_form(text: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_reference(text)
    assert "sha256:<64 hex digits>" in str(caught.value)
    assert "secret" not in str(caught.value) or "@" not in text


@given(st.text(alphabet="abcAZ019.:/@-_[]% \n", max_size=60) | st.text(max_size=60))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        found = parse_reference(text)
    except WireError:
        return
    assert parse_reference(str(found)).repository == found.repository
    assert found.repository_url().host


def test_docker_hub_answers_under_another_name() -> None:
    assert parse_reference("nginx").api_host == "registry-1.docker.io"
    assert parse_reference("quay.io/a/b").api_host == "quay.io"


def test_repository_url_is_what_the_allow_list_knows() -> None:
    secure = parse_reference("oci://registry.local:5000/a/b").repository_url()
    assert (secure.scheme, secure.host, secure.port, secure.owner) == ("https", "registry.local", 5000, "a")
    plain = parse_reference("oci://[::1]:80/a/b").repository_url(insecure=True)
    assert (plain.scheme, plain.host, plain.port, plain.canonical) == ("http", "::1", None, "[::1]/a/b")


def test_a9_an_applied_revision_names_its_artifact() -> None:
    found = resolve_revision("ghcr.io/grafana/kube-manifests", f"master@{DIGEST}")
    assert str(found) == f"ghcr.io/grafana/kube-manifests@{DIGEST}"
    assert str(resolve_revision("oci://ghcr.io/grafana/kube-manifests", f"master@{UPPER}")) == str(found)


def test_a_source_at_a_digest_has_no_tag() -> None:
    assert str(resolve_revision("oci://ghcr.io/a/b", DIGEST)) == f"ghcr.io/a/b@{DIGEST}"


@pytest.mark.parametrize(
    "revision", ["master", "master@sha256:not-a-real-digest", f"@{DIGEST}", f"a@b@{DIGEST}", f"m@{DIGEST}0", "", "@"]
)
def test_a10_another_revision_is_refused_with_value_and_form(revision: str) -> None:
    with pytest.raises(WireError) as caught:
        resolve_revision("ghcr.io/grafana/kube-manifests", revision)
    assert revision in str(caught.value)
    assert "<tag>@sha256:<64 hex digits>" in str(caught.value)


@pytest.mark.parametrize("text", ["", "sha256:", "sha1:" + "a" * 40, "sha256:" + "g" * 64, f" {DIGEST}", f"{DIGEST}\n"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="is not a digest"):
        parse_digest(text)


def test_a_long_digest_is_one() -> None:
    assert parse_digest("sha512:" + "A" * 128) == "sha512:" + "a" * 128
