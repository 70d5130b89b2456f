"""The two processes of a demo: the simulated world, and the real `fluxtrail run` that watches it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiohttp
import yaml

from fluxtrail.model.errors import UpstreamError
from fluxtrail.simulator.building_runs import BUILD, EXPORT
from fluxtrail.simulator.clock import CLOCK_VARIABLE
from fluxtrail.simulator.forges.settings import hook_settings, read_hook_secret, route_settings
from fluxtrail.simulator.images.layout import APPLICATION_REPOSITORY
from fluxtrail.simulator.layout import MANIFESTS_REPOSITORY, SOURCE_REPOSITORY
from fluxtrail.simulator.ports import choose_addresses

START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 15.0
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30)
_LINE_LIMIT = 1024 * 1024
_LAST_WORDS = 6_000
_FOREIGN = (
    *("FLUXTRAIL_", "KUBE", "METRICS_ADDR", "HEALTH_ADDR", "TELEMETRY_", "LOG_LEVEL", "RUNTIME_NAMESPACE"),
    *("GITHUB_", "GH_", "LOGICAL_ENVIRONMENT", "PHYSICAL_ENVIRONMENT", "DN_TEMPLATE", "BULK_CLUSTER_SYNC"),
    *("API_TOKEN", "BASE_URL"),
)
"""Beginnings of variables by which somebody may have set up another Fluxtrail."""
_FOREIGN_NAMES = frozenset({"ORG", "CLUSTER"})

_CI = {
    "poll_seconds": 5.0,
    "requests_per_hour": 20_000,
    "repositories": [{"repository": "*", "builds": [BUILD], "exports": [EXPORT]}],
}
"""Somebody watches: it is asked more often than usual, and time is short."""
_DOCTOR = {
    "enabled": True,
    "act": True,
    "interval_seconds": 10.0,
    "acts_per_hour": 100,
    "acts_per_namespace_per_hour": 100,
}
"""An hour of this world has the troubles of months."""

_RUN = (
    "from fluxtrail.simulator.family import die_with_parent; die_with_parent(); "
    "import sys; from fluxtrail.cli.main import main; sys.exit(main())"
)
"""`fluxtrail`, which is not left behind when its parent is killed."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where `run` serves; port 0 is replaced by one that is its own before it starts, so that restarts keep it."""

    api: str = "127.0.0.1:0"
    metrics: str = "127.0.0.1:0"
    health: str = "127.0.0.1:0"
    hooks: str = ""
    """Empty: nowhere."""

    def with_ports(self) -> Listeners:
        return Listeners(*choose_addresses((self.api, self.metrics, self.health, self.hooks)))


class SimulatorProcess:
    """`python -m fluxtrail.simulator` as a child. Use as `async with`."""

    def __init__(self, *arguments: str, log: IO[bytes] | int | None = None) -> None:
        self._arguments = arguments
        self._log = asyncio.subprocess.DEVNULL if log is None else log
        self._process: asyncio.subprocess.Process | None = None
        self.description: Json = {}
        """What it printed when it was ready."""

    async def __aenter__(self) -> SimulatorProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fluxtrail.simulator",
            "--child",
            *self._arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                assert self._process.stdout is not None
                line = await self._process.stdout.readline()
        except BaseException:
            await stop_process(self._process)
            raise
        if not line:
            await stop_process(self._process)
            raise UpstreamError("the simulator ended before it was ready; run it by hand to see why")
        self.description = json.loads(line)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process is not None:
            await stop_process(self._process)

    @property
    def clock(self) -> str:
        return str(self.description["clock"])

    async def begin(self) -> None:
        """Let the script start."""
        await request_json("POST", f"{self.description['control']}/begin")

    async def status(self) -> Json:
        return await request_json("GET", f"{self.description['control']}/status")

    async def builds(self) -> dict[str, str]:
        """Return how CI left every commit that the script pushed; empty without `--ci`."""
        builds: dict[str, str] = (await self.status())["builds"]
        return builds

    async def until_finished(self) -> None:
        """Wait until the script is over and the clusters are quiet."""
        while True:
            status = await self.status()
            if status["is_finished"] and status["is_quiet"]:
                return
            await asyncio.sleep(0.1)

    async def truth(self) -> list[Json]:
        answer = await request_json("GET", f"{self.description['control']}/truth")
        commits: list[Json] = answer["commits"]
        return commits

    async def forges(self) -> Json:
        """Return what the forges were told (`statuses`), and how often they were asked (`calls`, `violations`)."""
        return await request_json("GET", f"{self.description['control']}/forges")

    async def writes(self, *, after: int = 0, limit: int = 10_000) -> list[Json]:
        """Return what forges and chats took after a number, oldest first."""
        url = f"{self.description['control']}/forges/writes?after={after}&limit={limit}"
        writes: list[Json] = (await request_json("GET", url))["writes"]
        return writes

    async def statuses_differences(self) -> list[str]:
        """Return where the statuses of commits are not what is true."""
        answer = await request_json("GET", f"{self.description['control']}/forges/truth")
        differences: list[str] = answer["differences"]
        return differences

    async def trust(self, **given: dict[str, str]) -> None:
        """Say what the forges want to be shown: `tokens` by system, `webhooks` by name."""
        await request_json("POST", f"{self.description['control']}/forges/trust", body=given)

    async def hook(self, run: RunProcess) -> None:
        """Let GitHub tell a `run` of every push from now on, if that takes hooks."""
        if run.listeners.hooks:
            given = {
                "url": f"http://{run.listeners.hooks}/hooks/github",
                "secret": read_hook_secret(run.settings.parent),
            }
            await request_json("POST", f"{self.description['control']}/forges/hooks", body=given)

    async def fail_forges(self, **fault: Any) -> None:
        """Make trouble; see `ForgeFault`."""
        await request_json("POST", f"{self.description['control']}/faults/forges", body=fault)

    async def records(self) -> Json:
        """Return what GitHub holds of deployments (`records`), and how often it was asked (`counts`)."""
        return await request_json("GET", f"{self.description['control']}/records?history=1")

    async def records_truth(self, *, was_away: bool = False) -> Json:
        """Return what it should hold (`records`), and every difference to what it does (`differences`)."""
        query = "?was_away=1" if was_away else ""
        return await request_json("GET", f"{self.description['control']}/records/truth{query}")

    async def fail_records(self, **fault: Any) -> None:
        """Make trouble with the records: the fields are those of `artifact_faults.RecordsFault`."""
        await request_json("POST", f"{self.description['control']}/faults/records", body=fault)

    async def attest(self, *, attested: Sequence[str] = (), unattested: Sequence[str] = ()) -> None:
        body = {"attested": list(attested), "unattested": list(unattested)}
        await request_json("POST", f"{self.description['control']}/records/attestations", body=body)


@dataclass
class RunProcess:
    """`fluxtrail run` as a child; may be killed and started again, on the same ledger and the same ports."""

    settings: Path
    clock: str
    listeners: Listeners
    log: Path | None = None
    """What it says on stdout and stderr is appended here."""
    starts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def api(self) -> str:
        return f"http://{self.listeners.api}"

    @property
    def metrics(self) -> str:
        return f"http://{self.listeners.metrics}/metrics"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def returncode(self) -> int | None:
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        output = asyncio.subprocess.DEVNULL if self.log is None else os.open(
            self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )  # fmt: skip
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                "run",
                "--config",
                str(self.settings),
                env=_environment(self.clock),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if self.log is not None:
                os.close(output)
        self.starts += 1

    async def until_ready(self, *, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
        """Wait for `/readyz`.

        Raises:
            UpstreamError: it ended instead, or was not ready in time; the message has its last words.
        """
        url = f"http://{self.listeners.health}/readyz"
        last = "no answer yet"
        try:
            async with asyncio.timeout(timeout_seconds), aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session:
                while True:
                    if self.returncode is not None:
                        raise UpstreamError(f"`fluxtrail run` ended with {self.returncode}: {self.last_words()}")
                    try:
                        async with session.get(url) as answer:
                            last = await answer.text()
                            if answer.status == 200:
                                return
                    except aiohttp.ClientError as exc:
                        last = str(exc)
                    await asyncio.sleep(0.05)
        except TimeoutError as exc:
            why = f"{last.strip()[:500]} {self.last_words()}"
            raise UpstreamError(f"`fluxtrail run` was not ready after {timeout_seconds:g} s: {why}") from exc

    async def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        if self._process is not None:
            await stop_process(self._process)

    def last_words(self) -> str:
        """Return the end of the log: as much as the stacks of a crash take."""
        if self.log is None or not self.log.exists():
            return ""
        return self.log.read_text(errors="replace")[-_LAST_WORDS:]


def write_settings(
    path: Path,
    description: Mapping[str, Any],
    *,
    listeners: Listeners,
    settle_seconds: float = 5.0,
    poll_seconds: float = 2.0,
    has_routes: bool = False,
    has_doctor: bool = False,
) -> None:
    """Write the settings file of a `run` that watches the described world. Its ledger lies beside it.

    Where the world runs pods, it also tells GitHub of them.

    Args:
        listeners: with a place for hooks, webhooks of GitHub are taken there, and at `/gitopsphase` what nobody signed.
        has_routes: whether it tells GitHub how commits stand.
        has_doctor: whether it heals what is stuck.
    """
    repositories = description["repositories"]
    source, manifests = repositories[SOURCE_REPOSITORY], repositories[MANIFESTS_REPOSITORY]
    settings: Json = {
        "ledger": {"path": str(path.parent / "ledger.sqlite")},
        "kubeconfig": description["kubeconfig"],
        "kube_contexts": description["contexts"],
        "repositories": [
            {
                "url": source,
                "branch": "main",
                "exports_to": [manifests],
                "forge": _forge(SOURCE_REPOSITORY),
            },
            {"url": manifests, "branch": "main", "forge": _forge(MANIFESTS_REPOSITORY)},
        ],
        "git": {
            "directory": str(path.parent / "clones"),
            "allow_file_protocol": True,
            "poll_seconds": poll_seconds,
        },
        "github": {"base_url": description["github"]},
        "allow": ["127.0.0.1"],
        "api": {"listen": listeners.api},
        "metrics": {"listen": listeners.metrics},
        "health": {"listen": listeners.health},
        "settle_seconds": settle_seconds,
    }
    if application := repositories.get(APPLICATION_REPOSITORY):
        followed = {"url": application, "branch": "main", "forge": _forge(APPLICATION_REPOSITORY)}
        settings["repositories"].append(followed)
    if registry := description.get("registry"):
        settings["images"] = {"insecure_registries": [registry]}
    if description.get("deployment_records"):
        settings["deployment_records"] = _records_section(path.parent, description)
    if description.get("ci"):
        settings["ci"] = _CI
    if has_routes:
        settings |= route_settings(path.parent, description, pages=f"http://{listeners.api}")
    if has_doctor:
        settings["doctor"] = _DOCTOR
    if listeners.hooks:
        settings["hooks"] = hook_settings(path.parent, listeners.hooks)
    path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


async def request_json(method: str, url: str, *, body: Json | None = None) -> Json:
    """Call a loopback server of ours.

    Raises:
        UpstreamError: it does not answer, or not with 200.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
            session.request(method, url, json=body) as answer,
        ):
            if answer.status != 200:
                raise UpstreamError(f"{url} answered {answer.status}", status=answer.status, subject=url)
            found: Json = await answer.json()
            return found
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise UpstreamError(f"{url} does not answer: {exc}", subject=url) from exc


async def stop_process(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL for what does not end by it."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _records_section(directory: Path, description: Mapping[str, Any]) -> Json:
    token_file = directory / "github-token"
    token_file.write_text(description["deployment_records"]["token"], encoding="utf-8")
    token_file.chmod(0o600)
    return {
        "enabled": True,
        "organization": description["deployment_records"]["organization"],
        "logical_environment": "production",
        "environments": {name: {"cluster": name} for name in description["contexts"]},
        "base_url": description["github"],
        "token_file": str(token_file),
    }


def _forge(name: str) -> Json:
    owner, _, repo = name.partition("/")
    return {"kind": "github", "owner": owner, "repo": repo}


def _environment(clock: str) -> dict[str, str]:
    """Nothing that a person set for another Fluxtrail, or for their own clusters, reaches the demo's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN) and k not in _FOREIGN_NAMES}
    return kept | {CLOCK_VARIABLE: clock}
