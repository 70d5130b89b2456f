"""Runs git: one process group a command, bounded in time, output and disk, with its stderr read as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from fluxtrail.model.errors import ConfigError, StoreError, UpstreamError, WireError
from fluxtrail.remotes.git.environment import CONFIGURATION
from fluxtrail.remotes.git.failures import OutOfRoomError, translate_failure

log = structlog.get_logger(__name__)

OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
STDERR_LIMIT_BYTES = 16 * 1024
CHUNK_BYTES = 256 * 1024
LOCAL_TIMEOUT_SECONDS = 60.0
PROCESS_LIMIT = 8
END_TIMEOUT_SECONDS = 5.0
DISK_CHECK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    stdout: bytes


@dataclass(frozen=True, slots=True)
class DiskLimit:
    """Ends the command when the files under `path` grow past `limit_bytes`."""

    path: Path
    limit_bytes: int


class _Stopped:
    """Why we ended the process ourselves, if we did."""

    reason: str | None = None


class GitCommand:
    """The only place that starts git for one answer; `objects.py` keeps a long-lived one.

    Args:
        program: the git command; a setting so that an image without one in PATH can be helped.
        secrets: what redaction must clear from stderr, asked when it is needed.
    """

    def __init__(self, *, program: str = "git", secrets: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._program = program
        self._secrets = secrets
        self._slots = asyncio.Semaphore(PROCESS_LIMIT)

    def arguments(self, git_dir: Path | None, args: Sequence[str], *, configuration: Sequence[str] = ()) -> list[str]:
        settings = [part for setting in (*CONFIGURATION, *configuration) for part in ("-c", setting)]
        where = ["--git-dir", str(git_dir)] if git_dir else []
        return [self._program, *settings, *where, *args]

    async def start(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        *,
        discard_stderr: bool = False,
        descriptors: tuple[int, ...] = (),
    ) -> Process:
        """Start git in a process group of its own.

        Args:
            descriptors: open files that it inherits.

        Raises:
            ConfigError: there is no such program.
            StoreError: the machine has no room for another process.
        """
        try:
            return await asyncio.create_subprocess_exec(
                *arguments,
                env=env,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL if discard_stderr else PIPE,
                start_new_session=True,
                cwd=env["HOME"],
                pass_fds=descriptors,
            )
        except (FileNotFoundError, PermissionError) as exc:
            raise ConfigError("the git command cannot be run: install git", subject=arguments[0]) from exc
        except OSError as exc:
            raise StoreError(f"git cannot be started: {exc.strerror}", retryable=True) from exc

    async def run(
        self,
        git_dir: Path | None,
        args: Sequence[str],
        *,
        env: Mapping[str, str],
        subject: str,
        configuration: Sequence[str] = (),
        stdin: bytes = b"",
        accepted_codes: tuple[int, ...] = (0,),
        timeout_seconds: float = LOCAL_TIMEOUT_SECONDS,
        on_stdout: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[str], None] | None = None,
        disk_limit: DiskLimit | None = None,
        descriptors: tuple[int, ...] = (),
    ) -> Finished:
        r"""Run one command to its end.

        Args:
            subject: what the command is about, for errors: a URL without userinfo.
            on_stdout: takes the output piece by piece; then nothing is collected.
            on_stderr: takes stderr line by line (cut at `\r` and `\n`).

        Raises:
            AuthError, NotFoundError, UpstreamError, StoreError: see `failures.py`.
            UpstreamError: it took longer than `timeout_seconds` (retryable).
            WireError: it said more than the output limit.
        Cancelled or timed out, the whole process group is killed before this returns.
        """
        arguments = self.arguments(git_dir, args, configuration=configuration)
        async with self._slots:
            process = await self.start(arguments, env, descriptors=descriptors)
            stopped, collected, errors = _Stopped(), bytearray(), _StderrTail(on_stderr)
            try:
                async with asyncio.timeout(timeout_seconds):
                    await _converse(
                        process,
                        stdin,
                        on_stdout=on_stdout or _Collector(collected, process, stopped),
                        errors=errors,
                        disk_limit=disk_limit,
                        stopped=stopped,
                    )
            except TimeoutError as exc:
                raise UpstreamError(f"git {args[0]} took longer than {timeout_seconds:g} s", subject=subject) from exc
            finally:
                await end_process(process)
        if stopped.reason == "disk":
            limit = disk_limit.limit_bytes if disk_limit else 0
            raise OutOfRoomError(f"the clone outgrows the {limit} bytes left of `git.quota_bytes`", subject=subject)
        if stopped.reason == "output":
            raise WireError(f"git {args[0]} said more than {OUTPUT_LIMIT_BYTES} bytes", subject=subject)
        code = process.returncode if process.returncode is not None else -1
        if code not in accepted_codes:
            raise translate_failure(errors.text(), subject=subject, secrets=self._secrets())
        return Finished(code, bytes(collected))


class _Collector:
    """Gathers stdout, and ends a process that says too much."""

    def __init__(self, collected: bytearray, process: Process, stopped: _Stopped) -> None:
        self._collected, self._process, self._stopped = collected, process, stopped

    def __call__(self, chunk: bytes) -> None:
        if len(self._collected) + len(chunk) > OUTPUT_LIMIT_BYTES:
            self._stopped.reason = "output"
            kill_group(self._process)
        else:
            self._collected += chunk


class _StderrTail:
    """Keeps the end of stderr, where git says why it failed, and hands on its lines; progress is not kept."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._kept = bytearray()
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        self._rest = self._rest[-STDERR_LIMIT_BYTES:]
        for line in lines:
            if b"%" not in line:
                self._kept += line + b"\n"
            if self._on_line is not None:
                self._on_line(line.decode("utf-8", "replace"))
        del self._kept[:-STDERR_LIMIT_BYTES]

    def text(self) -> str:
        return (self._kept + self._rest).decode("utf-8", "replace")


async def _converse(
    process: Process,
    stdin: bytes,
    *,
    on_stdout: Callable[[bytes], None],
    errors: _StderrTail,
    disk_limit: DiskLimit | None,
    stopped: _Stopped,
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_write(process, stdin), name="git stdin")
        group.create_task(_read(process.stdout, on_stdout), name="git stdout")
        group.create_task(_read(process.stderr, errors.feed), name="git stderr")
        watch = group.create_task(_watch_disk(process, disk_limit, stopped), name="git disk") if disk_limit else None
        await process.wait()
        if watch is not None:
            watch.cancel()


async def _write(process: Process, data: bytes) -> None:
    assert process.stdin is not None
    # Git may end without reading all of it; its exit code says why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if data:
            process.stdin.write(data)
            await process.stdin.drain()
    # Its end is not waited for: asyncio trips over a wait that was cancelled when the pipe closes after all.
    process.stdin.close()


async def _read(stream: asyncio.StreamReader | None, take: Callable[[bytes], None]) -> None:
    assert stream is not None
    while chunk := await stream.read(CHUNK_BYTES):
        take(chunk)


async def _watch_disk(process: Process, limit: DiskLimit, stopped: _Stopped) -> None:
    while True:
        await asyncio.sleep(DISK_CHECK_SECONDS)
        if await asyncio.to_thread(size_bytes, limit.path) > limit.limit_bytes:
            stopped.reason = "disk"
            kill_group(process)
            return


def size_bytes(path: Path) -> int:
    """Return the bytes of the files under `path`; files that vanish while we look count nothing."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def kill_group(process: Process) -> None:
    """Kill the process and all it started (git's transport helpers, ssh)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


async def end_process(process: Process) -> None:
    """Make sure that the process group is gone and reaped, and its pipes are read to their end."""
    if process.returncode is None:
        kill_group(process)
    try:
        async with asyncio.timeout(END_TIMEOUT_SECONDS):
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    while await stream.read(CHUNK_BYTES):
                        pass
            await process.wait()
    except TimeoutError:
        log.warning("git process does not end", pid=process.pid)
