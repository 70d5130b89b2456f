"""What a run that is compared with the truth came to: kept somewhere, told as one line, its end the process's code."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class Compared(Protocol):
    differences: list[str]

    def summary(self) -> dict[str, Any]: ...


@contextmanager
def folder_for(keep: Path | None, name: str) -> Iterator[Path]:
    """Yield the folder to keep things in, or one that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"fluxtrail-{name}-") as temporary:
        directory = keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        yield directory


def told(outcome: Compared) -> int:
    """Say what differs, and all figures in one line of JSON; returns the exit code."""
    for line in outcome.differences:
        print(line, file=sys.stderr)
    print(json.dumps(outcome.summary()))
    return 1 if outcome.differences else 0


def summary_of(outcome: Any, *, digits: int = 1, but: Sequence[str] = ("differences",)) -> dict[str, Any]:
    """Return a dataclass's fields, seconds and MiB rounded, and how many differences there were."""
    shown = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__ if name not in but}
    rounded = {name: round(value, digits) if isinstance(value, float) else value for name, value in shown.items()}
    return rounded | {"differences": len(outcome.differences)}
