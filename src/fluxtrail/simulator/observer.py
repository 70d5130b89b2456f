"""What `fluxtrail run` says of a simulated world, read from its API and its metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.compare_figures import DURATION, LEAD_TIME, Place, Told
from fluxtrail.simulator.processes import RunProcess, SimulatorProcess

_TIMEOUT = aiohttp.ClientTimeout(total=15)
_AT_ONCE = 4
_PAGE = 500

_OF_WORKLOADS = ("cluster", "workload", "target", "state", "cause", "message")
_OF_IMAGES = ("repository", "digest", "tags", "state", "platform", "source", "revision", "clusters")

Json = dict[str, Any]


class Observer:
    """Reads the API of one `run`. A server that is away is an UpstreamError, and may be back at the next call."""

    def __init__(self, run: RunProcess) -> None:
        self._run = run

    async def commits(self, *, limit: int = _PAGE) -> list[Json]:
        """Return all commits (at most `limit`), the newest first."""
        found: list[Json] = []
        cursor: str | None = None
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while len(found) < limit:
                query = f"?limit={min(_PAGE, limit - len(found))}" + (f"&cursor={quote(cursor)}" if cursor else "")
                page = await _get(session, f"{self._run.api}/api/v1/commits{query}")
                found += page["items"]
                cursor = page.get("next")
                if not cursor:
                    break
        return found

    async def clusters(self) -> list[Json]:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            items: list[Json] = (await _get(session, f"{self._run.api}/api/v1/clusters"))["items"]
            return items

    async def targets(self) -> list[Json]:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            items: list[Json] = (await _get(session, f"{self._run.api}/api/v1/targets?limit=1000"))["items"]
            return items

    async def not_running(self) -> list[Json]:
        """Return the workloads that do not get on, and why."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            found: list[Json] = []
            for state in ("blocked", "failed"):
                page = await _get(session, f"{self._run.api}/api/v1/workloads?state={state}&limit=200")
                found += [{key: row.get(key) for key in _OF_WORKLOADS} for row in page["items"]]
            return sorted(found, key=lambda row: (row["cluster"], row["workload"]))

    async def images(self) -> list[Json]:
        """Return the images that run and are known, and what they were built from."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            page = await _get(session, f"{self._run.api}/api/v1/images?limit={_PAGE}")
            found = [{key: row.get(key) for key in _OF_IMAGES} for row in page["items"] if row["running"]]
            return sorted(found, key=lambda row: (row["repository"], row["digest"]))

    async def transitions(self, *, after: int, limit: int = 200) -> list[Json]:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            url = f"{self._run.api}/api/v1/transitions?after={after}&limit={limit}"
            items: list[Json] = (await _get(session, url))["items"]
            return items

    async def trails(self, shas: Iterable[str]) -> dict[str, Json]:
        """Return the trails of those that are known."""
        found: dict[str, Json] = {}
        gate = asyncio.Semaphore(_AT_ONCE)
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as group:

            async def read(sha: str) -> None:
                async with gate:
                    trail = await _find(session, f"{self._run.api}/api/v1/commits/{sha}")
                    if trail is not None:
                        found[sha] = trail

            for sha in shas:
                group.create_task(read(sha))
        return found

    async def histogram_counts(self) -> dict[tuple[str, str, str], int]:
        """Return (family, cluster, Kustomization) -> count of flux-commit-tracker's histograms."""
        counts: dict[tuple[str, str, str], int] = {}
        for family in text_string_to_metric_families(await self._metrics()):
            for sample in family.samples:
                if sample.name == f"{family.name}_count" and family.name.startswith("flux_commit_tracker_"):
                    cluster, name = sample.labels["k8s_cluster_name"], sample.labels["k8s_resource_name"]
                    counts[family.name, cluster, name] = int(sample.value)
        return counts

    async def running_figures(self) -> dict[Place, Told]:
        """Return the histograms of how long it took until something ran."""
        return read_running(await self._metrics())

    async def _metrics(self) -> str:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            try:
                async with session.get(self._run.metrics) as answer:
                    return await answer.text()
            except (aiohttp.ClientError, TimeoutError) as exc:
                raise UpstreamError(f"/metrics does not answer: {exc}") from exc

    async def until_settled(
        self,
        simulator: SimulatorProcess,
        *,
        patience_seconds: float = 120.0,
        poll_seconds: float = 0.5,
        progress: Callable[[Json, int], None] | None = None,
    ) -> list[Json]:
        """Wait until the script is over and all it pushed is settled on every target; return the trails.

        Args:
            simulator: says what was pushed.
            patience_seconds: how long to wait after the script is over.
            poll_seconds: between two looks.
            progress: called with the script's status and how many commits (exports apart) are settled.

        Raises:
            UpstreamError: something is still not settled; the message names the first of it.
        """
        over_since: float | None = None
        while True:
            status = await simulator.status()
            shas = [item["sha"] for item in status["pushed"]]
            trails = await self._try_trails(shas)
            settled = {sha for sha, trail in trails.items() if trail["is_settled"]}
            if progress is not None:
                progress(status, sum(i["sha"] in settled for i in status["pushed"] if not i["is_export"]))
            if status["is_finished"] and status["is_quiet"]:
                if settled.issuperset(shas):
                    return [trails[sha] for sha in shas]
                over_since = over_since or time.monotonic()
                if time.monotonic() - over_since > patience_seconds:
                    raise _unsettled([sha for sha in shas if sha not in settled], trails)
            await asyncio.sleep(poll_seconds)

    async def _try_trails(self, shas: list[str]) -> dict[str, Json]:
        try:
            return await self.trails(shas)
        except* UpstreamError:
            pass
        return {}


def read_running(text: str) -> dict[Place, Told]:
    """Return what a scrape says of running: the lead times, and the durations of that stage."""
    found: dict[Place, Told] = {}
    for family in text_string_to_metric_families(text):
        if family.name not in (LEAD_TIME, DURATION):
            continue
        for sample in family.samples:
            labels = sample.labels
            if labels.get("stage", "running") != "running":
                continue
            place = Place(family.name, labels["cluster"], f"{labels['kind']}/{labels['namespace']}/{labels['name']}")
            told = found.get(place, Told({}, 0, 0.0))
            match sample.name.removeprefix(family.name):
                case "_bucket" if labels["le"] != "+Inf":
                    told = told._replace(cumulative={**told.cumulative, float(labels["le"]): int(sample.value)})
                case "_count":
                    told = told._replace(samples=int(sample.value))
                case "_sum":
                    told = told._replace(sum_seconds=sample.value)
            found[place] = told
    return found


def _unsettled(shas: list[str], trails: dict[str, Json]) -> UpstreamError:
    trail = trails.get(shas[0])
    open_ones = [d for d in (trail or {}).get("deliveries", ()) if not d.get("is_settled")]
    waits = [f"{d['verdict']} {d.get('reason', '')} on {d['cluster']} {d['target']}" for d in open_ones[:3]]
    what = "unknown" if trail is None else "; ".join(waits)
    return UpstreamError(f"{len(shas)} commits are still not settled, the first is {shas[0][:9]}: {what}")


def as_answer(trails: Iterable[Json]) -> Json:
    """Return what `fluxtrail demo -o json` prints of the commits."""
    return {
        "commits": [
            {
                "sha": trail["commit"]["sha"],
                "repository": trail["commit"]["repository"],
                "build_state": trail["commit"].get("build_state"),
                "deliveries": [
                    {
                        "cluster": delivery["cluster"],
                        "target": delivery["target"],
                        "verdict": delivery["verdict"],
                        "via": delivery.get("via"),
                        "undone_by": delivery.get("undone_by"),
                        "stages": delivery.get("stages") or {},
                        "running": delivery.get("running") or "",
                        "blockers": delivery.get("blockers") or [],
                    }
                    for delivery in trail["deliveries"]
                ],
            }
            for trail in trails
        ]
    }


async def _get(session: aiohttp.ClientSession, url: str) -> Json:
    found = await _find(session, url)
    if found is None:
        raise UpstreamError("not found", status=404, subject=url)
    return found


async def _find(session: aiohttp.ClientSession, url: str) -> Json | None:
    try:
        async with session.get(url) as answer:
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise UpstreamError(f"answered {answer.status}: {(await answer.text())[:200]}", subject=url)
            body: Json = await answer.json()
            return body
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise UpstreamError(f"does not answer: {exc}", subject=url) from exc
