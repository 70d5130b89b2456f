"""Placeholders in an entry, `{name}`, `{namespace}` and `{environment}`, and durations in Go's form."""

from __future__ import annotations

from typing import Any

import msgspec

from fluxtrail.gitops.declaration.declaration import Key
from fluxtrail.gitops.declaration.entries import Entry
from fluxtrail.gitops.declaration.goduration import go_duration
from fluxtrail.model.errors import ConfigError

FILLED = ("path", "folder", "file", "values_files")
DURATIONS = ("interval", "timeout", "retry_interval", "chart_interval")


def filled(entry: Entry, *, key: Key, environment: str, subject: str) -> Entry:
    """Return an entry with its placeholders filled.

    Raises:
        ConfigError: it names the environment where there is none, or a duration is none.
    """
    words = {"{name}": key.name, "{namespace}": key.namespace, "{environment}": environment}
    changes: dict[str, Any] = {}
    for field in FILLED:
        value = getattr(entry, field, None)
        if isinstance(value, str):
            changes[field] = _fill(value, words, f"{subject}.{field}")
        elif isinstance(value, list):
            changes[field] = [_fill(each, words, f"{subject}.{field}") for each in value]
    for field in DURATIONS:
        value = getattr(entry, field, None)
        if value is not None:
            changes[field] = go_duration(value, subject=f"{subject}.{field}")
    return msgspec.structs.replace(entry, **changes)


def _fill(text: str, words: dict[str, str], subject: str) -> str:
    for word, value in words.items():
        if word in text and not value:
            raise ConfigError(
                "names {environment}, and the declaration has no environments; add them, or leave it out",
                subject=subject,
            )
        text = text.replace(word, value)
    return text
