"""GitHub's artifact metadata API: deployment records one by one, by the cluster, and by jobs.

What it holds at the end is what a test compares; it lives as long as the simulator, whoever is killed beside it.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from fluxtrail.simulator.artifact_faults import Call, RecordsFault, RecordsFaults
from fluxtrail.simulator.artifact_limits import CLUSTER_LIMIT, JOB_LIMIT, RefusedError, check_bulk, check_single
from fluxtrail.simulator.clock import SimulatedClock, precise_time, seconds, wire_time
from fluxtrail.simulator.faults import fault_headers

BASE = "/orgs/{org}/artifacts/metadata/deployment-record"
JOB_SECONDS = 3.0
"""How long a job takes, in simulated time; half of it is waiting."""
_KEPT_REQUESTS = 20_000
_KEPT_HISTORY = 200
_MESSAGES = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    429: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
}

Json = dict[str, Any]
Key = tuple[str, str, str, str]
"""(logical environment, physical environment, cluster, deployment name)."""


@dataclass(slots=True)
class _Job:
    id: int
    cluster: str
    started_at: datetime
    bodies: list[tuple[Key, Json]]
    errors: list[Json]
    will_fail: bool
    takes_seconds: float = JOB_SECONDS
    is_done: bool = False

    def is_due(self, now: datetime) -> bool:
        return not self.is_done and now >= self.started_at + seconds(self.takes_seconds)

    def state(self, now: datetime) -> str:
        if self.is_done:
            return "failed" if self.will_fail else "completed"
        return "processing" if now >= self.started_at + seconds(self.takes_seconds / 2) else "pending"


@dataclass(slots=True)
class ArtifactMetadata:
    """The records of one organization.

    Args:
        unattested: digests that GitHub knows no artifact of.
        token: the bearer token it wants; empty lets everybody in.
    """

    clock: SimulatedClock
    organization: str = "acme"
    unattested: set[str] = field(default_factory=set)
    token: str = ""
    records: dict[Key, Json] = field(default_factory=dict)
    history: dict[Key, list[tuple[str, str]]] = field(default_factory=dict)
    """(digest, status) that a key went through, repeats left out, oldest first; the last two hundred."""
    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(call, status) -> requests; a connection that was cut counts as 0."""
    requests: deque[Json] = field(default_factory=lambda: deque(maxlen=_KEPT_REQUESTS))
    faults: RecordsFaults = field(default_factory=RecordsFaults)
    _jobs: dict[int, _Job] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post(BASE, self._answering("single", self._single))
        router.add_post(BASE + "/cluster/{cluster}", self._answering("cluster", self._cluster))
        router.add_post(BASE + "/cluster/{cluster}/jobs", self._answering("job", self._job))
        router.add_get(BASE + "/cluster/{cluster}/jobs/{job}", self._answering("job_status", self._job_status))

    def fail(self, fault: RecordsFault) -> None:
        self.faults.add(fault, now=self.clock.now())

    def attest(self, digests: Collection[str]) -> None:
        """The artifacts are known from now on."""
        self.unattested.difference_update(digests)

    def listed(self) -> list[Json]:
        """Return what is held now, by cluster and deployment name."""
        self._finish_jobs()
        return [self.records[key] for key in sorted(self.records, key=lambda key: (key[2], key[3], key))]

    def report(self) -> Json:
        """Return the records and the counts for somebody outside this process."""
        listed = self.listed()
        counts: dict[str, dict[str, int]] = {}
        for (call, status), count in sorted(self.counts.items()):
            counts.setdefault(call, {})[str(status)] = count
        pending = sum(not job.is_done for job in self._jobs.values())
        return {"records": listed, "counts": counts, "jobs_pending": pending, "total_requests": self.counts.total()}

    # Answers.

    def _answering(
        self, call: Call, handler: Callable[[web.Request, Any, bool], tuple[int, Json]]
    ) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            taken = self.faults.take(call, self.clock.now())
            await self.clock.sleep(sum(fault.delay_seconds for fault in taken if fault.action == "delay"))
            struck = next((fault for fault in taken if fault.action in ("status", "drop")), None)
            fails_job = any(fault.action == "fail_job" for fault in taken)
            try:
                if struck is None or struck.is_after:
                    self._finish_jobs()
                    self._admit(request)
                    status, body = handler(request, _parse(raw) if call != "job_status" else None, fails_job)
                    if call == "job":
                        longer = sum(fault.delay_seconds for fault in taken if fault.action == "slow_job")
                        self._jobs[body["job_id"]].takes_seconds += longer
                else:
                    status, body = 0, {}
            except RefusedError as exc:
                status, body = exc.status, _message(exc.message)
            if struck is not None:
                return self._strike(request, call, struck, raw)
            self._note(call, status, raw)
            return web.json_response(body, status=status, headers=self._headers())

        return answer

    def _strike(self, request: web.Request, call: Call, fault: RecordsFault, raw: bytes) -> web.Response:
        if fault.action == "drop":
            self._note(call, 0, raw)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        self._note(call, fault.status, raw)
        headers = self._headers() | fault_headers(fault, now=self.clock.now())
        body = _message(_MESSAGES.get(fault.status, "Server Error"))
        return web.json_response(body, status=fault.status, headers=headers)

    def _note(self, call: Call, status: int, raw: bytes) -> None:
        self.counts[call, status] += 1
        at = precise_time(self.clock.now())
        self.requests.append({"at": at, "call": call, "status": status, "size_bytes": len(raw)})

    def _headers(self) -> dict[str, str]:
        """Answers are of the world's time: dates in them refer to the `Date` beside them."""
        now = self.clock.now()
        return {
            "Date": format_datetime(now, usegmt=True),
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "4999",
            "X-RateLimit-Reset": str(int(now.timestamp()) + 3600),
            "X-GitHub-Media-Type": "github.v3; format=json",
        }

    def _admit(self, request: web.Request) -> None:
        if request.match_info["org"].lower() != self.organization:
            raise RefusedError(404, "Not Found")
        if not self.token:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not given:
            raise RefusedError(401, "Requires authentication")
        if scheme.lower() not in ("bearer", "token") or given.strip() != self.token:
            raise RefusedError(401, "Bad credentials")

    # Calls.

    def _single(self, request: web.Request, body: Any, fails_job: bool) -> tuple[int, Json]:
        del request, fails_job
        check_single(body)
        if body["digest"] in self.unattested:
            raise RefusedError(404, f"No artifacts found for digest {body['digest']}")
        stored = self._store(_key(body, str(body.get("cluster") or ""), body), body)
        return 200, {"total_count": 1, "deployment_records": [stored] if body.get("return_records") else []}

    def _cluster(self, request: web.Request, body: Any, fails_job: bool) -> tuple[int, Json]:
        del fails_job
        check_bulk(body, limit=CLUSTER_LIMIT, more=("return_records",))
        cluster = request.match_info["cluster"]
        known, unknown = self._split(body["deployments"])
        if not known or (unknown and not body.get("partial_success")):
            raise RefusedError(404, "No artifacts found for the given digests")
        stored = [self._store(_key(body, cluster, entry), entry) for entry in known]
        errors = [entry | {"cluster": cluster, "cause": "not_found"} for entry in unknown]
        shown = stored if body.get("return_records") else []
        return 200, {"total_count": len(stored), "deployment_records": shown, "errors": errors}

    def _job(self, request: web.Request, body: Any, fails_job: bool) -> tuple[int, Json]:
        check_bulk(body, limit=JOB_LIMIT)
        cluster = request.match_info["cluster"]
        if any(job.cluster == cluster and not job.is_done for job in self._jobs.values()):
            raise RefusedError(409, "A job is already pending or processing for this cluster")
        known, unknown = self._split(body["deployments"])
        if not known:
            raise RefusedError(404, "No repositories found for the given artifacts")
        job = _Job(
            id=next(self._numbers),
            cluster=cluster,
            started_at=self.clock.now(),
            bodies=[(_key(body, cluster, entry), entry) for entry in known],
            errors=[{"name": entry["name"], "cause": "not_found"} for entry in unknown],
            will_fail=fails_job,
        )
        self._jobs[job.id] = job
        return 202, {"job_id": job.id, "errors": []}

    def _job_status(self, request: web.Request, body: Any, fails_job: bool) -> tuple[int, Json]:
        del body, fails_job
        number = request.match_info["job"]
        job = self._jobs.get(int(number)) if number.isdigit() else None
        if job is None or job.cluster != request.match_info["cluster"]:
            raise RefusedError(404, "Not Found")
        answer: Json = {"job_id": job.id, "status": job.state(self.clock.now()), "errors": []}
        if answer["status"] != "pending":
            answer["started_at"] = wire_time(job.started_at)
        if job.is_done:
            answer |= {"total_count": 0 if job.will_fail else len(job.bodies), "errors": job.errors}
        return 200, answer

    # What is held.

    def _finish_jobs(self) -> None:
        """Carry out the jobs whose time has come, in the order in which they came."""
        now = self.clock.now()
        for job in self._jobs.values():
            if job.is_due(now):
                job.is_done = True
                for key, entry in () if job.will_fail else job.bodies:
                    self._store(key, entry)
                job.bodies = [] if job.will_fail else job.bodies

    def _split(self, entries: Sequence[Json]) -> tuple[list[Json], list[Json]]:
        known = [entry for entry in entries if entry["digest"] not in self.unattested]
        return known, [entry for entry in entries if entry["digest"] in self.unattested]

    def _store(self, key: Key, entry: Json) -> Json:
        logical, physical, cluster, name = key
        now = wire_time(self.clock.now())
        before = self.records.get(key)
        status = entry.get("status") or "deployed"
        record = {
            "id": before["id"] if before else next(self._numbers),
            "logical_environment": logical,
            "physical_environment": physical,
            "cluster": cluster,
            "deployment_name": name,
            "name": entry["name"],
            "digest": entry["digest"],
            "version": entry.get("version") or "",
            "status": status,
            "runtime_risks": sorted(entry.get("runtime_risks") or ()),
            "tags": dict(entry.get("tags") or {}),
            "created_at": before["created_at"] if before else now,
            "updated_at": now,
            "times_told": (before["times_told"] if before else 0) + 1,
        }
        self.records[key] = record
        history = self.history.setdefault(key, [])
        if not history or history[-1] != (entry["digest"], status):
            history.append((entry["digest"], status))
            del history[:-_KEPT_HISTORY]
        return record


def _key(place: Json, cluster: str, entry: Json) -> Key:
    return (
        place["logical_environment"],
        place.get("physical_environment") or "",
        cluster,
        entry["deployment_name"],
    )


def _parse(raw: bytes) -> Any:
    try:
        body = json.loads(raw)
    except ValueError as exc:
        raise RefusedError(400, "Problems parsing JSON") from exc
    if not isinstance(body, dict):
        raise RefusedError(400, "Body should be a JSON object")
    return body


def _message(text: str) -> Json:
    return {"message": text, "documentation_url": "https://docs.github.com/rest"}
