"""What an entry points at: a source, a chart, other entries, by name or by kind, name and namespace."""

import difflib
from collections.abc import Mapping, Sequence

import msgspec

from fluxtrail.gitops.declaration.declaration import Environment, Key
from fluxtrail.gitops.declaration.entries import KINDS, SOURCE_SECTIONS
from fluxtrail.model.errors import ConfigError

KUSTOMIZATION_SOURCES = ("git", "oci", "bucket")
CHART_SOURCES = ("helm", "git", "bucket")
OTHER_SOURCES = ("ExternalArtifact",)
"""Made by other controllers: never declared, and only for Kustomizations."""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Args:
    namespace: None where none is written: it is the namespace of the object that refers.
    """

    kind: str
    name: str
    namespace: str | None

    def fields(self) -> dict[str, str]:
        found = {"kind": self.kind, "name": self.name}
        return found if self.namespace is None else {**found, "namespace": self.namespace}


def source_reference(
    text: str, environment: Environment, *, namespace: str, sections: Sequence[str], subject: str
) -> Reference:
    """Return what `apps` or `GitRepository/apps.flux-system` means.

    Args:
        namespace: of the object that refers: it is written only where the source is in another one.
        sections: where a source of a fitting kind is declared.

    Raises:
        ConfigError: no such source is declared, or several are, or the kind does not fit.
    """
    fitting = [KINDS[section] for section in sections] + list(OTHER_SOURCES if "oci" in sections else ())
    kinds = {kind.lower(): kind for kind in fitting}
    kind, slash, rest = text.partition("/")
    if slash:
        if kind.lower() not in kinds:
            raise ConfigError(f"{text[:80]!r} is of no fitting kind; use {', '.join(kinds.values())}", subject=subject)
        return parse_reference(kinds[kind.lower()], rest, text=text, subject=subject)
    found = [(section, key) for section in sections for key in environment.sections[section] if key.name == text]
    if len(found) > 1:
        choices = ", ".join(f"{KINDS[section]}/{key.name}.{key.namespace}" for section, key in found)
        raise ConfigError(f"{text!r} is declared more than once; write one of {choices}", subject=subject)
    if not found:
        raise _undeclared(text, environment, sections, subject)
    section, key = found[0]
    return Reference(
        kind=KINDS[section], name=key.name, namespace=None if key.namespace == namespace else key.namespace
    )


def parse_reference(kind: str, rest: str, *, text: str, subject: str) -> Reference:
    """Return `<name>.<namespace>` or `<name>` as `flux create` understands it: behind the last dot is a namespace."""
    name, dot, namespace = rest.rpartition(".")
    if not dot:
        name, namespace = rest, ""
    if not name or "/" in name or (dot and not namespace):
        raise ConfigError(f"{text[:80]!r} names nothing; write <kind>/<name>.<namespace>", subject=subject)
    return Reference(kind=kind, name=name, namespace=namespace or None)


def _undeclared(text: str, environment: Environment, sections: Sequence[str], subject: str) -> ConfigError:
    names = sorted({key.name for section in sections for key in environment.sections[section]})
    elsewhere = [
        KINDS[section]
        for section in SOURCE_SECTIONS
        if section not in sections and any(key.name == text for key in environment.sections[section])
    ]
    if elsewhere:
        return ConfigError(
            f"{text[:80]!r} is a {elsewhere[0]}; it takes one of {', '.join(KINDS[section] for section in sections)}",
            subject=subject,
        )
    near = difflib.get_close_matches(text, names, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"declared are {', '.join(names[:20]) or 'none'}"
    return ConfigError(
        f"{text[:80]!r} is no declared source; {remedy} One that is not declared here is <kind>/<name>.<namespace>",
        subject=subject,
    )


def dependency(text: str, entries: Mapping[Key, object], *, namespace: str, subject: str) -> tuple[Key, bool]:
    """Return what `apps` or `flux-system/apps` waits for, and whether its namespace is written.

    Raises:
        ConfigError: a name without namespace is not declared, or declared more than once.
    """
    before, slash, name = text.rpartition("/")
    if slash:
        if not before or not name or "/" in before:
            raise ConfigError(f"{text[:80]!r} names nothing; write <name> or <namespace>/<name>", subject=subject)
        return Key(before, name), True
    if Key(namespace, name) in entries:
        return Key(namespace, name), False
    others = [key for key in entries if key.name == name]
    if len(others) == 1:
        return others[0], True
    known = ", ".join(str(key) for key in others) or ", ".join(sorted({key.name for key in entries})[:20])
    raise ConfigError(
        f"{text[:80]!r} is not declared; write one of {known}, or <namespace>/<name> of one declared elsewhere",
        subject=subject,
    )
