"""Reports into spans or records, as the ledger has the facts when they are sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fluxtrail.model.errors import WireError
from fluxtrail.model.records import CommitId
from fluxtrail.model.report import ClaimedReport
from fluxtrail.model.telling import CommitTelling, DeliveryTelling, TellingKey
from fluxtrail.reports.firmness import LOOK_SECONDS, is_early, is_taken_back
from fluxtrail.reports.outputs import Ready, Rendering
from fluxtrail.reports.plan import Content, Subject, read_content
from fluxtrail.reports.ports import Clock, Facts
from fluxtrail.reports.telemetry.logs import seen_record, verdict_record
from fluxtrail.reports.telemetry.spans import PATIENCE, attempt_spans, root_span, running_spans, stage_spans

CHECKS_SECONDS = (1.0, 60.0)
"""How soon, and how late, it is looked again whether an attempt is over."""
COMMIT_SECONDS = (5.0, 300.0)
"""The same for a whole commit."""
SHARE = 8
"""It is looked again after this part of the time that it has been waiting already."""


class NotYet(NamedTuple):
    """It is too early to say this."""

    seconds: float


class Known(NamedTuple):
    """What the ledger has of everything that a batch is about."""

    deliveries: Mapping[TellingKey, DeliveryTelling]
    commits: Mapping[CommitId, CommitTelling]


Rendered = Sequence[Span] | Sequence[LogRecord] | NotYet
Render = Callable[[Content, Known, datetime, timedelta], Rendered]
"""(what it is about, facts, now, for how long the report has waited) -> messages; none: there is nothing to say."""


class Renderer:
    """Turns claimed reports into serialised messages."""

    def __init__(self, render: Render, facts: Facts, clock: Clock, *, settle_after: timedelta) -> None:
        self._render = render
        self._facts = facts
        self._clock = clock
        self._settle_after = settle_after

    async def render(self, reports: Sequence[ClaimedReport]) -> Rendering:
        """Return what becomes of these. Raises StoreError."""
        done = Rendering()
        contents: list[tuple[ClaimedReport, Content]] = []
        for report in reports:
            try:
                contents.append((report, read_content(report.body)))
            except WireError as exc:
                done.broken.append((report, str(exc)))
        now = self._clock.now()
        known = await self._known([content for _, content in contents], now)
        for report, content in contents:
            found = self._render(content, known, now, now - report.created_at)
            if isinstance(found, NotYet):
                done.waiting.append((report, now + timedelta(seconds=found.seconds)))
            elif found:
                done.ready.append(Ready(report, [message.SerializeToString() for message in found]))
            else:
                done.silent.append(report)
        return done

    async def _known(self, contents: Sequence[Content], now: datetime) -> Known:
        keys = [key for content in contents if (key := delivery_key(content)) is not None]
        commits = [content.commit for content in contents if content.target is None]
        return Known(
            deliveries=await self._facts.delivery_tellings(keys) if keys else {},
            commits=await self._facts.commit_tellings(commits, now=now, settle_after=self._settle_after)
            if commits
            else {},
        )


def delivery_key(content: Content) -> TellingKey | None:
    return None if content.target is None else TellingKey(content.commit, content.target, content.sync)


def render_spans(content: Content, known: Known, now: datetime, waited: timedelta) -> Sequence[Span] | NotYet:
    if content.about is Subject.COMMIT:
        whole = known.commits.get(content.commit)
        if whole is None:
            return []
        if not whole.is_settled and waited < PATIENCE:
            return _later(COMMIT_SECONDS, waited)
        return [root_span(whole, now=now)]
    key = delivery_key(content)
    told = known.deliveries.get(key) if key is not None else None
    if told is None:
        return []
    if content.about is Subject.VERDICT:
        return attempt_spans(content, told)
    spans = {Subject.APPLIED: stage_spans, Subject.RUNNING: running_spans}.get(content.about)
    if spans is None or told.sync is None:
        return []
    return spans(told) if told.sync.is_over else _later(CHECKS_SECONDS, waited)


def render_records(content: Content, known: Known, now: datetime, waited: timedelta) -> Sequence[LogRecord] | NotYet:
    if content.about is Subject.SEEN:
        whole = known.commits.get(content.commit)
        return [seen_record(content, whole.commit, now=now)] if whole is not None else []
    key = delivery_key(content)
    told = known.deliveries.get(key) if key is not None else None
    if told is None or is_taken_back(content, told):
        return []
    return NotYet(LOOK_SECONDS) if is_early(content, told, waited) else [verdict_record(content, told, now=now)]


def _later(seconds: tuple[float, float], waited: timedelta) -> NotYet:
    soonest, latest = seconds
    return NotYet(min(max(waited.total_seconds() / SHARE, soonest), latest))
