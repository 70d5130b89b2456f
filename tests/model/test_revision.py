from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.model.revision import RevisionKind, find_revision, followed_sha, parse_revision, same_content

SHA = "5394cb7f48332b2de7c17dd8b8384bbc84b7e738"
SHA256 = "3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
COMMIT, DIGEST, CHART = RevisionKind.COMMIT, RevisionKind.DIGEST, RevisionKind.CHART


@pytest.mark.parametrize(
    ("text", "kind", "pointer", "algorithm", "digest"),
    [
        (f"main@sha1:{SHA}", COMMIT, "main", "sha1", SHA),
        (f"v1.0.1@sha1:{SHA}", COMMIT, "v1.0.1", "sha1", SHA),
        (f"feature/x@sha1:{SHA}", COMMIT, "feature/x", "sha1", SHA),
        (f"feature/a@b@sha1:{SHA}", COMMIT, "feature/a@b", "sha1", SHA),
        (f"refs/heads/main@sha1:{SHA}", COMMIT, "refs/heads/main", "sha1", SHA),
        (f"refs/tags/v1@sha1:{SHA}", COMMIT, "refs/tags/v1", "sha1", SHA),
        (f"refs/pull/420/head@sha1:{SHA}", COMMIT, "refs/pull/420/head", "sha1", SHA),
        (f"sha1:{SHA}", COMMIT, None, "sha1", SHA),
        (f"main@sha1:{SHA.upper()}", COMMIT, "main", "sha1", SHA),
        ("main@sha1:abcdef123456", COMMIT, "main", "sha1", "abcdef123456"),
        (f"main@<unknown>:{SHA256}", COMMIT, "main", "sha256", SHA256),
        (f"<unknown>:{SHA256}", COMMIT, None, "sha256", SHA256),
        (f"latest@sha256:{SHA256}", DIGEST, "latest", "sha256", SHA256),
        (f"6.6.1@sha256:{SHA256}", DIGEST, "6.6.1", "sha256", SHA256),
        (f"sha256:{SHA256}", DIGEST, None, "sha256", SHA256),
        (f"sha384:{SHA256[:32] * 3}", DIGEST, None, "sha384", SHA256[:32] * 3),
        (f"latest@sha512:{SHA256 * 2}", DIGEST, "latest", "sha512", SHA256 * 2),
        (f"blake3:{SHA256}", DIGEST, None, "blake3", SHA256),
        (f"main/{SHA}", COMMIT, "main", "sha1", SHA),
        (f"feature/x/{SHA}", COMMIT, "feature/x", "sha1", SHA),
        (f"HEAD/{SHA}", COMMIT, None, "sha1", SHA),
        (f"main/{SHA256}", COMMIT, "main", "sha256", SHA256),
        (SHA, COMMIT, None, "sha1", SHA),
        (SHA256, DIGEST, None, "sha256", SHA256),
        ("6.5.3", CHART, "6.5.3", None, ""),
        ("v6.5.3", CHART, "v6.5.3", None, ""),
        ("6.5.3-rc.1", CHART, "6.5.3-rc.1", None, ""),
        ("6.5.3+5394cb7f4833", CHART, "6.5.3", None, "5394cb7f4833"),
        ("6.5.3+5394cb7f4833.2", CHART, "6.5.3", None, "5394cb7f4833"),
        ("6.6.1+0CC9A8446C95", CHART, "6.6.1", None, "0cc9a8446c95"),
        ("6.5.3-rc.1+build.7", CHART, "6.5.3-rc.1", None, ""),
        ("6", CHART, "6", None, ""),
    ],
)
def test_forms(text: str, kind: RevisionKind, pointer: str | None, algorithm: str | None, digest: str) -> None:
    revision = parse_revision(f" {text}\n")
    assert (revision.kind, revision.pointer, revision.algorithm, revision.hash) == (kind, pointer, algorithm, digest)
    assert str(revision) == revision.text == text
    assert revision.commit_sha == (digest if kind is COMMIT and len(digest) in (40, 64) else None)
    assert find_revision(text) == revision


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "master",
        "main@",
        f"@sha1:{SHA}",
        "main@sha1:",
        "main@sha1:xyz",
        "main@sha1:abcdef",
        f"main@sha1:{SHA}0",
        "master@sha256:not-a-real-digest",
        f"master@sha256:{SHA256[:-1]}",
        f"main@md5:{SHA[:32]}",
        f"main@<unknown>:{SHA}",
        f"/{SHA}",
        f"main/{SHA[:-1]}",
        "1.2.3.4",
        "1.2.3+",
        f"main:{SHA}",
        "x" * 1025,
    ],
)
def test_other_text_is_refused_with_the_forms_that_are_known(text: str) -> None:
    with pytest.raises(WireError, match="unknown form of revision") as raised:
        parse_revision(text)
    assert "<ref>@sha1:<hex>" in str(raised.value)
    assert len(str(raised.value)) < 500
    assert not raised.value.retryable
    assert find_revision(text) is None


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (None, None, True),
        (None, SHA, False),
        (SHA, None, False),
        ("what-is-this", "what-is-this", True),
        ("what-is-this", "that", False),
        (f"main@sha1:{SHA}", f"main/{SHA}", True),
        (SHA, "what-is-this", False),
        ("what-is-this", SHA, False),
    ],
)
def test_same_content_of_texts(left: str | None, right: str | None, expected: bool) -> None:
    assert same_content(left, right) is expected


def test_nothing_is_no_revision() -> None:
    assert find_revision(None) is None


def test_a_refused_value_is_shown_without_its_secrets() -> None:
    with pytest.raises(WireError) as raised:
        parse_revision("https://user:pw@host/x")
    assert "pw" not in str(raised.value).replace("unknown form", "")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (f"main@sha1:{SHA}", "main@sha1:5394cb7f"),
        (f"sha1:{SHA}", "sha1:5394cb7f"),
        (f"main/{SHA}", "main@sha1:5394cb7f"),
        (f"latest@sha256:{SHA256}", "latest@sha256:3b6cdcc7"),
        ("6.5.3+5394cb7f4833", "6.5.3+5394cb7f4833"),
    ],
)
def test_short_form_is_that_of_flux(text: str, short: str) -> None:
    assert parse_revision(text).short == short


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (f"main@sha1:{SHA}", f"main@sha1:{SHA}", True),
        (f"main@sha1:{SHA}", f"release@sha1:{SHA}", True),
        (f"main@sha1:{SHA}", f"main/{SHA}", True),
        (f"main@sha1:{SHA}", SHA.upper(), True),
        (f"latest@sha256:{SHA256}", f"sha256:{SHA256}", True),
        (f"main@sha1:{SHA}", f"main@sha1:{SHA[::-1]}", False),
        ("6.5.3", "6.5.3", True),
        ("6.5.3", "6.5.4", False),
        ("6.5.3+5394cb7f4833", "6.5.4+5394cb7f4833", False),
        (f"main@sha1:{SHA}", "6.5.3", False),
    ],
)
def test_same_content(left: str, right: str, expected: bool) -> None:
    assert parse_revision(left).same_content(parse_revision(right)) is expected
    assert parse_revision(right).same_content(parse_revision(left)) is expected


def test_nothing_has_the_same_content_as_nothing() -> None:
    assert not parse_revision(SHA).same_content(None)


HEX = st.text("0123456789abcdef", min_size=40, max_size=40)
POINTERS = st.from_regex(r"[A-Za-z0-9._/-]{1,40}", fullmatch=True)


@given(POINTERS, HEX)
def test_branch_and_sha_come_back(pointer: str, sha: str) -> None:
    revision = parse_revision(f"{pointer}@sha1:{sha}")
    assert (str(revision), revision.pointer, revision.commit_sha) == (f"{pointer}@sha1:{sha}", pointer, sha)
    legacy = parse_revision(f"{pointer}/{sha}")
    assert legacy.same_content(revision)


@given(
    st.text(max_size=80)
    | st.from_regex(r"[a-z@:/+.<>0-9A-F-]{0,90}", fullmatch=True)
    | st.tuples(st.text(max_size=9), st.sampled_from(["@sha1:", "/", "@<unknown>:", "+", ":"]), HEX).map("".join)
)
def test_garbage_raises_wire_errors_only(text: str) -> None:
    try:
        revision = parse_revision(text)
    except WireError:
        assert find_revision(text) is None
    else:
        assert str(revision) == text.strip()
        assert parse_revision(str(revision)) == revision
        assert revision.same_content(revision)
        assert revision.short


@pytest.mark.parametrize(
    ("revision", "origin", "expected"),
    [
        (None, None, None),
        (f"main@sha1:{SHA}", None, SHA),
        (f"main/{SHA}", None, SHA),
        (f"main@<unknown>:{SHA256}", None, SHA256),
        (f"latest@sha256:{SHA256}", None, SHA256),
        (f"latest@sha256:{SHA256}", f"main@sha1:{SHA}", SHA),
        (f"latest@sha256:{SHA256}", SHA, SHA),
        (f"latest@sha256:{SHA256}", SHA.upper(), SHA),
        (f"latest@sha256:{SHA256}", "main@sha1:abcdef123456", SHA256),
        (f"latest@sha256:{SHA256}", f"sha256:{SHA256[::-1]}", SHA256),
        (f"latest@sha256:{SHA256}", "not-a-revision", SHA256),
        (f"latest@sha256:{SHA256}", "", SHA256),
        (f"main@sha1:{SHA}", f"main@sha1:{SHA[::-1]}", SHA[::-1]),
        ("main@sha1:abcdef123456", None, None),
        ("6.5.3", None, None),
        ("6.5.3+5394cb7f4833", None, None),
        ("6.5.3", f"main@sha1:{SHA}", SHA),
        ("what-is-this", None, None),
        (None, f"main@sha1:{SHA}", SHA),
    ],
)
def test_what_a_revision_is_followed_as(revision: str | None, origin: str | None, expected: str | None) -> None:
    assert followed_sha(revision, origin) == expected
