"""A declaration as files: the same one gives the same paths and bytes, whoever asks, whenever and wherever."""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.gitops.declaration.declaration import Declaration, Environment, Key
from fluxtrail.gitops.declaration.entries import SECTIONS, SOURCE_SECTIONS, Entry
from fluxtrail.gitops.declaration.names import inner_path
from fluxtrail.gitops.generate.head import head_of
from fluxtrail.gitops.generate.objects import to_object
from fluxtrail.gitops.generate.values_files import read_values
from fluxtrail.gitops.generate.yaml_text import yaml_text
from fluxtrail.model.errors import ConfigError

_PREFIXES = {section: f"flux-source-{section}-" for section in SOURCE_SECTIONS} | {
    "kustomizations": "flux-ks-",
    "releases": "flux-hr-",
}

ReadFile = Callable[[Path], Mapping[str, Any]]


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """An object on its way to a file.

    Args:
        path: of its file, from the declaration's folder.
        subject: its entry, for errors.
    """

    environment: str
    path: str
    subject: str
    data: dict[str, Any]


def plan(declaration: Declaration, *, read: ReadFile = read_values) -> list[Planned]:
    """Return all objects of all environments, in the order in which they stand in files.

    Args:
        read: reads a file of Helm values.

    Raises:
        ConfigError: an entry cannot be made into an object; two would be in one file without being told so.
    """
    found: list[Planned] = []
    owners: dict[str, str] = {}
    for environment in declaration.environments:
        for planned in _planned(declaration, environment, read):
            other = owners.setdefault(planned.path, environment.name)
            if other != environment.name:
                raise ConfigError(
                    f"writes {planned.path}, as {other} does; give each an output of its own",
                    subject=f"environments.{environment.name}.output",
                )
            found.append(planned)
    return found


def generate(declaration: Declaration, planned: Iterable[Planned]) -> dict[str, bytes]:
    """Return the files of objects, each with its head: what `flux create … --export` prints, one after the other."""
    head = head_of(declaration)
    texts: dict[str, list[str]] = {}
    for each in planned:
        texts.setdefault(each.path, [head]).append(f"---\n{yaml_text(each.data)}")
    return {path: "".join(parts).encode() for path, parts in sorted(texts.items())}


def _planned(declaration: Declaration, environment: Environment, read: ReadFile) -> Iterable[Planned]:
    owners: dict[str, Entry] = {}
    for section in SECTIONS:
        for key, entry in environment.sections[section].items():
            subject = environment.subject(section, key)
            path = posixpath.normpath(posixpath.join(environment.output, file_of(section, key, entry, subject)))
            other = owners.setdefault(path, entry)
            if other is not entry and (entry.file is None or other.file is None):
                raise ConfigError(f"goes into {path}, as another one does; name a file or a folder", subject=subject)
            values = partial(_values, declaration, read, f"{subject}.values_files")
            data = to_object(section, key, entry, environment, read_values=values)
            yield Planned(environment=environment.name, path=path, subject=subject, data=data)


def file_of(section: str, key: Key, entry: Entry, subject: str) -> str:
    """Return an object's file, below the output: `<namespace>/flux-<kind>-<name>.yaml`, or what the entry says.

    Raises:
        ConfigError: it would be elsewhere, or no YAML.
    """
    if entry.file is not None:
        path = inner_path(entry.file, subject=f"{subject}.file")
        if not path.endswith((".yaml", ".yml")) or posixpath.basename(path).startswith("."):
            raise ConfigError(f"{path[:80]!r} is no YAML file; end it in .yaml", subject=f"{subject}.file")
        return path
    folder = key.namespace if entry.folder is None else inner_path(entry.folder, subject=f"{subject}.folder")
    return posixpath.normpath(posixpath.join(folder, f"{_PREFIXES[section]}{key.name}.yaml"))


def _values(declaration: Declaration, read: ReadFile, subject: str, name: str) -> Mapping[str, Any]:
    try:
        return read(declaration.path.parent / name)
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc.message}", subject=subject) from exc
