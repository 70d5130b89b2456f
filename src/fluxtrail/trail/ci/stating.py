"""Takes runs that pipelines state, or that signed events tell of, beside those that forges are asked for.

What was asked for is never replaced by what was told; but a pipeline knows what its forge does not: the image that it
made, the service, where it exported to. That is kept with the run, whoever spoke first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from fluxtrail.model.ci import CiEvidence, CiRole, CiRun
from fluxtrail.model.ci_merging import keep_export, keep_statement
from fluxtrail.model.errors import ConfigError
from fluxtrail.trail.ci.judging import take_runs
from fluxtrail.trail.ci.linking import link_runs, list_fitting
from fluxtrail.trail.ci.ports import CiUnit

NAMED, NAMED_DIGITS = 3, 12
_ITS_OWN = ("image", "digest", "carrier_repository", "carrier_sha", "service", "environment")
"""What only the pipeline knows: what it says last counts."""
_DETAILS = ("url", "number", "pipeline", "branch", "event", "author", "pull_request", *_ITS_OWN)


async def take_statements(unit: CiUnit, runs: Sequence[CiRun], *, now: datetime) -> list[CiRun]:
    """Keep stated runs, and judge the commits that they are of; returns those that changed something.

    Idempotent: the same statement a second time changes nothing, whenever it comes. But what it links is looked for
    again: by now its repository may have `exports_to`, and an older version may have kept it without linking.
    """
    known = {run.key: run for run in await unit.known_runs([run.key for run in runs])}
    changed = await take_runs(unit, [complete(run, known.get(run.key)) for run in runs], now=now)
    same = known.keys() & {run.key for run in runs if run.role is CiRole.EXPORT} - {run.key for run in changed}
    await link_runs(unit, [known[key] for key in sorted(same)], {}, now=now)
    return changed


async def check_carrier(unit: CiUnit, run: CiRun, *, allow_unfollowed: bool = False) -> None:
    """Refuse an export whose manifests nobody will ever read, or of which nobody can tell which commit it made.

    A sha that fits several commits now will fit them for ever, so it is refused and not kept. What was kept before it
    did is not refused where it is stated again.

    Args:
        allow_unfollowed: its repository need not be known: Flux does not apply it, or not yet.

    Raises:
        ConfigError: with the field as its subject.
    """
    name = run.carrier_repository
    if name and not allow_unfollowed:
        home = next((record for record in await unit.repositories() if record.canonical == name), None)
        if home is None or not (home.url or home.is_artifact or await unit.is_exported_to(home.id)):
            raise ConfigError(
                f"{name!r} is neither followed nor exported to; add it to `repositories`, or to `exports_to` of "
                f"{run.repository} there, or state `allow_unfollowed` where Flux does not apply it, or not yet",
                subject="carrier_repository",
            )
    if any(_is_kept(run, known) for known in await unit.known_runs([run.key])):
        return
    shas = list(dict.fromkeys(sha for sha, _ in await list_fitting(unit, run)))
    if len(shas) > 1:
        named = ", ".join(sha[:NAMED_DIGITS] for sha in shas[:NAMED])
        raise ConfigError(
            f"{run.carrier_sha!r} fits {len(shas)} commits or more ({named}); give more digits, or the whole sha",
            subject="carrier_sha",
        )


def _is_kept(told: CiRun, known: CiRun) -> bool:
    """Whether it is known already which commit a run made, by the same digits or more of them."""
    is_same = told.carrier_repository in ("", known.carrier_repository) and told.attempt <= known.attempt
    return is_same and known.carrier_sha.startswith(told.carrier_sha)


def complete(told: CiRun, known: CiRun | None) -> CiRun:
    """Return what is to be kept of a run that is told, beside what is known of the same run."""
    if known is None:
        return told
    if told.attempt != known.attempt:
        return keep_export(*sorted((told, known), key=lambda run: run.attempt, reverse=True))
    return keep_statement(_complete(told, known), told, known)


def _complete(told: CiRun, known: CiRun) -> CiRun:
    if known.carrier_sha.startswith(told.carrier_sha):
        told = msgspec.structs.replace(told, carrier_sha=known.carrier_sha)
    if known.evidence is CiEvidence.ASKED:
        own = {name: getattr(told, name) for name in _ITS_OWN if getattr(told, name)}
        return _with_details(msgspec.structs.replace(known, **own), told)
    if not told.replaces(known):
        return _with_details(known, told)
    whole = _with_details(told, known)
    if told.state is not known.state:
        started = min(filter(None, (known.started_at, told.started_at)), default=None)
        return msgspec.structs.replace(whole, queued_at=known.queued_at or told.queued_at, started_at=started)
    # Told again: it was so when it was first told. Only what is new of it counts.
    times = {name: getattr(known, name) or getattr(told, name) for name in ("queued_at", "started_at", "finished_at")}
    same = keep_statement(msgspec.structs.replace(whole, **times, updated_at=known.updated_at), told, known)
    return known if same == known else msgspec.structs.replace(whole, **times)


def _with_details(run: CiRun, other: CiRun) -> CiRun:
    """Return a run with what only the other has."""
    more = {name: getattr(other, name) for name in _DETAILS if not getattr(run, name)}
    return msgspec.structs.replace(run, **more)
