from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.clusters.answers import OversizedError
from fluxtrail.clusters.framing import LineSplitter


@given(lines=st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=20), data=st.data())
def test_lines_come_out_as_they_went_in_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found: list[bytes] = []
    start = 0
    while start < len(text):
        end = data.draw(st.integers(start + 1, len(text)))
        found += splitter.feed(text[start:end])
        start = end
    assert found == [line for line in lines if line]
    assert splitter.pending_bytes == 0


def test_an_unfinished_line_is_held_back() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.pending_bytes == 2
    assert splitter.feed(b"o\n") == [b"two"]


@pytest.mark.parametrize(
    "chunks",
    [(b"x" * 11,), (b"x" * 6, b"x" * 6), (b"x" * 6, b"x" * 6 + b"\n"), (b"a\n" + b"x" * 11 + b"\nb",)],
    ids=["at-once", "growing", "finished", "amid"],
)
def test_a_line_over_the_bound_is_refused_before_it_ends(chunks: tuple[bytes, ...]) -> None:
    splitter = LineSplitter(limit_bytes=10)
    for chunk in chunks[:-1]:
        assert splitter.feed(chunk) == []
    with pytest.raises(OversizedError):
        splitter.feed(chunks[-1])


def test_many_small_lines_over_the_bound_together_are_no_matter() -> None:
    splitter = LineSplitter(limit_bytes=10)
    assert len(splitter.feed(b"12345\n" * 100)) == 100
