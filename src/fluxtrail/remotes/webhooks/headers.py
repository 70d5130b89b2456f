"""The headers that a receiver wants besides ours: a YAML mapping in a file, read again when it changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fluxtrail.credentials.files import SecretFiles
from fluxtrail.model.errors import ConfigError

MOST_HEADERS = 32
VALUE_LIMIT = 8 * 1024
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "te", "trailer", "upgrade"}
)
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class HeadersFile:
    """Args:
    files: reads it; what it held is known there as secret.
    """

    def __init__(self, path: Path, files: SecretFiles) -> None:
        self._path = path
        self._files = files
        self._read: tuple[str, dict[str, str]] = ("", {})

    def load(self) -> dict[str, str]:
        """Return the headers as the file has them now.

        Raises:
            ConfigError: it cannot be read, or is no mapping of names to texts; values are not repeated.
        """
        text = self._files.read(self._path)
        if text != self._read[0]:
            self._read = (text, read_headers(text, subject=str(self._path)))
        return self._read[1]


def read_headers(text: str, *, subject: str) -> dict[str, str]:
    """Return the headers of `Name: value` lines.

    Raises:
        ConfigError: as `HeadersFile.load`.
    """
    try:
        found: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError("the file is no YAML; write `Name: value` on each line", subject=subject) from exc
    if not isinstance(found, dict) or len(found) > MOST_HEADERS:
        raise ConfigError(
            f"the file is no mapping of at most {MOST_HEADERS} names; write `Name: value` on each line", subject=subject
        )
    return {_name(name, subject): _value(name, value, subject) for name, value in found.items()}


def _name(name: Any, subject: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"{str(name)[:40]!r} is no header's name; use letters, digits and '-'", subject=subject)
    if name.lower() in _OURS:
        raise ConfigError(f"the header {name} follows from what is sent; leave it out", subject=subject)
    return name


def _value(name: Any, value: Any, subject: str) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ConfigError(f"the value of {name} is no text; put it in quotes", subject=subject)
    text = str(value)
    if len(text) > VALUE_LIMIT or not text.isprintable():
        raise ConfigError(f"the value of {name} has line breaks or is longer than {VALUE_LIMIT}", subject=subject)
    return text
