"""gitops-connector's folder of subscribers: a file each, its name is the subscriber's, its first line the URL.

A file that is none is left out and named: it keeps nothing from the others, as it did not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fluxtrail.model.errors import ConfigError
from fluxtrail.runtime.settings.routes import check_url

MOST_SUBSCRIBERS = 50
LONGEST_BYTES = 64 * 1024
_NAME = re.compile(r"[-._A-Za-z0-9]{1,253}")
"""A key of a ConfigMap."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    name: str
    address: str
    """May hold a secret: not for logs."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is no subscriber, and why; without its text."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Folder:
    subscribers: tuple[Subscriber, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def read_folder(folder: Path) -> Folder:
    """Return who is subscribed, by name; nobody where there is no folder.

    Names that begin with a dot are Kubernetes' own in a mounted ConfigMap (`..data`), and passed over.

    Raises:
        ConfigError: the folder itself cannot be read.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    except FileNotFoundError:
        return Folder()
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(folder)) from exc
    found: list[Subscriber] = []
    left_out: list[LeftOut] = []
    for path in files:
        try:
            if len(found) == MOST_SUBSCRIBERS:
                raise ValueError(f"there are {MOST_SUBSCRIBERS} subscribers already")
            found.append(Subscriber(path.name, _address(path)))
        except ValueError as exc:
            left_out.append(LeftOut(path.name[:253], str(exc)))
    return Folder(tuple(found), tuple(left_out))


def _address(path: Path) -> str:
    """Return the first line of a file, without the end of it. Raises ValueError, which says what is wrong."""
    if not _NAME.fullmatch(path.name):
        raise ValueError("the file's name may have letters, digits, '.', '_' and '-'; rename it")
    try:
        with path.open("rb") as file:
            lines = file.read(LONGEST_BYTES).decode("utf-8-sig").strip().splitlines()
        address = lines[0].strip() if lines else ""
        check_url(address)
    except OSError as exc:
        raise ValueError(f"cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ValueError("the first line is no URL; write https://host/path there, or remove the file") from exc
    return address
