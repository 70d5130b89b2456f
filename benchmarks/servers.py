"""Simulated API servers in a process of their own, so that their CPU and memory are not those that are measured.

The parent sends one JSON command a line (`{"do": …}`), the child answers each with one JSON line.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import objects
from benchmarks.measuring import log_warnings_only

from fluxtrail.simulator.apiserver.kubeconfig import write_kubeconfig
from fluxtrail.simulator.apiserver.server import ApiServer
from fluxtrail.simulator.family import die_with_parent
from fluxtrail.simulator.statuses import Conditions

KUSTOMIZATIONS, SOURCES = "kustomizations", "gitrepositories"
HISTORY = 200_000
STRIDE = 7919
Answer = dict[str, Any]


class ServerProcess:
    """The parent's side. Use as `async with`; `kubeconfig` has one context a cluster: `cluster-0`, …"""

    def __init__(self, folder: Path, *, clusters: int = 1) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.contexts = [f"cluster-{index}" for index in range(clusters)]
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.servers", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await self.ask("start", kubeconfig=str(self.kubeconfig), contexts=self.contexts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def ask(self, do: str, **arguments: Any) -> Answer:
        """Send a command and wait for its answer; one at a time."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server process ended at {do!r}")
        answer: Answer = json.loads(line)
        return answer


class Servers:
    """The child's side: what the commands do."""

    def __init__(self) -> None:
        self._servers: dict[str, ApiServer] = {}
        self._churning: asyncio.Task[None] | None = None

    async def start(self, kubeconfig: str, contexts: list[str]) -> Answer:
        for index, name in enumerate(contexts):
            server = ApiServer(name=name, history_limit=HISTORY, seed=index)
            await server.start()
            self._servers[name] = server
        write_kubeconfig(Path(kubeconfig), list(self._servers.values()))
        return {}

    async def fill_pods(self, context: str, count: int) -> Answer:
        """Create pods; answers with the mean size of one as stored."""
        store = self._servers[context].store
        now = datetime.now(UTC)
        made = [store.create("pods", objects.pod(number, now), with_status=True) for number in range(count)]
        return {"bytes": _mean_bytes(made)}

    async def burst_pods(self, context: str, count: int, events: int) -> Answer:
        """Change the start of a container of one pod after the other, as fast as possible."""
        store = self._servers[context].store
        now = datetime.now(UTC)
        for number in range(events):
            namespace, name = objects.pod_name(number % count)
            at = now + timedelta(seconds=1 + number // count)
            store.patch_status("pods", name, namespace, objects.pod_status(number % count, at))
        return {}

    async def fill(self, context: str, first: int, count: int, url: str, sha: str) -> Answer:
        """Create a GitRepository and Kustomizations that have applied `sha` of it."""
        store = self._servers[context].store
        now = datetime.now(UTC)
        if store.find(SOURCES, objects.SOURCE_NAME, objects.NAMESPACE) is None:
            store.create(SOURCES, objects.git_repository(url, sha, now), with_status=True)
        made = [
            store.create(
                KUSTOMIZATIONS, objects.kustomization(number, sha, now, has_checks=number % 2 == 1), with_status=True
            )
            for number in range(first, first + count)
        ]
        return {"bytes": _mean_bytes(made)}

    async def burst(self, context: str, objects_count: int, events: int) -> Answer:
        """Change statuses as fast as possible without letting the watches send anything meanwhile."""
        store = self._servers[context].store
        for number in range(events):
            name = objects.name_of(number % objects_count)
            changed = {"lastHandledReconcileAt": f"{number:09d}"}
            store.patch_status(KUSTOMIZATIONS, name, objects.NAMESPACE, changed)
        return {}

    async def steady(self, context: str, objects_count: int, events: int, per_second: float) -> Answer:
        """Change statuses in an even rhythm."""
        store = self._servers[context].store
        began = time.monotonic()
        for number in range(events):
            name = objects.name_of(number % objects_count)
            store.patch_status(KUSTOMIZATIONS, name, objects.NAMESPACE, {"lastHandledReconcileAt": f"{number:09d}"})
            await _until(began + (number + 1) / per_second)
        return {"seconds": time.monotonic() - began}

    async def revise(self, context: str, number: int, revision: str) -> Answer:
        """Let one Kustomization apply a revision; answers with the moment before it, as `time.perf_counter` has it."""
        at = time.perf_counter()
        self._revise(context, number, revision)
        return {"at": at}

    async def churn(self, context: str, objects_count: int, per_second: float) -> Answer:
        """Let Kustomizations all over apply ever new revisions, in an even rhythm, until `calm`."""

        async def change() -> None:
            began = time.monotonic()
            for turn in itertools.count():
                self._revise(context, turn * STRIDE % objects_count, f"main@sha1:{turn:040x}")
                await _until(began + (turn + 1) / per_second)

        self._churning = asyncio.create_task(change(), name="churn")
        return {}

    async def calm(self) -> Answer:
        if self._churning is not None:
            self._churning.cancel()
            await asyncio.wait([self._churning])
        return {}

    def _revise(self, context: str, number: int, revision: str) -> None:
        status = {"lastAppliedRevision": revision}
        self._servers[context].store.patch_status(KUSTOMIZATIONS, objects.name_of(number), objects.NAMESPACE, status)

    async def deliver(
        self,
        context: str,
        objects_count: int,
        upstream: str,
        shas: list[str],
        first_turn: int,
        touched: int,
        per_second: float,
    ) -> Answer:
        """Let a Flux apply one commit after the other on every Kustomization, write by write.

        Args:
            shas: commits to push and apply, oldest first.
            first_turn: the number of the first of them; commit n touches `touched` targets from n * touched on.
            per_second: status writes of Kustomizations.
        """
        store = self._servers[context].store
        began, writes = time.monotonic(), 0
        for turn, sha in enumerate(shas, start=first_turn):
            push = ["git", "-C", upstream, "update-ref", "refs/heads/main", sha]
            await asyncio.to_thread(subprocess.run, push, check=True)
            status = {"artifact": objects.artifact(sha, datetime.now(UTC))}
            store.patch_status(SOURCES, objects.SOURCE_NAME, objects.NAMESPACE, status)
            changed = {(turn * touched + index) % objects_count for index in range(touched)}
            for step in range(STEPS):
                for number in range(objects_count):
                    digest = f"sha256:{number:032x}{turn + 1:032x}" if number in changed else ""
                    if not self._write(context, number, step, sha, digest):
                        continue
                    writes += 1
                    await _until(began + writes / per_second)
        return {"writes": writes, "seconds": time.monotonic() - began}

    def _write(self, context: str, number: int, step: int, sha: str, digest: str) -> bool:
        """Make the next of Flux's status writes; False where this target has no such step."""
        store = self._servers[context].store
        obj = store.get(KUSTOMIZATIONS, objects.name_of(number), objects.NAMESPACE)
        status, now = obj["status"], datetime.now(UTC)
        conditions = Conditions(status["conditions"], generation=1)
        has_checks = obj["spec"]["wait"]
        change: Answer = {}
        if step == 0:
            conditions.set("Reconciling", "True", "Progressing", _saying("Fetching manifests", sha), at=now)
            conditions.set("Ready", "Unknown", "Progressing", "Reconciliation in progress", at=now)
        elif step == 1:
            conditions.set("Reconciling", "True", "Progressing", _saying("Detecting drift", sha), at=now)
            change = {"lastAttemptedRevision": objects.revision_of(sha)}
        elif step == 2:
            if not has_checks:
                return False
            conditions.set("Reconciling", "True", "Progressing", _saying("Running health checks", sha), at=now)
        elif step == 3:
            revision = objects.revision_of(sha)
            conditions.remove("Reconciling")
            conditions.set("Ready", "True", "ReconciliationSucceeded", f"Applied revision: {revision}", at=now)
        else:
            history = status["history"]
            whole = objects.success(number, sha, now, digest=digest or history[0]["digest"], history=history)
            change = {name: value for name, value in whole.items() if name != "conditions"}
        change["conditions"] = conditions.listed()
        store.patch_status(KUSTOMIZATIONS, objects.name_of(number), objects.NAMESPACE, change)
        return True


STEPS = 5


def _saying(what: str, sha: str) -> str:
    return f"{what} for revision {objects.revision_of(sha)} with a timeout of 5m0s"


def _mean_bytes(made: list[Any]) -> int:
    return sum(len(json.dumps(obj, separators=(",", ":"))) for obj in made) // max(len(made), 1)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(moment - time.monotonic(), 0))


async def _serve() -> None:
    servers = Servers()
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        answer = await getattr(servers, command.pop("do"))(**command)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    die_with_parent()
    log_warnings_only()
    asyncio.run(_serve())
