"""A folder of Flux objects as a declaration from which the same objects are generated.

Each object becomes an entry; what the entry's words do not reproduce is carried in its `spec`, so that nothing is lost.
The last step is the proof: the declaration is read again, and its objects are compared with those of the folder.
"""

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import KINDS, SECTIONS
from fluxtrail.gitops.declaration.reading import parse_declaration
from fluxtrail.gitops.generate.condensing import condensed
from fluxtrail.gitops.generate.fields import entry_fields
from fluxtrail.gitops.generate.files import file_of, plan
from fluxtrail.gitops.generate.heads import common_boilerplate
from fluxtrail.gitops.generate.normal import normal, patch
from fluxtrail.gitops.generate.objects import API_VERSIONS, to_object
from fluxtrail.gitops.generate.shortening import shortened
from fluxtrail.gitops.generate.yaml_text import yaml_text
from fluxtrail.gitops.objects.manifests import Manifest, find_manifests
from fluxtrail.model.errors import ConfigError

_SECTION_OF = {kind: section for section, kind in KINDS.items()}
_GROUPS = {kind: version.partition("/")[0] for kind, version in API_VERSIONS.items()}


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Args:
    text: the declaration.
    count: how many objects it has.
    notes: what a person should know: what was left out, and why.
    """

    text: str
    count: int
    notes: tuple[str, ...]


def import_folder(folder: Path, *, output: str, namespace: str) -> Imported:
    """Return the declaration of a folder's Flux objects.

    Args:
        output: the folder as the declaration is to name it.
        namespace: of objects that name none.

    Raises:
        ConfigError: the folder cannot be read, has no Flux object, or one twice.
    """
    found = find_manifests(folder)
    notes = [f"{each.source}: {each.reason}" for each in found.skipped if not each.is_yaml]
    if values := sum(each.is_yaml for each in found.skipped):
        notes.append(f"{values} documents left where they are: no objects of a cluster")
    ours = [each for each in found.manifests if _is_ours(each)]
    others = [each for each in found.manifests if not _is_ours(each)]
    if not ours:
        raise ConfigError("holds no source, Kustomization or HelmRelease of Flux; name another", subject=str(folder))
    notes += _notes_on_others(others)
    wanted = _wanted(ours, namespace)
    files = _Files(folder, ours, {each.source for each in others})
    entries = _entries(ours, wanted, files, notes)
    document: dict[str, Any] = {"output": output}
    if boilerplate := common_boilerplate(sorted({each.source for each in ours})):
        document["boilerplate"] = boilerplate
    text = yaml_text({**document, **condensed(entries)}, is_sorted=False)
    _prove(text, folder, wanted.values())
    return Imported(text=text, count=len(wanted), notes=tuple(notes))


def _is_ours(manifest: Manifest) -> bool:
    return _GROUPS.get(manifest.kind) == manifest.group


def _id(manifest: Manifest, namespace: str) -> tuple[str, Key]:
    return _SECTION_OF[manifest.kind], Key(manifest.namespace or namespace, manifest.name)


def _wanted(manifests: Iterable[Manifest], namespace: str) -> dict[tuple[str, Key], dict[str, Any]]:
    found: dict[tuple[str, Key], dict[str, Any]] = {}
    places: dict[tuple[str, Key], str] = {}
    for each in manifests:
        identity = _id(each, namespace)
        if identity in found:
            raise ConfigError(
                f"{each.kind} {identity[1]} is in {places[identity]} too; import each environment's folder by itself",
                subject=each.place,
            )
        found[identity] = normal(each.data, namespace=namespace)
        places[identity] = each.place
    return found


class _Files:
    """Where the objects of a folder are, and what else is in those files.

    Args:
        mixed: files that have objects of other kinds too: these cannot be generated.
    """

    def __init__(self, folder: Path, manifests: Iterable[Manifest], mixed: set[str]) -> None:
        self._folder = folder.as_posix()
        self._counts = Counter(each.source for each in manifests)
        self._mixed = mixed

    def place(self, manifest: Manifest, usual: str) -> dict[str, str]:
        """Return an entry's `file`, unless the object is where it would be anyway, or must leave its file."""
        path = posixpath.relpath(manifest.source, self._folder)
        is_free = manifest.source not in self._mixed and path.endswith((".yaml", ".yml")) and "{" not in path
        return {"file": path} if is_free and (path != usual or self._counts[manifest.source] > 1) else {}

    def note(self, manifest: Manifest) -> str | None:
        if manifest.source not in self._mixed:
            return None
        return f"{manifest.place}: {manifest.kind} {manifest.name} gets a file of its own; take it out of this one"


def _entries(
    manifests: Sequence[Manifest], wanted: dict[tuple[str, Key], dict[str, Any]], files: _Files, notes: list[str]
) -> dict[str, dict[Key, dict[str, Any]]]:
    """Return entries by section. An object that no declaration can express is taken out of `wanted`, and noted."""
    environment = _skeleton(wanted)
    entries: dict[str, dict[Key, dict[str, Any]]] = {section: {} for section in SECTIONS}
    for each, (identity, data) in zip(manifests, list(wanted.items()), strict=True):
        section, key = identity
        try:
            entry = _entry(section, key, data, environment)
        except ConfigError as exc:
            notes.append(f"{each.place}: {each.kind} {key} was left out: {exc}")
            del wanted[identity]
            continue
        if each.api_version != data["apiVersion"]:
            notes.append(f"{each.place}: {each.kind} {key} was {each.api_version} and is now {data['apiVersion']}")
        if note := files.note(each):
            notes.append(note)
        usual = file_of(section, key, _converted(section, entry), section)
        entries[section][key] = {**entry, **files.place(each, usual)}
    return entries


def _skeleton(wanted: Iterable[tuple[str, Key]]) -> Environment:
    """Return an environment that knows which objects there are, and nothing of them: names are found in it."""
    sections: dict[str, dict[Key, Any]] = {section: {} for section in SECTIONS}
    for section, key in wanted:
        sections[section][key] = None
    return Environment(name="", output=".", sections=sections)


def _entry(section: str, key: Key, data: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    fields = shortened(section, entry_fields(section, data["spec"]), key, environment)
    fields = _as_far_as_it_goes(section, key, fields, environment)
    made = to_object(section, key, _converted(section, fields), environment, read_values=_no_values)
    if rest := patch(made["spec"], data["spec"]):
        fields["spec"] = rest
    for field in ("labels", "annotations"):
        if field in data["metadata"]:
            fields[field] = data["metadata"][field]
    return {"namespace": key.namespace, **fields}


def _as_far_as_it_goes(section: str, key: Key, fields: dict[str, Any], environment: Environment) -> dict[str, Any]:
    """Return the fields without those that cannot be said so: they come back in `spec`."""
    left = dict(fields)
    required = {field.name for field in msgspec.structs.fields(SECTIONS[section]) if field.required}
    while True:
        try:
            to_object(section, key, _converted(section, left), environment, read_values=_no_values)
        except ConfigError as exc:
            field = (exc.subject or "").rpartition(".")[2]
            if field not in left or field in required:
                raise
            del left[field]
        else:
            return left


def _no_values(_name: str) -> dict[str, Any]:
    return {}


def _converted(section: str, fields: Mapping[str, Any]) -> Any:
    try:
        return msgspec.convert(fields, SECTIONS[section])
    except msgspec.ValidationError as exc:
        raise ConfigError(str(exc).replace("`", ""), subject=section) from exc


def _notes_on_others(manifests: Iterable[Manifest]) -> list[str]:
    counted = Counter(each.kind for each in manifests)
    return [
        f"{count} {kind} left where they are: no source, Kustomization or HelmRelease of Flux"
        for kind, count in sorted(counted.items())
    ]


def _prove(text: str, folder: Path, wanted: Iterable[Mapping[str, Any]]) -> None:
    declaration = parse_declaration(text, path=folder / "gitops.yaml")
    made = {_name(each.data): normal(each.data, namespace="") for each in plan(declaration)}
    expected = {_name(each): each for each in wanted}
    different = sorted(name for name in made.keys() | expected.keys() if made.get(name) != expected.get(name))
    if different:
        raise ConfigError(f"cannot be declared without loss: {', '.join(different[:5])}", subject=str(folder))


def _name(data: Mapping[str, Any]) -> str:
    return f"{data['kind']} {data['metadata']['namespace']}/{data['metadata']['name']}"
