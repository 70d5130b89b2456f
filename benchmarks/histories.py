"""Real git repositories of any length, made in seconds by `git fast-import`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.objects import directory_of

BEGIN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
HIDDEN = "refs/all/main"
"""Every commit; the branch itself is moved along it."""


def make_repository(
    path: Path, *, targets: int, touches: Iterable[Sequence[int]], step_seconds: int = 60, begin: int = BEGIN
) -> list[str]:
    """Make a bare repository: a first commit with all targets' directories, then one commit for each of `touches`.

    Args:
        touches: the targets whose directory each commit changes.
        begin: when the first commit was made (Unix seconds): with another moment all shas are others.

    Returns:
        All shas, oldest first. The branch `main` stands on the first; move it with `push`.
    """
    _git(path.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    _git(path, "config", "uploadpack.allowFilter", "true")
    _git(path, "config", "uploadpack.allowAnySHA1InWant", "true")
    with subprocess.Popen(
        ["git", "-C", str(path), "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        for part in _stream(targets, touches, step_seconds, begin):
            process.stdin.write(part)
        process.stdin.close()
    if process.returncode:
        raise RuntimeError(f"git fast-import ended with {process.returncode}")
    shas = _git(path, "rev-list", "--first-parent", "--reverse", HIDDEN).split()
    push(path, shas[0])
    return shas


def push(path: Path, sha: str) -> None:
    _git(path, "update-ref", "refs/heads/main", sha)


def _stream(targets: int, touches: Iterable[Sequence[int]], step_seconds: int, begin: int) -> Iterator[bytes]:
    yield _commit("Add all targets", begin)
    for number in range(targets):
        kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [app.yaml]\n"
        yield _file(f"{directory_of(number)}/kustomization.yaml", kustomization)
        yield _file(f"{directory_of(number)}/app.yaml", f"image: registry.example/acme/app:{number}\n")
    for index, touched in enumerate(touches, start=1):
        yield _commit(f"Change {index}: the checkout asks for the address once", begin + index * step_seconds)
        for number in touched:
            yield _file(f"{directory_of(number)}/app.yaml", f"image: registry.example/acme/app:{number}-{index}\n")
    yield b"done\n"


def _commit(subject: str, at: int) -> bytes:
    message = subject.encode()
    who = b"A Developer <dev@acme.example> %d +0000" % at
    head = b"commit %s\ncommitter %s\n" % (HIDDEN.encode(), who)
    return head + b"data %d\n%s\n" % (len(message), message)


def _file(path: str, content: str) -> bytes:
    data = content.encode()
    return b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)


def _git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], check=True, capture_output=True, text=True)
    return done.stdout
