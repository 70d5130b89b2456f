"""How long from the arrival of an event to its place in the ledger: `python -m benchmarks.lag`.

The whole of `fluxtrail run` in this process, on a simulated cluster in another one: 200 Kustomizations apply one commit
after the other, with 200 status writes a second, while branches are watched and syncs attributed beside it. Measured
from `Seen.observed_at` to the end of the unit that keeps it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.histories import make_repository
from benchmarks.measuring import Stopwatch, percentile, report, run
from benchmarks.servers import ServerProcess

from fluxtrail.ledger.columns import VERDICTS_BY_CODE
from fluxtrail.ledger.sqlite import connect_reader
from fluxtrail.model.observation import ClusterUid, Observation, Seen
from fluxtrail.runtime.assembly import open_service
from fluxtrail.runtime.service import Service
from fluxtrail.runtime.settings.sections import ApiSetting, GitSetting, HealthSetting, LedgerSetting, MetricsSetting
from fluxtrail.runtime.settings.settings import Settings
from fluxtrail.trail.follower import Follower

BAR = "p50 <= 20 ms, p99 <= 250 ms"
LOCAL = "127.0.0.1:0"
TOUCHED = 20
"""Targets whose directory each commit changes."""


class Lags:
    """Stands around the follower and notes how long each observation took to be kept."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.is_on = False
        self._observe = Follower.observe

    def install(self) -> None:
        lags = self

        async def observe(self: Follower, cluster: ClusterUid, observations: Sequence[Observation[Any]]) -> None:
            await lags._observe(self, cluster, observations)
            if lags.is_on:
                now = datetime.now(UTC)
                lags.milliseconds += [
                    1000 * (now - item.observed_at).total_seconds() for item in observations if isinstance(item, Seen)
                ]

        Follower.observe = observe  # type: ignore[method-assign]


async def measure(folder: Path, *, targets: int, rounds: int, per_second: float) -> None:
    upstream = folder / "fleet.git"
    touches = [[(turn * TOUCHED + index) % targets for index in range(TOUCHED)] for turn in range(rounds + 1)]
    shas = await asyncio.to_thread(make_repository, upstream, targets=targets, touches=touches)
    lags = Lags()
    lags.install()
    async with ServerProcess(folder) as server:
        url = upstream.as_uri()
        await server.ask("fill", context="cluster-0", first=0, count=targets, url=url, sha=shas[0])
        async with open_service(_settings(folder, server), {}) as service, asyncio.TaskGroup() as group:
            group.create_task(service.run(), name="service")
            await _until_quiet(service)
            steps = {"context": "cluster-0", "objects_count": targets, "upstream": str(upstream), "touched": TOUCHED}
            await server.ask(
                "deliver", shas=shas[1:2], first_turn=0, per_second=per_second, **steps
            )  # scopes are read now
            await _until_quiet(service)
            lags.is_on = True
            watch = Stopwatch()
            done = await server.ask("deliver", shas=shas[2:], first_turn=1, per_second=per_second, **steps)
            await _until_quiet(service)
            _report(lags, watch, done, folder / "ledger.sqlite")
            os.kill(os.getpid(), signal.SIGTERM)


def _report(lags: Lags, watch: Stopwatch, done: dict[str, Any], ledger: Path) -> None:
    taken = lags.milliseconds
    report(
        "lag",
        f"seen -> kept at {done['writes'] / done['seconds']:.0f} status writes a second",
        bar=BAR,
        events=len(taken),
        p50_ms=percentile(taken, 0.5),
        p90_ms=percentile(taken, 0.9),
        p99_ms=percentile(taken, 0.99),
        worst_ms=max(taken),
        cpu_seconds_a_second=watch.cpu_seconds / done["seconds"],
    )
    with closing(connect_reader(ledger)) as connection:
        rows = connection.execute("SELECT verdict, count(*) FROM deliveries GROUP BY verdict").fetchall()
    report("lag", "deliveries in the end", **{VERDICTS_BY_CODE[code].value: number for code, number in rows})


def _settings(folder: Path, server: ServerProcess) -> Settings:
    return Settings(
        kubeconfig=str(server.kubeconfig),
        kube_contexts=tuple(server.contexts),
        ledger=LedgerSetting(path=folder / "ledger.sqlite"),
        git=GitSetting(allow_file_protocol=True),
        api=ApiSetting(listen=LOCAL),
        metrics=MetricsSetting(listen=LOCAL),
        health=HealthSetting(listen=LOCAL),
    )


async def _until_quiet(service: Service) -> None:
    """Wait until everything listed is followed and nothing waits for attribution."""
    async with asyncio.timeout(300):
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0.5)
            counts = await service.store.counts(now=datetime.now(UTC))
            quiet = quiet + 1 if counts.inflight and not counts.attribution_pending else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7, help="commits that all targets apply; about 900 writes each")
    parser.add_argument("--per-second", type=float, default=200.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fluxtrail-bench-") as folder:
        run(measure(Path(folder), targets=options.targets, rounds=options.rounds, per_second=options.per_second))


if __name__ == "__main__":
    main()
