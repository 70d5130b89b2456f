"""How long building takes, from merged to built: a histogram a repository, kept in the ledger with what it is made of.

A commit is counted once, in the unit that finds it to be time: when it is delivered, or an hour after it was built if
nothing delivers it. From then on its moment stays, so a restart, a second look and a pruned row change no figure.
Commits whose merge is only estimated are left out, as in all figures of ours.
"""

from datetime import datetime, timedelta
from itertools import accumulate
from typing import ClassVar

import msgspec

from fluxtrail.model.figures import BUCKETS_SECONDS
from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.records import CommitRecord
from fluxtrail.model.stage import INVERSION_TOLERANCE

FIRM_AFTER = timedelta(hours=1)
REMEMBERED = timedelta(days=8)
"""For so long it is remembered which commits were counted; older ones are not counted any more."""


class _Histogram(msgspec.Struct):
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    milliseconds: int = 0


class Durations(msgspec.Struct):
    NOTE: ClassVar[str] = "ci.durations"

    histograms: dict[str, _Histogram] = {}
    """By canonical repository."""
    counted: dict[int, int] = {}
    """When the commits were merged that are counted, by id; POSIX seconds, since there may be thousands."""

    def count(self, repository: str, commit: CommitRecord, built: Moment, *, is_delivered: bool, now: datetime) -> bool:
        """Count a commit, if it is time and it is not counted; returns whether it was."""
        merged = commit.merged
        if merged is None or commit.id in self.counted or not (is_delivered or now - built.at >= FIRM_AFTER):
            return False
        forgotten = now - REMEMBERED
        if merged.at < forgotten or Precision.ESTIMATED in (merged.precision, built.precision):
            return False
        if built.at - merged.at < -INVERSION_TOLERANCE:
            return False  # built before it was merged: in its pull request
        self.counted = {id_: at for id_, at in self.counted.items() if at >= forgotten.timestamp()}
        self.counted[commit.id] = int(merged.at.timestamp())
        histogram = self.histograms.setdefault(repository, _Histogram())
        lasted = max(built.at - merged.at, timedelta(0))
        place = sum(lasted.total_seconds() > bound for bound in BUCKETS_SECONDS)
        histogram.counts[place] += 1
        histogram.milliseconds += round(lasted.total_seconds() * 1000)
        return True

    def cumulative(self, repository: str) -> tuple[tuple[tuple[float, int], ...], float]:
        """Return a repository's (upper bound, how many up to it), the last bound infinite, and the sum in seconds."""
        histogram = self.histograms[repository]
        bounds = (*map(float, BUCKETS_SECONDS), float("inf"))
        return tuple(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.milliseconds / 1000


def read_durations(note: str | None) -> Durations:
    """Return what a note keeps; one that cannot be read (of another version) begins anew."""
    try:
        found = msgspec.json.decode(note, type=Durations) if note else Durations()
    except msgspec.MsgspecError:
        return Durations()
    sizes = {len(histogram.counts) for histogram in found.histograms.values()}
    return found if sizes <= {len(BUCKETS_SECONDS) + 1} else Durations()


def write_durations(durations: Durations) -> str:
    return msgspec.json.encode(durations).decode()
