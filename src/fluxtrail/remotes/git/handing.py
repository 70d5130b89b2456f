"""How a secret gets to git: as a file without a name, that git and its children inherit, and nobody else can open.

An argument shows in every list of processes, a variable in every dump of an environment. This shows in neither, and is
gone with the processes, however they end.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Handed:
    """Where git finds it, and what its process must inherit."""

    path: str
    descriptors: tuple[int, ...] = ()


@contextlib.contextmanager
def handed(text: str, *, folder: Path) -> Iterator[Handed]:
    """Hand over `text` for as long as the block runs.

    Args:
        folder: for a file that only we may read, where the system has none without a name.
    """
    data = text.encode()
    if sys.platform == "linux":
        descriptor = os.memfd_create("fluxtrail", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, data)
            # Opening it there begins at its first byte, each time.
            yield Handed(f"/dev/fd/{descriptor}", (descriptor,))
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile(dir=folder) as file:  # 0600
            file.write(data)
            file.flush()
            yield Handed(file.name)
