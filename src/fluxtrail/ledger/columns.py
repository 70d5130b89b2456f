"""How values become columns: the types of the schema, the same on every engine.

Times are whole microseconds UTC since 1970 (no engine's own time type keeps what Python has without
surprises). A moment is one short JSON array: measured against five columns it makes a row a third smaller
and is decoded in about a microsecond, and nothing ever filters inside it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, SmallInteger, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from fluxtrail.model.deployment import Content
from fluxtrail.model.moment import Evidence, Moment, Precision
from fluxtrail.model.observation import ObjectKey
from fluxtrail.model.sources import SourceInput
from fluxtrail.model.verdict import Verdict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Id = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite gives growing ids to `INTEGER PRIMARY KEY` only."""

VERDICT_CODES: dict[Verdict, int] = {
    Verdict.PENDING: 0,
    Verdict.DEPLOYED: 1,
    Verdict.UNAFFECTED: 2,
    Verdict.FAILED: 3,
    Verdict.ROLLED_BACK: 4,
    Verdict.LOST: 5,
    Verdict.ABANDONED: 6,
}
"""Part of the file format: a code is never given another meaning."""
VERDICTS_BY_CODE = {code: verdict for verdict, code in VERDICT_CODES.items()}


def to_micros(at: datetime) -> int:
    """Return whole microseconds since 1970; exact, unlike `datetime.timestamp`."""
    return (at - EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


class _PackedMoment(msgspec.Struct, array_like=True, frozen=True):
    at: int
    evidence: Evidence
    precision: Precision
    not_before: int | None = None
    not_after: int | None = None


_unpack = msgspec.json.Decoder(_PackedMoment).decode
_pack = msgspec.json.Encoder().encode


def pack_moment(moment: Moment) -> str:
    """Return `[at, evidence, precision, not_before, not_after]`."""
    packed = _PackedMoment(
        to_micros(moment.at),
        moment.evidence,
        moment.precision,
        to_micros(moment.not_before) if moment.not_before else None,
        to_micros(moment.not_after) if moment.not_after else None,
    )
    return _pack(packed).decode()


def unpack_moment(text: str) -> Moment:
    packed = _unpack(text)
    return Moment(
        at=from_micros(packed.at),
        evidence=packed.evidence,
        precision=packed.precision,
        not_before=None if packed.not_before is None else from_micros(packed.not_before),
        not_after=None if packed.not_after is None else from_micros(packed.not_after),
    )


def pack_key(key: ObjectKey) -> str:
    """Return `group/kind/namespace/name`; none of the four can hold a slash."""
    return f"{key.group}/{key.kind}/{key.namespace}/{key.name}"


def unpack_key(text: str) -> ObjectKey:
    return ObjectKey(*text.split("/", 3))


T = TypeVar("T")
Process = Callable[[Any], Any]


def _skip_none(convert: Callable[[Any], Any]) -> Process:
    return lambda value: None if value is None else convert(value)


class _Converted(TypeDecorator[T]):
    """A column whose values are converted by two functions, None being None on both sides."""

    impl: type[TypeEngine[Any]] = Text
    cache_ok = True
    to_column: Callable[[Any], Any]
    from_column: Callable[[Any], Any]

    def bind_processor(self, dialect: Dialect) -> Process:
        return _skip_none(type(self).to_column)

    def result_processor(self, dialect: Dialect, coltype: object) -> Process:
        return _skip_none(type(self).from_column)


class Instant(_Converted[datetime]):
    impl = BigInteger
    cache_ok = True
    to_column = staticmethod(to_micros)
    from_column = staticmethod(from_micros)


class MomentText(_Converted[Moment]):
    cache_ok = True
    to_column = staticmethod(pack_moment)
    from_column = staticmethod(lru_cache(maxsize=4096)(unpack_moment))
    """The rows of one answer repeat the moments of a few commits and syncs."""


class KeyText(_Converted[ObjectKey]):
    cache_ok = True
    to_column = staticmethod(pack_key)
    from_column = staticmethod(unpack_key)


class VerdictCode(_Converted[Verdict]):
    impl = SmallInteger
    cache_ok = True
    to_column = staticmethod(VERDICT_CODES.__getitem__)
    from_column = staticmethod(VERDICTS_BY_CODE.__getitem__)


_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_detail = msgspec.json.Decoder(dict[str, str]).decode


class Texts(_Converted[tuple[str, ...]]):
    """A short tuple of strings as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_texts)


class Detail(_Converted[dict[str, str]]):
    """A small mapping of strings as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_detail)


_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


class Counts(_Converted[dict[str, int]]):
    """A small mapping of strings to numbers as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_counts)


_decode_inputs = msgspec.json.Decoder(tuple[SourceInput, ...]).decode


class Inputs(_Converted[tuple[SourceInput, ...]]):
    """What a source is made from, as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_inputs)


_decode_pairs = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class Pairs(_Converted[tuple[tuple[str, str], ...]]):
    """A few pairs of strings, in their order, as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_pairs)


_decode_content = msgspec.json.Decoder(Content).decode


class ContentText(_Converted[Content]):
    """What was told of a deployment, as JSON."""

    cache_ok = True
    to_column = staticmethod(lambda value: _pack(value).decode())
    from_column = staticmethod(_decode_content)


class Facts(TypeDecorator[Any]):
    """All fields of a Struct as JSON: for what is looked up by other columns, and read whole."""

    impl = Text
    cache_ok = True

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        super().__init__()
        self.struct = struct
        self._decode = msgspec.json.Decoder(struct).decode

    def bind_processor(self, dialect: Dialect) -> Process:
        return _skip_none(lambda value: _pack(value).decode())

    def result_processor(self, dialect: Dialect, coltype: object) -> Process:
        return _skip_none(self._decode)


class Choice(TypeDecorator[StrEnum]):
    """A member of an enumeration as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def bind_processor(self, dialect: Dialect) -> Process:
        return _skip_none(lambda member: str(member.value))

    def result_processor(self, dialect: Dialect, coltype: object) -> Process:
        return _skip_none({member.value: member for member in self.members}.__getitem__)
