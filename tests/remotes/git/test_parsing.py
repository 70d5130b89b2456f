from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.model.errors import WireError
from fluxtrail.remotes.git import history
from fluxtrail.remotes.git.failures import CorruptCloneError
from fluxtrail.remotes.git.history import LogParser
from fluxtrail.remotes.git.objects import parse_tree, split_path
from fluxtrail.remotes.git.progress import parse_progress
from fluxtrail.remotes.git.refs import parse_refs, safe_pin_name

SHA = "ab" * 20
text_bytes = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"x"))
paths = st.lists(text_bytes.filter(bool), max_size=4)


def record(subject: bytes, body: bytes, names: list[bytes]) -> bytes:
    head = b"\0".join([b"", SHA.encode(), b"", b"Ada", b"ada@x", b"1768212000", b"1768212000", subject, body])
    return head + b"\0" + (b"\n" + b"\0".join(names) + b"\0" if names else b"")


@given(st.lists(st.tuples(text_bytes, text_bytes, paths), max_size=5), st.integers(1, 30))
def test_the_log_is_read_whatever_it_holds_and_however_it_is_cut(
    commits: list[tuple[bytes, bytes, list[bytes]]], size: int
) -> None:
    stream = b"".join(record(*commit) for commit in commits)
    parser = LogParser()
    for at in range(0, len(stream), size):
        parser.feed(stream[at : at + size])
    found = parser.finish()
    assert [facts.paths for facts in found] == [
        tuple(name.decode("utf-8", "backslashreplace") for name in names) for _, _, names in commits
    ]
    assert all(facts.sha == SHA and facts.committed_at == datetime(2026, 1, 12, 10, tzinfo=UTC) for facts in found)


def test_too_many_paths_are_cut_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PATHS_LIMIT", 2)
    parser = LogParser()
    parser.feed(record(b"s", b"", [b"a", b"b", b"c"]) + record(b"s", b"", [b"a", b"b"]))
    one, two = parser.finish()
    assert (one.paths, one.paths_truncated) == (("a", "b"), True)
    assert (two.paths, two.paths_truncated) == (("a", "b"), False)


def test_a_message_without_end_is_cut_as_it_comes() -> None:
    """No more of it is held than is read of it, and what follows it is read."""
    parser = LogParser()
    start, end = record(b"s", b"BODY", [b"a"]).split(b"BODY")
    parser.feed(start + b"This reverts commit " + SHA.encode() + b".\n")
    tracemalloc.start()
    try:
        for _ in range(500):
            parser.feed(b"x" * 64 * 1024)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
    parser.feed(end + record(b"next", b"", [b"b"]))
    one, two = parser.finish()
    assert (one.reverts, one.paths, two.subject, two.paths) == ((SHA,), ("a",), "next", ("b",))


def test_a_path_without_end_is_left_out_and_it_is_said() -> None:
    parser = LogParser()
    stream = record(b"s", b"", [b"a", b"x" * 200_000, b"c"])
    for at in range(0, len(stream), 64 * 1024):
        parser.feed(stream[at : at + 64 * 1024])
    (facts,) = parser.finish()
    assert (facts.paths, facts.paths_truncated) == (("a", "c"), True)


def test_absurd_dates_and_long_subjects_are_bounded() -> None:
    parser = LogParser()
    parser.feed(b"\0".join([b"", SHA.encode(), b"", b"", b"", b"99999999999999", b"-5", b"x" * 900, b"", b""]))
    (facts,) = parser.finish()
    assert facts.committed_at.year == 9999
    assert facts.authored_at.year == 1970
    assert len(facts.subject) == 200
    assert facts.author_email is None


def test_a_secret_in_a_subject_is_redacted() -> None:
    parser = LogParser()
    parser.feed(record(b"use ghp_0123456789abcdefghijABCDEFGHIJ", b"", []))
    assert parser.finish()[0].subject == "use [redacted]"


def test_progress_lines() -> None:
    step = parse_progress("Receiving objects:  42% (420/1000), 1.20 MiB | 2 MiB/s", repository="r")
    assert step is not None
    assert (step.phase, step.percent, step.done, step.total) == ("Receiving objects", 42, 420, 1000)
    counting = parse_progress("remote: Enumerating objects: 1234, done.        ", repository="r")
    assert counting is not None
    assert (counting.phase, counting.percent, counting.done) == ("Enumerating objects", None, 1234)
    assert parse_progress("Cloning into bare repository 'x'...", repository="r") is None


def test_refs_of_every_kind() -> None:
    lines = [
        f"refs/heads/a/b\0{SHA}\0commit\0\0",
        f"refs/tags/v1\0{'c' * 40}\0tag\0{SHA}\0commit",
        f"refs/tags/tree\0{'d' * 40}\0tree\0\0",
        f"refs/tags/nested\0{'e' * 40}\0tag\0{'f' * 40}\0tag",
        f"refs/fluxtrail/x-12\0{SHA}\0commit\0\0",
        "nonsense",
    ]
    found = parse_refs("\n".join(lines).encode())
    assert found.branches == {"a/b": SHA}
    assert found.tags == {"v1": SHA}
    assert found.nested_tags == {"nested": "f" * 40}
    assert found.pins == {"x-12": SHA}


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_pin_names_are_safe_and_distinct(one: str, other: str) -> None:
    name = safe_pin_name(one)
    assert name.isascii()
    assert not name.startswith("-")
    assert not set(name) & set("/.~^:?*[\\ @{")
    assert (name == safe_pin_name(other)) == (one == other)


def test_a_pin_needs_a_name() -> None:
    with pytest.raises(WireError, match="needs a name"):
        safe_pin_name("")


def test_tree_objects() -> None:
    data = b"100644 a b\0" + bytes.fromhex(SHA) + b"40000 dir\0" + bytes.fromhex(SHA) + b"160000 sub\0" + bytes(20)
    assert [(e.mode, e.type, e.name) for e in parse_tree(data, digest_bytes=20)] == [
        ("100644", "blob", "a b"),
        ("040000", "tree", "dir"),
        ("160000", "commit", "sub"),
    ]
    with pytest.raises(CorruptCloneError):
        parse_tree(data[:-1], digest_bytes=20)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_tree_or_damage(data: bytes) -> None:
    try:
        parse_tree(data, digest_bytes=20)
    except CorruptCloneError:
        return


def test_split_path() -> None:
    assert list(split_path("./clusters//prod/")) == ["clusters", "prod"]
    assert list(split_path("")) == []
