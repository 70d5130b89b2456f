"""How figures are taken and printed: one JSON line for machines, one sentence for people. Nothing here judges time."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog
import uvloop

T = TypeVar("T")
MIB = 2**20


class Stopwatch:
    """Wall and CPU seconds of this process (all threads, no children) since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._used = time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._used


def report(benchmark: str, what: str, *, bar: str = "", **figures: float | int | str) -> None:
    """Print one measurement.

    Args:
        bar: what the design asks for, in words; shown beside the figures, never compared with them.
    """
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
    print(json.dumps({"benchmark": benchmark, "what": what, **rounded, **({"bar": bar} if bar else {})}), flush=True)
    told = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in rounded.items())
    print(f"# {what}: {told}" + (f" (bar: {bar})" if bar else ""), flush=True)


def _shown(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0..1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def rss_mib(pid: int | str = "self") -> float:
    return _status_mib(pid, "VmRSS")


def peak_rss_mib() -> float:
    """Return the highest RSS since `reset_peak`."""
    return _status_mib("self", "VmHWM")


def reset_peak() -> None:
    """Source: proc(5), /proc/pid/clear_refs."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _status_mib(pid: int | str, field: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no {field}")


def log_warnings_only() -> None:
    """To stderr: stdout is for figures."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run as `fluxtrail run` does: on uvloop."""
    log_warnings_only()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
