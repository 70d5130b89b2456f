"""What the pages load: our own files and the vendored ones, each under an address that changes with its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
URL = "/static"
HTMX = "vendor/htmx.min.js"
_MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str
    tag: str
    """The beginning of its hash: what its address ends with."""


@cache
def assets() -> dict[str, Asset]:
    """Return everything that is served, by its name below `static/`: read once, a few hundred kilobytes."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        media_type = _MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            content = path.read_bytes()
            tag = hashlib.sha256(content).hexdigest()[:12]
            found[path.relative_to(FOLDER).as_posix()] = Asset(content, media_type, tag)
    return found


def has_asset(name: str) -> bool:
    return name in assets()


def asset_url(name: str) -> str:
    """Return the address of an asset; KeyError for what there is none of, which is a fault in a template."""
    return f"{URL}/{name}?v={assets()[name].tag}"
