"""gitops-connector's folder of subscribers: a file each, its name is the subscriber's, its first line the URL. Pure."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

SUBSCRIBERS_LIMIT = 50
URL_LIMIT = 4096

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_CONTROLS = re.compile(r"[\x00-\x20\x7f\\]")


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    url: str
    """May hold a secret in its query: not for logs."""


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    subscribers: tuple[Subscriber, ...] = ()
    problems: tuple[str, ...] = ()
    """Of the files that were left out: which one, and why; without their text."""


def read_folder(files: Iterable[tuple[str, str]]) -> Folder:
    """Return the subscribers of (file name, text), by name.

    A file that is no subscriber is left out and named; it keeps nothing from the others. Names that begin with a dot
    are Kubernetes' own in a mounted ConfigMap (`..data`), and passed over.
    """
    found: list[Subscriber] = []
    problems: list[str] = []
    for name, text in sorted(files):
        if name.startswith("."):
            continue
        url = next(iter(text.removeprefix("\ufeff").splitlines()), "").strip()
        problem = _problem(name, url, is_full=len(found) == SUBSCRIBERS_LIMIT)
        if problem:
            problems.append(f"subscriber {name[:253]!r}: {problem}")
        else:
            found.append(Subscriber(name=name, url=url))
    return Folder(subscribers=tuple(found), problems=tuple(problems))


def _problem(name: str, url: str, *, is_full: bool) -> str:
    if is_full:
        return f"there are {SUBSCRIBERS_LIMIT} already; it is left out"
    if not _NAME.fullmatch(name):
        return "its file's name may have letters, digits, '.', '_' and '-'; rename the file"
    if not url:
        return "its first line is empty; write the URL there"
    if len(url) > URL_LIMIT or _CONTROLS.search(url):
        return f"its first line has spaces or is longer than {URL_LIMIT} characters; write nothing but the URL there"
    try:
        parts = urlsplit(url)
        is_web = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_web = False
    return "" if is_web else "its first line is no http:// or https:// URL with a host; correct it"
