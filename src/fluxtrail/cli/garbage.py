"""The collector of garbage, set for programs that import much and then make little that refers to itself."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""New objects between two looks for garbage. Python's 700 are a few statements, and cost a fifth of all time."""


@contextmanager
def nothing_collected() -> Iterator[None]:
    """While modules are imported: what they make stays, and looking for garbage in it is a fifth of a start."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_seldom() -> None:
    """For the rest of the process: what is there now is never looked at again, and what comes, less often."""
    gc.freeze()
    gc.set_threshold(YOUNG)
