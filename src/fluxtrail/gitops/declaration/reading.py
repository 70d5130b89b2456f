"""Reading a declaration: environments over the base, defaults under each entry, everything checked on the way."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxtrail.gitops.declaration.converting import convert, mapping, unknown_field
from fluxtrail.gitops.declaration.declaration import Declaration, Defaults, Environment, Key
from fluxtrail.gitops.declaration.entries import SECTIONS, SOURCE_SECTIONS, Entry, GitSource
from fluxtrail.gitops.declaration.filling import filled
from fluxtrail.gitops.declaration.layering import layered_defaults, layered_entries, layered_entry
from fluxtrail.gitops.declaration.names import check_name, check_namespace
from fluxtrail.gitops.declaration.wholeness import check_references
from fluxtrail.gitops.objects.documents import read_documents
from fluxtrail.model.errors import ConfigError

FILE_LIMIT_BYTES = 4 * 1024 * 1024
OBJECTS_LIMIT = 20_000
_FIELDS = (
    "output",
    "boilerplate",
    "boilerplate_file",
    "defaults",
    "sources",
    "kustomizations",
    "releases",
    "environments",
)
_PATCHED = ("defaults", "sources", "kustomizations", "releases")
_REFERENCES = ("branch", "tag", "semver", "ref_name", "commit")
"""A git source has one of them; one that an entry names stands for all that defaults name."""


def read_declaration(path: Path) -> Declaration:
    """Return a declaration.

    Raises:
        ConfigError: the file cannot be read, or says what cannot be; with the field, the value and the remedy.
    """
    try:
        return parse_declaration(_text(path), path=path)
    except ConfigError as exc:
        if exc.subject and exc.subject.startswith(str(path)):
            raise
        raise ConfigError(exc.message, subject=f"{path}: {exc.subject}" if exc.subject else str(path)) from exc


def parse_declaration(text: str | bytes, *, path: Path) -> Declaration:
    """Return the declaration that stands in a text.

    Args:
        path: where it is kept: what it names is looked for beside it.

    Raises:
        ConfigError: as `read_declaration`.
    """
    documents = list(read_documents(text, subject=str(path)))
    if len(documents) > 1:
        raise ConfigError(f"has a second document at line {documents[1].line}; a declaration is one", subject=None)
    document = mapping(documents[0].value if documents else None, subject="the declaration")
    for name in document:
        if name not in _FIELDS:
            raise unknown_field(name, _FIELDS, subject="the declaration")
    base = {name: _section(name, document.get(name)) for name in _PATCHED}
    output = _output(document.get("output", "."), "output")
    patches = mapping(document.get("environments"), subject="environments")
    if not patches:
        environments: tuple[Environment, ...] = (_environment("", output, base),)
    else:
        environments = tuple(_patched(name, patches[name], output, base) for name in sorted(patches))
    return Declaration(
        path=path, output=output, boilerplate=_boilerplate(document, path.parent), environments=environments
    )


def _section(name: str, value: Any) -> dict[str, Any]:
    """Return a section with a mapping for each entry, also for one of which nothing is said, and for a listed name."""
    if name == "defaults":
        return mapping(value, subject=name)
    if name == "sources":
        return {kind: _named(part, f"sources.{kind}") for kind, part in mapping(value, subject=name).items()}
    return _named(value, name)


def _named(value: Any, subject: str) -> dict[str, Any]:
    if isinstance(value, list):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(
                    f"lists {str(name)[:60]!r}, which is no name; write names, or a mapping", subject=subject
                )
            if value.count(name) > 1:
                raise ConfigError(f"lists {name!r} twice; leave one out", subject=subject)
        return {name: {} for name in value}
    return {name: {} if entry is None else entry for name, entry in mapping(value, subject=subject).items()}


def _patched(name: str, patch: Any, output: str, base: dict[str, Any]) -> Environment:
    subject = f"environments.{name}"
    check_name(name, subject="environments")
    patch = mapping(patch, subject=subject)
    for field in patch:
        if field not in (*_PATCHED, "output"):
            raise unknown_field(field, (*_PATCHED, "output"), subject=subject)
    over = {
        "defaults": layered_defaults(base["defaults"], patch.get("defaults"), subject=f"{subject}.defaults"),
        "sources": _layered_sources(base["sources"], patch.get("sources"), f"{subject}.sources"),
    }
    for field in ("kustomizations", "releases"):
        said = patch.get(field)
        said = _named(said, f"{subject}.{field}") if isinstance(said, list) else said
        over[field] = layered_entries(base[field], said, subject=f"{subject}.{field}")
    place = _output(patch["output"], f"{subject}.output") if "output" in patch else posixpath.join(output, name)
    return _environment(name, posixpath.normpath(place), over)


def _layered_sources(base: Mapping[str, Any], patch: Any, subject: str) -> dict[str, Any]:
    found = dict(base)
    for kind, entries in mapping(patch, subject=subject).items():
        said = _named(entries, f"{subject}.{kind}") if isinstance(entries, list) else entries
        found[kind] = layered_entries(found.get(kind, {}), said, subject=f"{subject}.{kind}")
    return found


def _environment(name: str, output: str, document: Mapping[str, Any]) -> Environment:
    place = f"environment {name}: " if name else ""
    defaults = convert(
        mapping(document.get("defaults"), subject=f"{place}defaults"), Defaults, subject=f"{place}defaults"
    )
    sources = mapping(document.get("sources"), subject=f"{place}sources")
    for kind in sources:
        if kind not in SOURCE_SECTIONS:
            raise unknown_field(kind, SOURCE_SECTIONS, subject=f"{place}sources")
    sections: dict[str, dict[Key, Entry]] = {}
    for section in SECTIONS:
        parent = sources if section in SOURCE_SECTIONS else document
        subject = f"{place}sources.{section}" if section in SOURCE_SECTIONS else f"{place}{section}"
        entries = mapping(parent.get(section), subject=subject)
        sections[section] = _entries(section, entries, defaults, name, subject)
    found = Environment(name=name, output=output, sections=sections)
    if sum(map(len, sections.values())) > OBJECTS_LIMIT:
        raise ConfigError(f"has more than {OBJECTS_LIMIT} objects; split the declaration", subject=place or None)
    check_references(found)
    return found


def _entries(
    section: str, entries: Mapping[str, Any], defaults: Defaults, environment: str, subject: str
) -> dict[Key, Entry]:
    below = _below(section, defaults, subject)
    found: dict[Key, Entry] = {}
    for name, said in entries.items():
        place = f"{subject}.{name}"
        entry = mapping(said, subject=place)
        key = _key(name, entry.get("namespace", below.get("namespace")), place)
        under = below
        if section == "git" and any(reference in entry for reference in _REFERENCES):
            under = {field: value for field, value in below.items() if field not in _REFERENCES}
        converted = convert(
            layered_entry(under, {**entry, "namespace": key.namespace}), SECTIONS[section], subject=place
        )
        if key in found:
            raise ConfigError(f"is declared twice as {key}; leave one out", subject=place)
        found[key] = filled(converted, key=key, environment=environment, subject=place)
    return dict(sorted(found.items()))


def _below(section: str, defaults: Defaults, subject: str) -> dict[str, Any]:
    """Return what an entry of a section has before it says anything."""
    own = getattr(defaults, section)
    for field in own:
        if field not in SECTIONS[section].__struct_fields__:
            raise unknown_field(field, SECTIONS[section].__struct_fields__, subject=f"defaults.{section}")
    shared: dict[str, Any] = {
        "interval": defaults.interval,
        "labels": defaults.labels,
        "annotations": defaults.annotations,
    }
    if section != "releases":
        shared["namespace"] = defaults.namespace
    if section == "kustomizations":
        shared["prune"] = defaults.prune
    if SECTIONS[section] is GitSource and defaults.branch and not any(name in own for name in _REFERENCES):
        shared["branch"] = defaults.branch
    return layered_entry(shared, own)


def _key(name: str, namespace: Any, subject: str) -> Key:
    """Return the object that `name` or `namespace/name` means."""
    before, slash, own = name.rpartition("/")
    if slash:
        namespace = before
    if not isinstance(namespace, str):
        raise ConfigError(
            "has no namespace; a release is in that of its manifests: add `namespace: …`, or write <namespace>/<name>",
            subject=subject,
        )
    return Key(check_namespace(namespace, subject=subject), check_name(own, subject=subject))


def _output(value: Any, subject: str) -> str:
    if not isinstance(value, str) or not value or posixpath.isabs(value) or "\\" in value:
        raise ConfigError(
            f"{str(value)[:80]!r} is no folder; name one beside the declaration, with slashes", subject=subject
        )
    return posixpath.normpath(value)


def _boilerplate(document: Mapping[str, Any], folder: Path) -> str:
    text, file = document.get("boilerplate"), document.get("boilerplate_file")
    if text is not None and file is not None:
        raise ConfigError("excludes boilerplate_file; leave one out", subject="boilerplate")
    if file is not None:
        if not isinstance(file, str):
            raise ConfigError(f"{str(file)[:60]!r} is no path; name a file", subject="boilerplate_file")
        text = _text(folder / file).decode("utf-8", "replace")
    if not isinstance(text, str | None):
        raise ConfigError(f"{str(text)[:60]!r} is no text; write it below `|`", subject="boilerplate")
    return text or ""


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            content = opened.read(FILE_LIMIT_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot be read ({exc.strerror}); name a declaration", subject=str(path)) from exc
    if len(content) > FILE_LIMIT_BYTES:
        raise ConfigError(f"is larger than {FILE_LIMIT_BYTES >> 20} MiB; split it", subject=str(path))
    return content
