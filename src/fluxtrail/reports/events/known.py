"""What the ledger has of everything that a claim of event reports is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ClaimedReport
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TellingKey
from fluxtrail.reports.firmness import LOOK_SECONDS, is_early, is_taken_back
from fluxtrail.reports.outputs import Rendering
from fluxtrail.reports.plan import Content, Subject, read_content
from fluxtrail.reports.ports import Facts


class Known(NamedTuple):
    deliveries: Mapping[TellingKey, DeliveryTelling]
    commits: Mapping[CommitId, CommitTelling]

    def delivery(self, content: Content) -> DeliveryTelling | None:
        key = key_of(content)
        return self.deliveries.get(key) if key is not None else None


def is_held(
    report: ClaimedReport, content: Content, told: DeliveryTelling | None, done: Rendering, *, now: datetime
) -> bool:
    """Put a report aside whose verdict is not firm yet, or was taken back; returns whether it was."""
    if told is None:
        return False
    if is_taken_back(content, told):
        done.silent.append(report)
    elif is_early(content, told, now - report.created_at):
        done.waiting.append((report, now + timedelta(seconds=LOOK_SECONDS)))
    else:
        return False
    return True


def key_of(content: Content) -> TellingKey | None:
    """Return which delivery a verdict is of; None of what is no verdict."""
    if content.about is not Subject.VERDICT or content.target is None:
        return None
    return TellingKey(content.commit, content.target, content.sync)


def read_contents(reports: Sequence[ClaimedReport], done: Rendering) -> list[tuple[ClaimedReport, Content]]:
    """Return what they are about; those that cannot be read are put with what is broken."""
    found: list[tuple[ClaimedReport, Content]] = []
    for report in reports:
        try:
            found.append((report, read_content(report.body)))
        except WireError as exc:
            done.broken.append((report, str(exc)))
    return found


async def read_known(facts: Facts, contents: Sequence[Content], *, now: datetime) -> Known:
    """Return what there is of them; what is gone is left out. Raises StoreError."""
    keys = [key for content in contents if (key := key_of(content)) is not None]
    seen = [content.commit for content in contents if content.about is Subject.SEEN]
    return Known(
        deliveries=await facts.delivery_tellings(keys) if keys else {},
        commits=await facts.commit_tellings(seen, now=now, settle_after=timedelta(0)) if seen else {},
    )
