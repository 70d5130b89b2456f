"""A trail as a picture: a block for each target, its stages on a line, and in words what it waits for. Pure.

    ✔ deployed   prod-eu   Kustomization/flux-system/apps                    2m25s
      merged ──1m02s── exported ──14s── fetched ──~57s── applied ──12s── healthy
      10:00:00         10:01:02         10:01:16         ~10:02:13       10:02:25
      carried by 77aa88bb, then 0a1b2c3d

Stages stand below each other over all blocks. What is not reached is dim, after a dotted line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo

from fluxtrail.cli.picture_ci import ci_lines
from fluxtrail.cli.terminal import Terminal
from fluxtrail.cli.words import (
    OPEN_RUNNING,
    STUCK,
    age,
    blocker_words,
    clock,
    export_words,
    fit,
    is_stuck,
    pending_words,
    printable,
    short,
    short_revision,
    timestamp,
    width_of,
)
from fluxtrail.model.durations import duration
from fluxtrail.model.moment import Moment, Precision
from fluxtrail.model.stage import Interval, Stage, lead_time, stage_intervals
from fluxtrail.model.views import BlockerView, DeliveryView, TrailView

INDENT = "  "
COLUMN_MAX = 22
CONNECTOR_MIN = 8
"""Room for a duration such as `~1h02m` between two stages; below it, the stages go one below the other."""
EVIDENCE_MIN = 16
UNAFFECTED_SHOWN = 3
BLOCKERS_SHOWN = 3
_ORDER = ("failed", "pending", "rolled_back", "lost", "deployed", "abandoned", "unaffected")
_EXPECTED = (Stage.MERGED, Stage.FETCHED, Stage.APPLIED)
"""Stages that every delivery comes by, shown though nobody has reached them yet."""


class Picture:
    """Draws one trail for one terminal at one instant."""

    def __init__(self, trail: TrailView, out: Terminal, *, now: datetime, where: tzinfo | None, is_wide: bool) -> None:
        self._trail = trail
        self._out = out
        self._now = now
        self._where = where
        self._is_wide = is_wide
        self._width = out.width
        self._columns = _columns(trail.deliveries)
        self._near = trail.commit.merged.at if trail.commit.merged else now
        self._notes: set[str] = set()

    def lines(self) -> Iterator[str]:
        yield from self._header()
        ordered = sorted(self._trail.deliveries, key=lambda d: (_rank(d), d.cluster, d.target))
        affected = [d for d in ordered if d.verdict != "unaffected"]
        for delivery in affected:
            yield ""
            yield from self._block(delivery)
        unaffected = [d for d in ordered if d.verdict == "unaffected"]
        if unaffected:
            yield ""
            yield from self._unaffected(unaffected)
        if not ordered:
            yield ""
            yield f"{INDENT}no target is known that it goes to"
        if self._notes:
            yield ""
            yield from (self._out.style(fit(note, self._width), "dim") for note in sorted(self._notes))

    # the commit

    def _header(self) -> Iterator[str]:
        commit, out = self._trail.commit, self._out
        sha = short(commit.sha)
        subject = fit(printable(commit.subject), self._width - len(sha) - 2)
        yield f"{out.style(sha, 'sha')}  {out.style(subject, 'strong')}"
        facts = [commit.repository]
        if commit.author:
            facts.append(printable(commit.author))
        if commit.pull_request is not None:
            facts.append(f"#{commit.pull_request}")
        if commit.merged is not None:
            facts.append(f"merged {_mark(commit.merged)}{timestamp(commit.merged.at, self._where)}")
        yield from self._dim(f" {out.glyph('dot')} ".join(facts))
        if self._trail.via:
            yield from self._dim(f"{self._trail.queried} is part of it ({self._trail.via.replace('_', ' ')})")
        for line in ci_lines(self._trail, now=self._now, is_wide=self._is_wide):
            yield from self._wrapped(f" {out.glyph('dot')} ".join(line.parts), line.style)
        for export in self._trail.exports:
            told = [f"exported by {short(export.sha)} in {export.repository}"]
            told += [export_words(export.evidence)] if export.evidence else []
            told += [printable(export.build_link)] if export.build_link else []
            yield from self._dim(f" {out.glyph('dot')} ".join(told))
        yield from self._summary()

    def _summary(self) -> Iterator[str]:
        counts: dict[str, int] = {}
        for delivery in self._trail.deliveries:
            counts[delivery.verdict] = counts.get(delivery.verdict, 0) + 1
        end = "settled" if self._trail.is_settled else "not settled yet"
        parts = {verdict: f"{counts[verdict]} {verdict.replace('_', ' ')}" for verdict in _ORDER if verdict in counts}
        stuck = sum(is_stuck(delivery) for delivery in self._trail.deliveries)
        if stuck:
            parts["warn"] = f"{stuck} not running"
        plain = ", ".join([*parts.values(), end])
        if width_of(plain) > self._width - len(INDENT):
            yield from self._wrapped(plain, None)
        else:
            yield INDENT + ", ".join([*(self._out.style(text, verdict) for verdict, text in parts.items()), end])

    # one target

    def _block(self, delivery: DeliveryView) -> Iterator[str]:
        yield self._title(delivery)
        if delivery.is_before_baseline:
            yield from self._dim("was there before this target was first seen; when it came is not known")
        else:
            yield from self._timeline(delivery)
        yield from self._remarks(delivery)

    def _title(self, delivery: DeliveryView) -> str:
        out, verdict = self._out, delivery.verdict
        left = f"{out.glyph(verdict)} {verdict.replace('_', ' ')}"
        lasted = self._lasted(delivery)
        room = self._width - width_of(left) - width_of(lasted) - 5
        where = fit(f"{printable(delivery.cluster)}  {printable(delivery.target)}", room)
        gap = " " * (self._width - width_of(left) - 2 - width_of(where) - width_of(lasted))
        return f"{out.style(left, verdict)}  {out.style(where, 'strong')}{gap}{lasted}".rstrip()

    def _lasted(self, delivery: DeliveryView) -> str:
        """Lead time of what arrived, age of what is pending."""
        moments = _moments(delivery)
        if delivery.verdict == "pending":
            merged = moments.get(Stage.MERGED)
            return f"for {age(merged.at, self._now)}" if merged else ""
        reached = [stage for stage in (Stage.APPLIED, Stage.HEALTHY, Stage.RUNNING) if stage in moments]
        last = max(reached, key=lambda stage: moments[stage].at, default=Stage.APPLIED)
        lead = lead_time(moments, until=last)
        return self._figure(lead) if lead is not None else ""

    def _timeline(self, delivery: DeliveryView) -> Iterator[str]:
        moments = _moments(delivery)
        if not moments:
            return
        intervals = {interval.stage: interval for interval in stage_intervals(moments)}
        if Stage.HEALTHY in moments and Stage.RUNNING in moments:
            self._notes.add("running is timed from applied, as healthy is: roll-outs and checks go on at once")
        stages = [s for s in self._columns if s in moments or _may_come(s, delivery, moments)]
        if self._is_wide or self._step < max(len(stage) for stage in stages) + CONNECTOR_MIN:
            yield from self._list(moments, intervals, stages)
            return
        yield INDENT + self._road(moments, intervals, stages)
        yield INDENT + self._out.style(self._clocks(moments, stages), "dim")

    @property
    def _step(self) -> int:
        last = max(len(self._columns[-1]), 9)
        room = self._width - len(INDENT) - last
        return min(room // max(len(self._columns) - 1, 1), COLUMN_MAX)

    def _road(self, moments: dict[Stage, Moment], intervals: dict[Stage, Interval], stages: Sequence[Stage]) -> str:
        """Stages at fixed columns; between two of them a line with the time it took."""
        out, road, at = self._out, "", 0
        for stage in stages:
            column = self._columns.index(stage) * self._step
            if not road:
                road = " " * column
            else:
                interval = intervals.get(stage)
                label = self._figure(interval) if interval else ""
                road += self._connector(column - at, label, is_open=stage not in moments)
            road += stage.value if stage in moments else out.style(stage.value, "dim")
            at = column + len(stage.value)
        return road

    def _connector(self, width: int, label: str, *, is_open: bool) -> str:
        out = self._out
        line = out.glyph("gap" if is_open else "line")
        room = width - 2 - width_of(label)
        left, right = line * (room // 2), line * (room - room // 2)
        style = "estimated" if label.startswith("~") else "warn" if label.endswith("!") else None
        return f" {out.style(left, 'line')}{out.style(label, style)}{out.style(right, 'line')} "

    def _clocks(self, moments: dict[Stage, Moment], stages: Sequence[Stage]) -> str:
        row = ""
        for stage in stages:
            if stage in moments:
                moment = moments[stage]
                cell = _mark(moment) + clock(moment.at, self._near, self._where)
                row = row.ljust(self._columns.index(stage) * self._step) + cell
        return row

    def _list(
        self, moments: dict[Stage, Moment], intervals: dict[Stage, Interval], stages: Sequence[Stage]
    ) -> Iterator[str]:
        """One line a stage, with its evidence: for `-o wide` and for narrow terminals."""
        for stage in stages:
            moment = moments.get(stage)
            if moment is None:
                yield self._out.style(f"{INDENT}{stage.value:<10}-", "dim")
                continue
            interval = intervals.get(stage)
            took = f"+{self._figure(interval)}" if interval else ""
            at = f"{_mark(moment)}{clock(moment.at, self._near, self._where)}"
            evidence = f"{moment.precision.value}: {moment.evidence.value.replace('_', ' ')}{self._bracket(moment)}"
            head = f"{INDENT}{stage.value:<10}{at:<17}{took:<10}"
            room = self._width - width_of(head)
            yield (head + self._out.style(fit(evidence, room), "dim") if room > EVIDENCE_MIN else head.rstrip())

    def _bracket(self, moment: Moment) -> str:
        if moment.precision is not Precision.ESTIMATED or moment.not_before is None:
            return ""
        return f", not before {clock(moment.not_before, self._near, self._where)}"

    def _figure(self, interval: Interval) -> str:
        """A duration with its marks: `~` estimated, `!` two clocks disagree."""
        if interval.is_inverted:
            self._notes.add("! dated before the stage before it: two clocks disagree, so it is in no figure")
            return f"{duration(interval.seconds)}!"
        if interval.is_estimated:
            self._notes.add("~ estimated: it lies before the time shown, and is in no Fluxtrail figure")
            return f"~{duration(interval.seconds)}"
        return duration(interval.seconds)

    def _remarks(self, delivery: DeliveryView) -> Iterator[str]:
        if delivery.verdict == "pending":
            yield from self._wrapped(pending_words(delivery.reason, delivery.target), "pending")
        elif delivery.reason:
            yield from self._wrapped(f"{delivery.reason}, {age(delivery.since, self._now)} ago", delivery.verdict)
        if delivery.message:
            yield from self._wrapped(printable(delivery.message), None)
        yield from self._running(delivery)
        carrier = delivery.carrier if len(self._trail.exports) > 1 else None
        carried = [carrier, delivery.via if delivery.via != delivery.carrier else None]
        if any(carried):
            yield from self._dim("carried by " + ", then ".join(short(sha) for sha in carried if sha))
        if delivery.undone_by:
            yield from self._wrapped(f"undone by {short(delivery.undone_by)}", "warn")
        if delivery.is_scope_unknown:
            yield from self._dim("whether it concerns this target could not be found out")
        if self._is_wide and delivery.revision:
            yield from self._dim(f"revision {short_revision(delivery.revision)}")

    def _running(self, delivery: DeliveryView) -> Iterator[str]:
        """What the last stage waits for; what is under way, and nothing speaks against, is said in one line."""
        if delivery.running == "unknown":
            yield from self._dim("whether it runs is not known: its workloads are not watched, or could not be read")
        if delivery.running != "waiting":
            return
        stuck = [blocker for blocker in delivery.blockers if blocker.state in STUCK]
        if not stuck:
            names = ", ".join(printable(b.workload) for b in delivery.blockers[:BLOCKERS_SHOWN])
            yield from self._wrapped(f"applied; rolling out{f': {names}' if names else ''}", "pending")
            return
        yield from self._wrapped("applied, but not running:", "warn")
        shown = delivery.blockers if self._is_wide else stuck[:BLOCKERS_SHOWN]
        for blocker in shown:
            yield from self._blocker(blocker)
        if len(shown) < len(delivery.blockers):
            yield from self._dim(f"and {len(delivery.blockers) - len(shown)} more")

    def _blocker(self, blocker: BlockerView) -> Iterator[str]:
        lasted = f"  for {age(blocker.since, self._now)}" if blocker.since else ""
        name = fit(printable(blocker.workload), self._width - 2 * len(INDENT) - width_of(lasted))
        yield f"{INDENT * 2}{self._out.style(name, 'strong')}{self._out.style(lasted, 'dim')}"
        text = blocker_words(blocker)
        for line in textwrap.wrap(text, width=max(self._width - 3 * len(INDENT), 20)):
            yield INDENT * 3 + self._out.style(line, "pending" if blocker.state == "progressing" else "failed")

    def _unaffected(self, deliveries: Sequence[DeliveryView]) -> Iterator[str]:
        shown = deliveries if self._is_wide else deliveries[:UNAFFECTED_SHOWN]
        for delivery in shown:
            yield self._out.style(self._title(delivery), "dim")
        if len(shown) < len(deliveries):
            rest = len(deliveries) - len(shown)
            yield self._out.style(f"{self._out.glyph('unaffected')} and {rest} more that it does not concern", "dim")

    def _wrapped(self, text: str, style: str | None) -> Iterator[str]:
        for line in textwrap.wrap(text, width=max(self._width - len(INDENT), 20)):
            yield INDENT + self._out.style(line, style)

    def _dim(self, text: str) -> Iterator[str]:
        return self._wrapped(text, "dim")


def _columns(deliveries: Sequence[DeliveryView]) -> list[Stage]:
    known = {stage for delivery in deliveries for stage in _moments(delivery)}
    known |= {Stage.RUNNING for delivery in deliveries if delivery.running in OPEN_RUNNING}
    return [stage for stage in Stage if stage in known or stage in _EXPECTED]


def _may_come(stage: Stage, delivery: DeliveryView, moments: dict[Stage, Moment]) -> bool:
    """Only what is still on its way has stages to come; one that was passed by is absent."""
    if stage is Stage.RUNNING and delivery.running:
        return delivery.running in OPEN_RUNNING
    order = list(Stage)
    return delivery.verdict == "pending" and all(order.index(stage) > order.index(known) for known in moments)


def _moments(delivery: DeliveryView) -> dict[Stage, Moment]:
    """The stages of a view, in order; one that this version does not know is left out."""
    return {stage: delivery.stages[stage.value] for stage in Stage if stage.value in delivery.stages}


def _mark(moment: Moment) -> str:
    return "~" if moment.precision is Precision.ESTIMATED else ""


def _rank(delivery: DeliveryView) -> float:
    """What needs somebody first; what is deployed and does not run, before what is."""
    rank = _ORDER.index(delivery.verdict) if delivery.verdict in _ORDER else 0
    return rank - 0.5 if is_stuck(delivery) else rank
