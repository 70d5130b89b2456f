"""Which repository a URL names, however it is written.

    https://github.com/acme/shop.git         ┐
    ssh://git@github.com/acme/shop           ├→ canonical `github.com/acme/shop`
    git@github.com:Acme/Shop.git             ┘

Flux objects, exporters, image labels and settings all write repositories in their own way; they are compared
by `canonical` and never by text. Userinfo is dropped where it enters: a token in a URL never gets further.
"""

import re
from urllib.parse import unquote, urlsplit

import msgspec

from fluxtrail.model.errors import WireError
from fluxtrail.model.redaction import redact_url

ACCEPTED_FORMS = "https://host/owner/repo, ssh://git@host/owner/repo, git@host:owner/repo, file:///path"
URL_LIMIT = 2048

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+")
_USER = re.compile(r"[A-Za-z0-9_.~][A-Za-z0-9_.~-]*")
_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^@/:\s]+):(?P<path>[^:\s][^\s]*)")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")

# The same forge under another name: SSH over the HTTPS port, and the old names of Azure DevOps.
_SAME_HOST = {
    "www.github.com": "github.com",
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
    "ssh.dev.azure.com": "dev.azure.com",
}
# Forges on which two spellings of one name are one repository.
_CASE_BLIND = frozenset({"github.com", "dev.azure.com", "bitbucket.org"})
_AZURE = "dev.azure.com"
_VISUAL_STUDIO = ".visualstudio.com"
_COMMIT_PATHS = {"github": "commit", "gitlab": "-/commit", "bitbucket": "commits", "gitea": "commit"}


class RepositoryUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed repository URL. Two of them name the same repository when their `canonical` is equal."""

    scheme: str
    """`https`, `http`, `ssh` or `file`; the scp form is `ssh`."""
    host: str
    """Lower case, without port and brackets; empty for `file`."""
    port: int | None = None
    path: str
    """As written, without leading and trailing slash: forges differ in whether `.git` may be left out."""
    canonical: str
    fetch_url: str
    """What git is given: the URL as written, without userinfo (SSH keeps its login name)."""

    @property
    def owner(self) -> str:
        """Everything between host and name: an owner, `group/subgroup`, or `organisation/project`."""
        inner = self.canonical.partition("/")[2]
        return inner.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.canonical.rpartition("/")[2]

    @property
    def web_url(self) -> str | None:
        """The repository's page for people, or None where we would be guessing."""
        forge = _find_forge(self.host)
        if self.scheme == "file" or (self.scheme == "ssh" and forge is None):
            return None
        host, _, inner = self.canonical.partition("/")
        if forge == "azure":
            inner = "/_git/".join(inner.rsplit("/", 1))
        elif forge is None or host not in _CASE_BLIND:
            inner = _without_git(self.path)
        if self.scheme == "ssh":
            return f"https://{host}/{inner}"
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}/{inner}"

    def commit_url(self, sha: str) -> str | None:
        """The commit's page for people, or None for a forge we do not know."""
        forge, page = _find_forge(self.host), self.web_url
        if forge is None or page is None:
            return None
        return f"{page}/{_COMMIT_PATHS.get(forge, 'commit')}/{sha}"


def parse_repository(url: str) -> RepositoryUrl:
    """Return what `url` names.

    Raises:
        WireError: the text is none of the accepted forms; the message quotes it without its userinfo.
    """
    text = url.strip()
    if not text or len(text) > URL_LIMIT or _FORBIDDEN.search(text):
        raise _refuse(url, "it is empty, too long, or holds spaces, control characters or backslashes")
    if "://" in text:
        return _parse_url(text)
    match = _SCP.fullmatch(text)
    if match is None:
        raise _refuse(url, "it has no scheme and no host")
    user, host, path = match["user"], match["host"].strip("[]"), match["path"]
    _check_ssh(text, user, host)
    written = f"{user}@{match['host']}" if user else match["host"]
    return _build(text, scheme="ssh", host=host, port=None, path=path, fetch_url=f"{written}:{path}")


def _parse_url(text: str) -> RepositoryUrl:
    try:
        parts = urlsplit(text)
        host, port, user = parts.hostname or "", parts.port, parts.username
    except ValueError as exc:
        raise _refuse(text, "its host or port cannot be read") from exc
    scheme = parts.scheme.lower()
    scheme = {"git+ssh": "ssh", "ssh+git": "ssh"}.get(scheme, scheme)
    path = parts.path
    if parts.query or parts.fragment:
        raise _refuse(text, "it has a query or a fragment")
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _refuse(text, "a file URL names no host")
        return _build(text, scheme=scheme, host="", port=None, path=path, fetch_url=f"file://{path}")
    if scheme not in ("https", "http", "ssh"):
        raise _refuse(text, f"the scheme {scheme!r} is not one of https, http, ssh, file")
    if not _HOST.fullmatch(host):
        raise _refuse(text, "its host is missing or not a host name")
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    if scheme == "ssh":
        _check_ssh(text, user, host)
        netloc = f"{user}@{netloc}" if user else netloc
    port = None if port == {"https": 443, "http": 80, "ssh": 22}[scheme] else port
    return _build(text, scheme=scheme, host=host, port=port, path=path, fetch_url=f"{scheme}://{netloc}{path}")


def _check_ssh(text: str, user: str | None, host: str) -> None:
    # A login or host that starts with a dash would become an option of the ssh command (CVE-2017-1000117).
    if not _HOST.fullmatch(host) or (user is not None and not _USER.fullmatch(user)):
        raise _refuse(text, "its login or host is not one")


def _build(text: str, *, scheme: str, host: str, port: int | None, path: str, fetch_url: str) -> RepositoryUrl:
    clean = path.strip("/")
    segments = [unquote(segment) for segment in clean.split("/") if segment]
    if not segments or _without_git(segments[-1]) == "" or any(_is_unsafe(segment) for segment in segments):
        raise _refuse(text, "its path names no repository")
    host = host.lower().rstrip(".")
    return RepositoryUrl(
        scheme=scheme,
        host=host,
        port=port,
        path=clean,
        canonical=_canonical(scheme, host, segments),
        fetch_url=fetch_url.rstrip("/"),
    )


def _is_unsafe(segment: str) -> bool:
    return (
        segment in (".", "..") or segment.startswith("-") or "/" in segment or bool(re.search(r"[\x00-\x1f]", segment))
    )


def _canonical(scheme: str, host: str, segments: list[str]) -> str:
    segments = [*segments[:-1], _without_git(segments[-1])]
    if scheme == "file":
        return "file:/" + "/".join(segments)
    host = _SAME_HOST.get(host, host)
    if host == _AZURE or host.endswith(_VISUAL_STUDIO):
        host, segments = _azure(host, segments)
    if host in _CASE_BLIND:
        segments = [segment.lower() for segment in segments]
    return "/".join([f"[{host}]" if ":" in host else host, *segments])


def _azure(host: str, segments: list[str]) -> tuple[str, list[str]]:
    """Bring every Azure DevOps form to (dev.azure.com, [organisation, project, repository])."""
    if host.endswith(_VISUAL_STUDIO):
        if segments[0] == "v3":  # organisation@vs-ssh.visualstudio.com:v3/organisation/project/repository
            return _AZURE, segments[1:]
        inner = [s for s in segments if s.lower() != "defaultcollection"]
        segments = [host.removesuffix(_VISUAL_STUDIO), *inner]
    elif segments[0] == "v3":
        return _AZURE, segments[1:]
    if "_git" in segments:
        at = segments.index("_git")
        before, repository = segments[:at], segments[at + 1 :]
        # A project's first repository has its name, and may be written without it.
        segments = [*before, *(repository if len(before) == 1 else []), *repository]
    return _AZURE, segments


def _without_git(path: str) -> str:
    return path[:-4] if path.lower().endswith(".git") else path


def _find_forge(host: str) -> str | None:
    host = _SAME_HOST.get(host, host)
    if host == _AZURE or host.endswith(_VISUAL_STUDIO):
        return "azure"
    labels = host.split(".")
    for forge in ("github", "gitlab", "bitbucket", "gitea", "forgejo"):
        if forge in labels:
            return "gitea" if forge == "forgejo" else forge
    return "gitea" if host == "codeberg.org" else None


def _refuse(url: str, why: str) -> WireError:
    shown = redact_url(url.strip())[:200]
    return WireError(f"{shown!r} is not a repository URL: {why}. Accepted: {ACCEPTED_FORMS}", subject="url")
