"""Kubernetes objects in files, each with its place: what a person is told when something is wrong with one."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.gitops.objects.documents import Document, read_documents
from fluxtrail.model.errors import ConfigError

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
FILE_LIMIT_BYTES = 16 * 1024 * 1024
FILES_LIMIT = 20_000
KUSTOMIZE_GROUP = "kustomize.config.k8s.io/"
"""What `kustomize build` reads: files of a folder, and no objects of a cluster."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """An object as a file has it.

    Args:
        source: the file as it was reached from what was asked for; `<stdin>` for standard input.
        line: where it begins in that file, from 1.
        namespace: None where the file names none.
    """

    source: str
    line: int
    data: dict[str, Any]
    api_version: str
    kind: str
    namespace: str | None
    name: str

    @property
    def place(self) -> str:
        return f"{self.source}:{self.line}"

    @property
    def group(self) -> str:
        """The API group, without version; empty for the core group."""
        return self.api_version.rpartition("/")[0]


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """Args:
    is_yaml: it can be read, and is no object: a file of values, perhaps. Else it may be a template.
    """

    source: str
    reason: str
    is_yaml: bool


class Found(msgspec.Struct, frozen=True, kw_only=True):
    manifests: tuple[Manifest, ...]
    skipped: tuple[Skipped, ...]


def read_manifests(paths: Iterable[str | Path]) -> list[Manifest]:
    """Return the objects of files and folders, in the order of the paths, of names, and in each file from above.

    A folder's `.yaml`, `.yml` and `.json` files are read, those of folders in it too; kustomize's own files there are
    no objects and are left out. A `List` is its items. The path `-` is standard input.

    Raises:
        ConfigError: a path is not there or not readable; a document is no object: apiVersion, kind, metadata.name.
    """
    return [
        one
        for path in paths
        for file, is_listed in _files(path)
        for one in (_listed(file) if is_listed else parse_manifests(_content(file), source=_shown(file)))
    ]


def find_manifests(folder: str | Path) -> Found:
    """Return the objects in a folder where other YAML may lie: values, charts' templates. What is no object is told.

    Raises:
        ConfigError: the folder is not there or not readable.
    """
    manifests: list[Manifest] = []
    skipped: list[Skipped] = []
    for file, _ in _files(folder):
        try:
            documents = list(read_documents(_content(file), subject=file))
        except ConfigError as exc:
            skipped.append(Skipped(source=file, reason=exc.message, is_yaml=False))
            continue
        for value, line in _objects(documents):
            if _is_kustomizes(value):
                continue
            try:
                manifests.append(to_manifest(value, source=file, line=line))
            except ConfigError as exc:
                skipped.append(Skipped(source=f"{file}:{line}", reason=exc.message, is_yaml=True))
    return Found(manifests=tuple(manifests), skipped=tuple(skipped))


def parse_manifests(text: str | bytes, *, source: str) -> list[Manifest]:
    """Return the objects of a text.

    Raises:
        ConfigError: as `read_manifests`.
    """
    return [
        to_manifest(value, source=source, line=line) for value, line in _objects(read_documents(text, subject=source))
    ]


def to_manifest(value: Any, *, source: str, line: int) -> Manifest:
    """Return a document as an object.

    Raises:
        ConfigError: it has no apiVersion, kind, or metadata.name.
    """
    place = f"{source}:{line}"
    if not isinstance(value, dict):
        raise ConfigError("is no object; write apiVersion, kind and metadata.name", subject=place)
    metadata = value.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    namespace = metadata.get("namespace")
    if not (namespace is None or isinstance(namespace, str)):
        raise ConfigError(f"has the metadata.namespace {namespace!r}, which is no text; quote it", subject=place)
    return Manifest(
        source=source,
        line=line,
        data=value,
        api_version=_text(value.get("apiVersion"), "apiVersion", place),
        kind=_text(value.get("kind"), "kind", place),
        namespace=namespace or None,
        name=_text(metadata.get("name"), "metadata.name", place),
    )


def _text(value: Any, field: str, place: str) -> str:
    if isinstance(value, str) and value:
        return value
    problem = f"has no {field}" if value in (None, "") else f"has the {field} {str(value)[:60]!r}, which is no text"
    raise ConfigError(f"{problem}; every object needs apiVersion, kind and metadata.name", subject=place)


def _listed(file: str) -> Iterator[Manifest]:
    """A folder's file: kustomize's own need no name, and are no objects."""
    for value, line in _objects(read_documents(_content(file), subject=file)):
        if not _is_kustomizes(value):
            yield to_manifest(value, source=file, line=line)


def _is_kustomizes(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("apiVersion", "")).startswith(KUSTOMIZE_GROUP)


def _objects(documents: Iterable[Document]) -> Iterator[tuple[Any, int]]:
    """Yield each document, or each item of one that is a List, with its line."""
    for document in documents:
        value = document.value
        if (
            isinstance(value, dict)
            and str(value.get("kind", "")).endswith("List")
            and isinstance(value.get("items"), list)
        ):
            yield from zip(value["items"], _lines(document, len(value["items"])), strict=True)
        else:
            yield value, document.line


def _lines(document: Document, count: int) -> Sequence[int]:
    return document.item_lines if len(document.item_lines) == count else (document.line,) * count


def _files(path: str | Path) -> Iterator[tuple[str, bool]]:
    """Yield files, each with whether it is one of a folder."""
    place = Path(path)
    if str(path) == STDIN or not place.is_dir():
        yield str(path), False
        return
    count = 0
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                count += 1
                if count > FILES_LIMIT:
                    raise ConfigError(f"holds more than {FILES_LIMIT} files; name a folder in it", subject=str(path))
                yield (Path(folder) / name).as_posix(), True


def _shown(file: str) -> str:
    return "<stdin>" if file == STDIN else file


def _content(file: str) -> bytes:
    try:
        if file == STDIN:
            content = sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                content = opened.read(FILE_LIMIT_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot be read ({exc.strerror}); name a file or a folder", subject=_shown(file)) from exc
    if len(content) > FILE_LIMIT_BYTES:
        raise ConfigError(f"is larger than {FILE_LIMIT_BYTES >> 20} MiB; split the file", subject=_shown(file))
    return content
