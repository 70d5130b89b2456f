"""How a simulated controller gets at a repository: by git, never from the world's memory."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fluxtrail.simulator.repositories import run_git

_KEPT = 50


@dataclass(frozen=True, slots=True)
class Artifact:
    """The tree of one revision, as source-controller would store it."""

    sha: str
    files: Mapping[str, str]
    digest: str
    """Of names and contents only: the same tree gives the same digest, as Flux's archives do."""
    size: int


class Checkout:
    """Reads branches and trees of one bare repository. Shared by the controllers of all clusters."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._artifacts: dict[str, Artifact] = {}

    async def head(self, branch: str) -> str | None:
        """Return the sha the branch points to now, or None if there is no such branch."""
        url = self._directory.resolve().as_uri()
        answer = await run_git("ls-remote", "--heads", url, f"refs/heads/{branch}", cwd=self._directory)
        sha, _, _ = answer.decode("ascii").partition("\t")
        return sha or None

    async def artifact(self, sha: str) -> Artifact:
        found = self._artifacts.get(sha)
        if found is None:
            archive = await run_git("archive", "--format=tar", sha, cwd=self._directory)
            found = _unpack(sha, archive)
            while len(self._artifacts) >= _KEPT:
                self._artifacts.pop(next(iter(self._artifacts)))
            self._artifacts[sha] = found
        return found


def _unpack(sha: str, archive: bytes) -> Artifact:
    files: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            handle = tar.extractfile(member)
            if handle is not None:
                files[member.name] = handle.read().decode("utf-8", "replace")
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path}\0{len(files[path])}\0{files[path]}".encode())
    return Artifact(sha=sha, files=files, digest=f"sha256:{digest.hexdigest()}", size=sum(map(len, files.values())))
