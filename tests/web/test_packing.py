from __future__ import annotations

import gc
import gzip
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxtrail.web import packing
from fluxtrail.web.packing import KEPT_FROM_BYTES, Body, Packer, gathered


class Text:
    """A piece that counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def __len__(self) -> int:
        return len(self.data)

    def read(self) -> bytes:
        self.reads += 1
        return self.data


def large(letter: bytes, times: int = KEPT_FROM_BYTES) -> Text:
    return Text(letter * times)


def unpacked(parts: list[bytes]) -> bytes:
    """What one gzip member holds, for whoever does not read on behind the first; it verifies size and checksum."""
    reader = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    data = reader.decompress(b"".join(parts)) + reader.flush()
    assert reader.eof
    assert reader.unused_data == b""
    return data


PART = st.binary(max_size=300).flatmap(lambda data: st.sampled_from([data, Text(data), Text(data * 40)]))


@given(st.lists(PART, max_size=12))
def test_what_is_packed_is_what_it_was(body: Body) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "KEPT_FROM_BYTES", 64)
        packer = Packer()
        plain = b"".join(packing.read(part) for part in body)
        for _ in range(2):
            packed = packer.pack(body)
            assert unpacked(packed) == plain
            assert gzip.decompress(b"".join(packed)) == plain


@given(st.lists(PART, max_size=12))
def test_what_is_sent_is_what_it_was_in_few_parts(body: Body) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SENT_AT_ONCE_BYTES", 256)
        parts = list(gathered(body))
        assert b"".join(parts) == b"".join(map(packing.read, body))
        assert all(len(part) >= 256 for part in parts[:-1])
        assert all(parts)


def test_a_large_part_is_sent_as_it_is() -> None:
    data = b"a" * packing.SENT_AT_ONCE_BYTES
    assert next(gathered([data, b"b"])) is data


def test_what_stays_is_packed_once() -> None:
    packer = Packer()
    first, second, little = large(b"a"), large(b"b"), Text(b"c\n")
    packer.pack([b"head\n", first, little, second, b"tail\n"])
    third = large(b"d")
    packed = packer.pack([b"head\n", first, little, third, b"other\n", second])
    assert [piece.reads for piece in (first, second, third, little)] == [1, 1, 1, 2]
    assert unpacked(packed) == b"head\n" + first.data + little.data + third.data + b"other\n" + second.data


def test_what_goes_is_forgotten() -> None:
    packer = Packer()
    pieces = [large(letter) for letter in (b"a", b"b")]
    packer.pack(pieces)
    assert len(packer._kept) == 2
    del pieces[0]
    gc.collect()
    assert len(packer._kept) == 1


def test_sizes_beyond_what_the_trailer_holds_are_taken_modulo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trailer has the size modulo 2**32: an answer of more than 4 GiB is no error."""
    zeros = large(b"\0", 2**20)
    packed = Packer().pack([zeros] * 4097)
    assert packed[-1][-4:] == (2**20).to_bytes(4, "little")


@pytest.mark.requires("gzip")
def test_the_command_reads_it(tmp_path: Path) -> None:
    command = shutil.which("gzip")
    if command is None:
        pytest.skip("no gzip")
    body: Body = [b"head\n", large(b"line\n"), b"tail\n"]
    path = tmp_path / "body.gz"
    path.write_bytes(b"".join(Packer().pack(body)))
    done = subprocess.run([command, "-dc", str(path)], capture_output=True, check=True)
    assert done.stdout == b"".join(packing.read(part) for part in body)
