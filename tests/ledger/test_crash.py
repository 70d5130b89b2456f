"""A process that is killed in the middle of its units leaves whole units only."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from tests.ledger.deployments import digest
from tests.ledger.world import StillClock, sha

from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.observation import ClusterUid
from fluxtrail.model.rollout import RunningState

C1 = ClusterUid("c1")

_WRITER = """
import asyncio, logging, sys
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
sys.path.insert(0, sys.argv[2])
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.rollout import RunningState
from tests.ledger.running import image, rollout, run, workload
from tests.ledger.world import StillClock, World, at, moment

async def main():
    ledger = await SqlLedger.open(sys.argv[1], clock=StillClock())
    async with ledger.unit() as unit:
        repository = await World(unit).repository()
        target = await World(unit).target(repository)
        number = int(await unit.get_note("number") or 0)
    while True:
        number += 1
        async with ledger.unit() as unit:
            world = World(unit)
            for commit in await world.commits(repository, range(number * 10, number * 10 + 10)):
                sync = await world.sync(target, number, applied=moment(number))
                await world.delivery(commit, target, applied_sync=sync.id)
                [of] = await unit.put_workloads([workload(target, str(sync.id))])
                await unit.put_rollouts([rollout(sync, of, running=moment(number))])
                await unit.note_running([(sync.id, RunningState.REACHED, moment(number))])
            await unit.put_images([image(number)])
            await unit.put_image_runs([run(number - 1, until=at(number)), run(number)])
            await unit.put_note("number", str(number))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.crash
@pytest.mark.process
async def test_killed_writer_leaves_whole_units_and_every_one_it_reported(place: Path) -> None:
    reported = 0
    for attempt in range(3):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _WRITER, str(place), str(Path(__file__).parents[2])),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        reported = await _kill_after(process, process.stdout, lines=3 + attempt * 2, pause_seconds=attempt * 0.004)
        ledger = await SqlLedger.open(place, clock=StillClock())
        try:
            reported = await _check(ledger, reported)
        finally:
            await ledger.close()


async def _kill_after(
    process: asyncio.subprocess.Process, lines_of: asyncio.StreamReader, *, lines: int, pause_seconds: float
) -> int:
    """Kill the process a moment after it has said some lines, in the middle of whatever it does then."""
    reported = 0
    async with asyncio.timeout(10):
        for _ in range(lines):
            reported = int(await lines_of.readline())
        await asyncio.sleep(pause_seconds)  # not waiting for anything: it moves the kill into the unit
        process.send_signal(signal.SIGKILL)
        for line in (await lines_of.read()).split():
            reported = int(line)
        await process.wait()
    return reported


async def _check(ledger: SqlLedger, reported: int) -> int:
    async with ledger.unit() as unit:
        kept = int(await unit.get_note("number") or 0)
        assert kept in (reported, reported + 1)
        [repository] = await unit.repositories()
        shas = [sha(number) for number in range(10, kept * 10 + 30)]
        commits = await unit.commits_by_sha(repository.id, shas)
        assert len(commits) == kept * 10
        deliveries = await unit.deliveries_of([commit.id for commit in commits.values()])
        assert len(deliveries) == kept * 10
        syncs = await unit.syncs([d.applied_sync for d in deliveries if d.applied_sync is not None])
        assert len(syncs) == kept * 10
        assert {sync.running_state for sync in syncs.values()} <= {RunningState.REACHED}
        assert len(await unit.rollouts_of(list(syncs))) == len(await unit.workloads(C1)) == kept * 10
        assert [one.digest for one in await unit.image_runs(C1)] == [digest(kept)] * min(kept, 1)
        chain = await unit.chain_slice(repository.id, "main", after=None, through=None, limit=10**6)
        assert [commit.sha for commit in chain] == shas[: kept * 10]
    return kept
