"""What an object remembers of its treatment: an annotation that is written together with each act, never apart from it.

    doctor.fluxtrail.dev/treated: [{"key": "3f0c…", "at": "2026-11-22T10:00:00Z", "remedy": "reset", "generation": 4}]

A key stands for the state that was treated: the generation, the revision and the values that were attempted last. One
state is treated once, for ever; the budgets are counted over the same entries. So a restart at any instruction, another
process, or a person at the command line neither treats twice nor overspends.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from fluxtrail.model.doctor.findings import Remedy
from fluxtrail.model.doctor.patients import MAX_TREATED_BYTES, Patient
from fluxtrail.model.errors import WireError

BUDGET_WINDOW = timedelta(hours=1)
MAX_ENTRIES = 32
"""An object that has more of them to remember is not treated any more until some are old."""


class Treatment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    key: str
    at: datetime
    remedy: Remedy
    generation: int = 0
    """The key's: of an older generation nothing comes back."""
    is_half_done: bool = msgspec.field(default=False, name="halfDone")
    """It was suspended, and has still to be resumed."""
    has_stated: bool = msgspec.field(default=False, name="hasStated")
    """Before it was suspended, `spec.suspend: false` was stated."""
    follows: bool = False
    """No act of its own: the same one as the entry before, known by the generation that the act itself made."""


class MemoryFullError(WireError):
    """An object cannot remember one more act."""


def treatment_key(patient: Patient, *, generation: int | None = None) -> str:
    """Return what stands for the state of an object that a remedy is for."""
    parts = (str(patient.generation if generation is None else generation), patient.attempted, patient.config)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def read_treatments(text: str | None) -> tuple[Treatment, ...]:
    """Return what an object remembers, oldest first.

    Raises:
        WireError: the annotation is not what was written: somebody else did. Such an object is left alone.
    """
    if not text:
        return ()
    if len(text) > MAX_TREATED_BYTES:
        raise WireError(f"is longer than {MAX_TREATED_BYTES} bytes; remove it", subject="annotation treated")
    try:
        found = msgspec.json.decode(text, type=list[Treatment])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise WireError(f"cannot be read: {exc}; remove it", subject="annotation treated") from exc
    if any(each.at.tzinfo is None for each in found):
        raise WireError("has a time without a zone; remove it", subject="annotation treated")
    return tuple(sorted(found, key=lambda each: each.at))


def write_treatments(treatments: Sequence[Treatment], *, generation: int, now: datetime) -> str:
    """Return the annotation; entries that can matter no more are left out.

    Raises:
        MemoryFullError: more entries matter than may be kept.
    """
    kept = [each for each in treatments if each.generation >= generation or now - each.at < BUDGET_WINDOW]
    if len(kept) > MAX_ENTRIES:
        raise MemoryFullError(
            f"remembers {len(kept) - 1} acts, and may not remember more", subject="annotation treated"
        )
    return msgspec.json.encode(kept).decode()


def spent_at(treatments: Sequence[Treatment]) -> list[datetime]:
    """Return when an object was acted on: each act once."""
    return [each.at for each in treatments if not each.follows]
