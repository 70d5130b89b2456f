"""A target's paths: `spec.path` and everything its `kustomization.yaml` files reach outside it.

A scope is found by reading kustomizations at one commit, and holds until a commit touches one of them; then it is
read again at that commit. Over-reaching is safe (the manifests digest has the last word), under-reaching is not.
"""

import posixpath
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec
import yaml

from fluxtrail.model.errors import WireError
from fluxtrail.trail.ports import TreeEntry

KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
FILE_LIMIT_BYTES = 1024 * 1024
KUSTOMIZATION_LIMIT = 300
"""Kustomizations read for one target; beyond them the whole repository counts as its scope."""

_LISTS = (
    "resources",
    "bases",
    "components",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
)
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")


class TreeReader(Protocol):
    """What scope reads of a repository."""

    async def read_file(self, sha: str, path: str, *, limit_bytes: int) -> bytes | None: ...

    async def list_tree(self, sha: str, path: str) -> Sequence[TreeEntry]: ...


class Scope(msgspec.Struct, frozen=True):
    """Directories and files whose change may change the target. The empty directory name is the whole repository."""

    directories: frozenset[str]
    files: frozenset[str] = frozenset()
    """What is named and is no directory: a file, or something that is not there yet and may become one."""

    def has(self, path: str) -> bool:
        return path in self.files or any(
            prefix in self.directories or prefix in self.files for prefix in ancestors(path)
        )

    def has_any(self, paths: Iterable[str]) -> bool:
        return any(self.has(path) for path in paths)

    def is_shaped_by(self, paths: Iterable[str]) -> bool:
        """True if one of the changed paths is a kustomization in here: the scope must be read again."""
        return any(posixpath.basename(path) in KUSTOMIZATION_FILES and self.has(path) for path in paths)


WHOLE = Scope(frozenset({""}))


def ancestors(path: str) -> list[str]:
    """Return the directories that contain `path`, the root ("") last."""
    found, directory = [], path
    while directory:
        directory = posixpath.dirname(directory)
        found.append(directory)
    return found or [""]


def normal_path(path: str) -> str | None:
    """Return a repository path without `./`, `/` at the ends and `..` inside; "" for the root, None if it leaves it."""
    cleaned = posixpath.normpath("/".join(part for part in path.strip().split("/") if part not in ("", ".")) or ".")
    if cleaned == ".":
        return ""
    return None if cleaned == ".." or cleaned.startswith("../") else cleaned


async def read_scope(reader: TreeReader, sha: str, path: str, components: Sequence[str] = ()) -> Scope:
    """Return the scope of a target at one commit.

    Args:
        path: `spec.path`.
        components: `spec.components`, relative to it.

    Raises:
        UpstreamError: the repository could not be read.
    """
    root = normal_path(path)
    if root is None:
        return WHOLE
    walk = _Walk(reader, sha)
    await walk.add_directory(root)
    for component in components:
        await walk.add_reference(root, component)
    return walk.scope()


class _Walk:
    def __init__(self, reader: TreeReader, sha: str) -> None:
        self._reader = reader
        self._sha = sha
        self._directories: set[str] = set()
        self._files: set[str] = set()
        self._visited: set[str] = set()

    def scope(self) -> Scope:
        if len(self._visited) > KUSTOMIZATION_LIMIT:
            return WHOLE
        covered = {
            path
            for path in self._directories
            if path == "" or not any(parent in self._directories for parent in ancestors(path))
        }
        files = {path for path in self._files if not any(parent in covered for parent in ancestors(path))}
        return Scope(frozenset(covered), frozenset(files))

    async def add_directory(self, directory: str) -> None:
        pending = [directory]
        while pending and len(self._visited) <= KUSTOMIZATION_LIMIT:
            current = pending.pop()
            if current in self._visited:
                continue
            self._visited.add(current)
            self._directories.add(current)
            entries = await self._reader.list_tree(self._sha, current)
            if not entries:
                continue
            file_name = next(
                (entry.name for entry in entries if entry.type == "blob" and entry.name in KUSTOMIZATION_FILES), None
            )
            if file_name is None:
                # Flux generates a kustomization over everything below.
                pending += [_join(current, entry.name) for entry in entries if entry.type == "tree"]
            else:
                pending += await self._references(current, file_name)

    async def add_reference(self, directory: str, reference: str) -> None:
        for found in await self._resolve(directory, reference):
            await self.add_directory(found)

    async def _references(self, directory: str, file_name: str) -> list[str]:
        """Return the directories a kustomization names; files outside are noted."""
        try:
            data = await self._reader.read_file(self._sha, _join(directory, file_name), limit_bytes=FILE_LIMIT_BYTES)
            document = yaml.load(data or b"", Loader=_Loader)  # noqa: S506 - a SafeLoader
        except (yaml.YAMLError, WireError, ValueError, RecursionError):
            # It will not build either; its own directory is all that can be said.
            return []
        found: list[str] = []
        for reference in named_paths(document):
            found += await self._resolve(directory, reference)
        return found

    async def _resolve(self, directory: str, reference: str) -> list[str]:
        path = normal_path(_join(directory, reference))
        if path is None or is_remote(reference):
            return []
        if await self._reader.list_tree(self._sha, path):
            return [path]
        self._files.add(path)
        return []


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def named_paths(document: Any) -> list[str]:
    """Return every file or directory that a parsed kustomization names, remote ones too; foreign shapes give none."""
    if not isinstance(document, dict):
        return []
    found: list[Any] = []
    for key in _LISTS:
        found += _as_list(document.get(key))
    for key in _WITH_PATH:
        found += [item.get("path") for item in _as_list(document.get(key)) if isinstance(item, dict)]
    for key in _GENERATORS:
        for item in _as_list(document.get(key)):
            if isinstance(item, dict):
                found += [entry.split("=", 1)[-1] for entry in _strings(item.get("files"))]
                found += [*_strings(item.get("envs")), item.get("env")]
    for item in _as_list(document.get("helmCharts")):
        if isinstance(item, dict):
            found += [item.get("valuesFile"), *_strings(item.get("additionalValuesFiles"))]
    openapi = document.get("openapi")
    if isinstance(openapi, dict):
        found.append(openapi.get("path"))
    return [text for text in found if isinstance(text, str) and text and "\n" not in text]


def is_remote(reference: str) -> bool:
    """True for what kustomize fetches from elsewhere: URLs, `github.com/…`, `git@…`, `…?ref=`."""
    return (
        "://" in reference
        or "?ref=" in reference
        or reference.startswith(("git@", "git::", "github.com/", "gitlab.com/", "bitbucket.org/"))
    )


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [item for item in _as_list(value) if isinstance(item, str)]
