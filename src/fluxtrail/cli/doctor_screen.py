"""What `fluxtrail doctor` shows: how many of what, then each finding with its cause and the command to run."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from fluxtrail.cli.terminal import Terminal
from fluxtrail.cli.words import age, clock, fit, printable, width_of, zone
from fluxtrail.gitops.doctor.round import Report
from fluxtrail.gitops.doctor.treatment import Treated
from fluxtrail.model.doctor.findings import Finding, Severity

_STYLES = {Severity.CRITICAL: "failed", Severity.WARNING: "pending", Severity.INFO: "unaffected"}
_PLURALS = {
    Severity.CRITICAL: ("critical", "critical"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.INFO: ("note", "notes"),
}
_SHORT = {"HelmRelease": "hr", "Kustomization": "ks", "GitRepository": "gitrepo", "OCIRepository": "ocirepo"}
INDENT = "  "
FIELD_WIDTH = 44
MOST_WIDTH = 140


def lines(reports: Sequence[Report], out: Terminal, *, is_whole: bool, is_utc: bool, has_acted: bool) -> list[str]:
    """Return the screen.

    Args:
        is_whole: with evidence, every command, advice and runbook.
    """
    found: list[str] = []
    for report in reports:
        if found:
            found.append("")
        found.append(_summary(report, out, is_utc=is_utc))
        treated = {(each.plan.finding.key, each.plan.finding.code): each for each in report.treated}
        for finding in report.findings:
            found.append("")
            done = treated.get((finding.key, finding.code))
            found += _card(finding, done, report, out, is_whole=is_whole)
        found += _footer(report, out, is_whole=is_whole, has_acted=has_acted)
    return found


def _summary(report: Report, out: Terminal, *, is_utc: bool) -> str:
    counts = Counter(finding.severity for finding in report.findings)
    parts = [
        out.style(
            f"{out.glyph(_STYLES[severity])} {counts[severity]} {_PLURALS[severity][counts[severity] > 1]}",
            _STYLES[severity],
        )
        for severity in Severity
        if counts[severity]
    ]
    if not parts and not report.seen:
        parts = [out.style(f"{out.glyph('failed')} nothing could be read", "failed")]
    elif not parts:
        parts = [out.style(f"{out.glyph('deployed')} nothing found", "deployed")]
    at = clock(report.at, report.at, zone(is_utc=is_utc))
    dot = out.glyph("dot")
    where = out.style(f"{dot} {report.looked_at} objects {dot} {report.cluster} {dot} {at}", "dim")
    return f"{'   '.join(parts)}   {where}"


def _card(finding: Finding, done: Treated | None, report: Report, out: Terminal, *, is_whole: bool) -> list[str]:
    width = min(out.width, MOST_WIDTH)
    found = [_title(finding, report, out, width)]
    found += _wrapped(printable(finding.cause), out, width, first=INDENT)
    if is_whole:
        found += _evidence(finding, out, width)
    commands = finding.commands if is_whole else finding.commands[:1]
    for index, command in enumerate(commands):
        mark = out.glyph("note") if index == 0 else " "
        found.append(f"{INDENT}{out.style(mark, 'pending')} {out.style(printable(command), 'sha')}")
    if done is not None and (line := _treatment(done, out)):
        found += _wrapped(line[0], out, width, first=INDENT, style=line[1])
    if is_whole:
        for advice in finding.advice:
            found += _wrapped(printable(advice), out, width, first=INDENT)
        found.append(f"{INDENT}{out.style(finding.runbook, 'dim')}")
    return found


def _title(finding: Finding, report: Report, out: Terminal, width: int) -> str:
    style = _STYLES[finding.severity]
    kind = _SHORT.get(finding.kind, finding.kind.lower())
    since = f"for {age(finding.since, report.at)}" if finding.since is not None else ""
    place = printable(f"{kind} {finding.namespace}/{finding.name}")
    room = width - width_of(finding.code) - width_of(since) - 7
    place = fit(place, max(room, 8))
    gap = " " * max(min(width, 110) - 2 - width_of(place) - 3 - width_of(finding.code) - width_of(since), 2)
    return (
        f"{out.style(out.glyph(style), style)} {out.style(place, 'strong')}   {out.style(finding.code, style)}"
        f"{gap}{out.style(since, 'dim')}"
    ).rstrip()


def _evidence(finding: Finding, out: Terminal, width: int) -> Iterator[str]:
    fields = [printable(each.field) for each in finding.evidence]
    column = min(max((width_of(each) for each in fields), default=0), FIELD_WIDTH, max(width // 3, 12))
    for field, each in zip(fields, finding.evidence, strict=True):
        shown = fit(field, column)
        head = f"{INDENT}{INDENT}{out.style(shown, 'dim')}{' ' * (column - width_of(shown))}  "
        left = max(width - 2 * len(INDENT) - column - 2, 12)
        first, *others = textwrap.wrap(printable(each.value), left) or [""]
        yield f"{head}{first}".rstrip()
        for other in others[:2]:
            yield f"{INDENT}{INDENT}{' ' * (column + 2)}{other}"


def _treatment(done: Treated, out: Terminal) -> tuple[str, str] | None:
    """Return what was done, or is not done, and its style; nothing where it is for people anyway."""
    match done.outcome:
        case "acted":
            return f"{out.glyph('deployed')} {done.message}.", "deployed"
        case "dry_run":
            return f"The doctor {done.message}.", "dim"
        case "changed":
            return "Somebody changed it meanwhile: left alone.", "pending"
        case "failed":
            return f"{out.glyph('failed')} {printable(done.message)}", "failed"
        case _ if done.plan.finding.remedy is not None:
            return f"The doctor does nothing: {printable(done.message)}.", "dim"
        case _:
            return None


def _footer(report: Report, out: Terminal, *, is_whole: bool, has_acted: bool) -> list[str]:
    if not report.findings:
        return []
    hints = []
    if not is_whole:
        hints.append("-o wide shows the evidence")
    if not has_acted and any(each.outcome == "dry_run" for each in report.treated):
        hints.append("--act does what the doctor would do")
    return ["", out.style(f" {out.glyph('dot')} ".join(hints), "dim")] if hints else []


def _wrapped(text: str, out: Terminal, width: int, *, first: str, style: str | None = None) -> list[str]:
    wrapped = textwrap.wrap(text, max(width - len(first), 20)) or [""]
    return [f"{first}{out.style(line, style)}" for line in wrapped]
