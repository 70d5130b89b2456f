"""What lies around the deliveries of a planned world: CI, pull requests, images and what runs, reports, records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import msgspec
from benchmarks.pages_rows import PART_IMAGES, Row, Rows, author_of, moment, name_of, subject_of, uid_of
from benchmarks.pages_world import (
    CLUSTERS,
    DAY,
    MINUTE,
    PARTS,
    SERVICES,
    SYSTEMS,
    Change,
    Kind,
    Target,
    digits,
    sha_of,
    source_of,
)

from fluxtrail.ledger.columns import from_micros
from fluxtrail.model.ci import Approval, CiRole, CiRun, CiStage, CiState, CiSystem, PullRequest

_encode = msgspec.json.Encoder().encode
PROXIES = 12
"""Versions of the container that stands beside every service."""
REPORTS_SENT, REPORTS_DEAD, REPORTS_WAITING = 100_000, 300, 60
RECORDS = 5_000
PODS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")


def ci_runs(rows: Rows) -> Iterator[Row]:
    number = 0
    for change in rows.world.changes:
        if change.source is None:
            continue
        roles = [CiRole.BUILD, *([CiRole.EXPORT] if change.kind is Kind.SERVICE and change.number % 2 else [])]
        for role in roles:
            number += 1
            run = _run(change, role)
            at = change.at if role is CiRole.BUILD else change.at + 7 * MINUTE
            yield (
                number, run.system.value, run.host, run.project, run.run_id, role.value, run.repository, run.sha,
                run.state.value, run.evidence.value, at, _encode(run).decode(),
            )  # fmt: skip


def _run(change: Change, role: CiRole) -> CiRun:
    repository = source_of(change)
    began = from_micros(change.at if role is CiRole.BUILD else change.at + 7 * MINUTE)
    state = CiState.FAILED if change.number % 97 == 0 else CiState.SUCCEEDED
    third = timedelta(minutes=2)
    stages = [
        CiStage(name=name, state=state, started_at=began + third * n, finished_at=began + third * (n + 1))
        for n, name in enumerate(("test", "build", "push"))
    ]
    assert change.source is not None
    return CiRun(
        system=CiSystem(SYSTEMS[repository % len(SYSTEMS)]),
        host="ci.example.com",
        project=name_of(repository).partition("/")[2],
        run_id=str(change.number),
        role=role,
        repository=name_of(repository),
        sha=sha_of(change.source),
        branch="main",
        event="push",
        pipeline="build" if role is CiRole.BUILD else "export",
        number=f"#{change.number}",
        url=f"https://ci.example.com/{name_of(repository)}/runs/{change.number}/{role.value}",
        author=author_of(change),
        state=state,
        queued_at=began,
        started_at=began + timedelta(seconds=8),
        finished_at=began + third * 3,
        updated_at=began + third * 3,
        stages=tuple(stages) if role is CiRole.BUILD else (),
    )


def pull_requests(rows: Rows) -> Iterator[Row]:
    for change in rows.world.changes:
        if change.number % 5 == 0 or change.kind is Kind.MANIFESTS:
            continue
        repository, at = name_of(source_of(change)), from_micros(change.at)
        pull = PullRequest(
            repository=repository,
            number=change.number + 1,
            title=subject_of(change),
            author=author_of(change),
            url=f"https://{repository}/pull/{change.number + 1}",
            source_branch=f"change-{change.number}",
            target_branch="main",
            state="merged",
            created_at=at - timedelta(hours=20),
            merged_by="Dana Vega",
            merged_at=at,
            approvals=(Approval(by="Emre Sato", state="approved", at=at - timedelta(hours=1)),),
            updated_at=at,
        )
        yield repository, change.number + 1, change.at, _encode(pull).decode()


# -- what runs -----------------------------------------------------------------------------------------------------


def index_digest(*of: object) -> str:
    return f"sha256:{digits('index', *of, length=64)}"


def platform_digest(*of: object) -> str:
    return f"sha256:{digits('manifest', *of, length=64)}"


def images(rows: Rows) -> Iterator[Row]:
    """An index and the manifest of one platform for each build; some that nobody can be asked about."""
    for change in rows.world.changes:
        if change.kind is Kind.SERVICE:
            service = SERVICES[change.subject]
            state = "private" if service == "billing" else "unasked" if service == "returns" else "known"
            yield from _image(change.number, f"registry.example.com/acme/{service}", state, change, change.at)
    begin = rows.world.changes[0].at
    for version in range(PROXIES):
        yield from _image(f"proxy/{version}", "registry.example.com/mesh/proxy", "known", None, begin)
        for name in PART_IMAGES:
            yield from _image(f"{name}/{version}", name, "absent" if version == 3 else "known", None, begin)


def _image(key: object, repository: str, state: str, change: Change | None, at: int) -> Iterator[Row]:
    index, manifest = index_digest(key), platform_digest(key)
    is_known = state == "known" and change is not None
    assert change is None or change.source is not None
    source = name_of(source_of(change)) if change is not None and is_known else None
    revision = sha_of(change.source) if change is not None and change.source and is_known else None
    tag = f"{repository}:{tag_of(key)}"
    for digest, is_index, of, platform in ((index, 1, None, ""), (manifest, 0, index, "linux/amd64")):
        yield (
            digest, repository, tag, state, is_index, of, platform, at, None if is_index else source,
            None if is_index else revision, "", "", at, None, 1, index, 0, None, at,
        )  # fmt: skip


def tag_of(key: object) -> str:
    return f"1.{key}" if isinstance(key, int) else f"v{str(key).rpartition('/')[2]}"


def image_runs(rows: Rows) -> Iterator[Row]:
    for number, (target, since, until, key, container) in enumerate(_all_runs(rows), start=1):
        repository = _repository_of(target, key, container)
        yield (
            number, uid_of(target.cluster), target.namespace, "Deployment", target.name, container,
            platform_digest(key), f"{repository}:{tag_of(key)}", since, until, index_digest(key),
        )  # fmt: skip


def _repository_of(target: Target, key: object, container: str) -> str:
    if container == "proxy":
        return "registry.example.com/mesh/proxy"
    return str(key).rpartition("/")[0] if target.is_part else f"registry.example.com/acme/{target.name}"


def _all_runs(rows: Rows) -> Iterator[tuple[Target, int, int | None, object, str]]:
    chains = rows.world.branches
    running: dict[int, tuple[int, int]] = {}
    begin, now = rows.world.changes[0].at, rows.world.now
    for sync in rows.syncs:
        target = sync.target
        if target.is_part or target.is_gone or not sync.is_affected:
            continue
        mine = [
            change
            for change in chains[target.branch][sync.first : sync.position + 1]
            if change.kind is Kind.SERVICE and change.subject == target.subject
        ]
        if mine:
            at = sync.at + 20_000_000
            if target.id in running:
                yield target, running[target.id][0], at, running[target.id][1], "app"
            running[target.id] = at, mine[-1].number
    span = (now - begin) // PROXIES
    for target in rows.world.targets:
        if target.is_gone:
            continue
        if target.id in running:
            yield target, running[target.id][0], None, running[target.id][1], "app"
        names = PART_IMAGES[2 * target.subject : 2 * target.subject + 2] if target.is_part else ("proxy",)
        for name in names:
            for version in range(PROXIES):
                until = None if version == PROXIES - 1 else begin + (version + 1) * span
                container = name.rpartition("/")[2]
                yield target, begin + version * span, until, f"{name}/{version}", container


def workloads(rows: Rows) -> Iterator[Row]:
    number = 0
    for target in rows.world.targets:
        if target.is_gone:
            continue
        for place in range(8 if target.is_part else 4):
            number += 1
            state, cause, message = _standing(number, is_failing=rows.is_failing(target) and place == 0)
            kind = PODS[place % len(PODS)]
            since = rows.world.now - (number * 7919 % (200 * 24 * 60)) * MINUTE
            name = target.name if place == 0 else f"{target.name}-{place}"
            ready = moment(since, "rollout_condition") if state == "rolled_out" else None
            yield (
                number, uid_of(target.cluster), "batch" if kind == "CronJob" else "apps", kind, target.namespace, name,
                f"workload-{number}", target.id, 40, since, f'{{"app":"registry.example.com/acme/{name}:1.{number}"}}',
                f'{{"app":"{platform_digest(number)}"}}', state, cause, message, f"{name}-0" if cause else "",
                "app" if cause else "", since, 39, ready, rows.world.now, None,
            )  # fmt: skip


def _standing(number: int, *, is_failing: bool) -> tuple[str, str | None, str]:
    if is_failing:
        return "blocked", "crash_loop", "back-off 5m0s restarting failed container"
    if number % 37 == 0:
        return "blocked", "image_pull", "manifest unknown"
    if number % 41 == 0:
        return "progressing", None, ""
    return ("absent", None, "") if number % 4 == 0 else ("rolled_out", None, "")


def rollouts(rows: Rows, each: int = 60) -> Iterator[Row]:
    """Of each target's newest syncs; the others are forgotten sooner."""
    first = {}
    number = 1
    for target in rows.world.targets:
        if not target.is_gone:
            first[target.id] = number
            number += 8 if target.is_part else 4
    left = dict.fromkeys(first, each)
    newest = rows.newest()
    for index in range(len(rows.syncs) - 1, -1, -1):
        sync = rows.syncs[index]
        if not sync.is_affected or not left.get(sync.target.id):
            continue
        left[sync.target.id] -= 1
        is_open = rows.is_failing(sync.target) and newest[sync.target.id] == index
        at = None if is_open else moment(sync.at + 75_000_000, "rollout_condition")
        yield index + 1, first[sync.target.id], 40, "{}", "{}", "{}", at, 0, 1


def reports(rows: Rows) -> Iterator[Row]:
    share = min(1.0, rows.world.deliveries / 1_000_000)
    sent, dead, waiting = (max(int(n * share), 20) for n in (REPORTS_SENT, REPORTS_DEAD, REPORTS_WAITING))
    sinks = ("route.github", "route.chat", "route.audit")
    changes = [change for change in rows.world.changes if change.source is not None]
    total = sent + dead + waiting
    for number in range(total):
        # What waits is new; what was given up lies among what was sent.
        left = total - number
        state = (
            "waiting"
            if left <= waiting
            else "dead"
            if number * dead // total != (number + 1) * dead // total
            else "sent"
        )
        at = rows.world.now - left * (30 * DAY // total)
        change = changes[-1 - left * (len(changes) // 10) // total]
        answer = None if state == "sent" else f"{sinks[number % 3]} answered 503: try again later"
        yield (
            number + 1, sinks[number % 3], f"{change.source}.{number}", "every", state, b"{}", 1,
            1 if state == "sent" else 8, at, at, None, None, answer, at + MINUTE if state == "sent" else None,
        )  # fmt: skip


def records(rows: Rows) -> Iterator[Row]:
    share = min(1.0, rows.world.deliveries / 1_000_000)
    names = (*SERVICES, *PARTS)
    for number in range(max(int(RECORDS * share), 300)):
        name, cluster = names[number % len(names)], number % len(CLUSTERS)
        namespace, digest = f"team-{number % 40}", platform_digest("record", number)
        told = "unknown" if number % 9 == 0 else "told"
        at = rows.world.now - number * 11 * MINUTE
        content = f'{{"name":"acme/{name}","digest":"{digest}","version":"1.{number}","status":"deployed"}}'
        yield (
            number + 1, uid_of(cluster), f"{namespace}/{name}-{number}/app", namespace, "Deployment",
            f"{name}-{number}", "app", f"registry.example.com/acme/{name}", digest, f"1.{number}",
            "decommissioned" if number % 6 == 5 else "deployed", "[]", "[]", at, at, told,
            content if told == "told" else None, f"acme/all/{CLUSTERS[cluster]}/{CLUSTERS[cluster]}",
            at + MINUTE if told == "told" else None, 0 if told == "told" else 3,
            None if told == "told" else at, None if told == "told" else rows.world.now + 300 * DAY, "",
        )  # fmt: skip


def said(rows: Rows, most: int = 60_000) -> Iterator[Row]:
    changes = [change for change in rows.world.changes if change.source is not None][-most // 2 :]
    number = 0
    for change in changes:
        for environment in ("production", "staging"):
            number += 1
            key = f"{change.source}/{environment}"
            yield (
                number, "route.github", key, str(change.source), digits("said", key, length=16), "success", "", 2,
                change.at + 40 * MINUTE,
            )  # fmt: skip
