"""Brings the pages' third-party scripts from an npm registry, without Node: `python -m fluxtrail.web.pages.vendoring`.

None of them is committed. Which ones, in which version and with which content is in `vendor.lock.json`; what does not
have that content is refused. It runs when a wheel is built (`hatch_build.py`), so it imports nothing that is installed.

Source: https://docs.npmjs.com/cli/configuring-npm/npmrc; https://www.w3.org/TR/SRI/
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import io
import json
import os
import re
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxtrail.model.errors import ConfigError, FluxtrailError, UpstreamError, WireError

HERE = Path(__file__).parent
LOCK = HERE / "vendor.lock.json"
DESTINATION = HERE / "static" / "vendor"
PUBLIC_REGISTRY = "https://registry.npmjs.org/"
TIMEOUT_SECONDS = 30
ARCHIVE_LIMIT_BYTES = 16 * 1024 * 1024
FILE_LIMIT_BYTES = 4 * 1024 * 1024
_REGISTRY_LINE = re.compile(r"^\s*registry\s*=\s*\"?([^\s\"]+)\"?\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Package:
    name: str
    version: str
    integrity: str
    """`sha512-<base64>` of the archive, as npm's own lock files have it."""
    use: str
    """`pages`, or `tests`: what no wheel has."""
    files: Mapping[str, str]
    """By path inside the package: the name it gets here."""

    def url(self, registry: str) -> str:
        return f"{registry.rstrip('/')}/{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


def read_lock(path: Path = LOCK) -> list[Package]:
    """Return what is wanted.

    Raises:
        ConfigError: the lock file cannot be read.
    """
    try:
        return [Package(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))["packages"]]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"cannot be read as a lock file: {exc}", subject=str(path)) from exc


def find_registry(environment: Mapping[str, str], home: Path) -> str:
    """Return the registry that npm would ask: its environment variable, else `~/.npmrc`, else the public one.

    Raises:
        ConfigError: it is no address of HTTPS (or of HTTP on this machine, for tests).
    """
    found = environment.get("npm_config_registry") or environment.get("NPM_CONFIG_REGISTRY")
    if not found:
        try:
            lines = _REGISTRY_LINE.findall((home / ".npmrc").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            lines = []
        found = lines[-1] if lines else PUBLIC_REGISTRY
    if not found.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ConfigError(f"{found[:80]!r} is no https:// address", subject="npm registry")
    return found


def missing(packages: Sequence[Package], destination: Path = DESTINATION) -> list[Package]:
    """Return the packages that are not there in the version that the lock file names."""
    return [package for package in packages if not _is_there(package, destination)]


def bring(package: Package, *, registry: str, destination: Path = DESTINATION) -> None:
    """Fetch one package, check its content, and put its files in place.

    Raises:
        UpstreamError: the registry cannot be reached, or refuses.
        WireError: what it gave is not what the lock file says.
    """
    archive = _download(package.url(registry))
    digest = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if not hmac.compare_digest(digest, package.integrity):
        raise WireError(
            f"{package.name} {package.version} is not what vendor.lock.json says: it has {digest}", subject="registry"
        )
    destination.mkdir(parents=True, exist_ok=True)
    for name, content in _unpack(package, archive).items():
        _put(destination / name, content)
    _put(_stamp(package, destination), package.integrity.encode())


def bring_all(*, use: str = "pages", destination: Path = DESTINATION, packages: Sequence[Package] = ()) -> list[str]:
    """Bring what is missing; returns the names of what came. Raises FluxtrailError for the first that did not."""
    wanted = [package for package in packages or read_lock() if package.use == use]
    absent = missing(wanted, destination)
    if not absent:
        return []
    registry = find_registry(os.environ, Path.home())
    for package in absent:
        bring(package, registry=registry, destination=destination)
    return [f"{package.name} {package.version}" for package in absent]


def _is_there(package: Package, destination: Path) -> bool:
    try:
        stamp = _stamp(package, destination).read_text(encoding="utf-8")
    except OSError:
        return False
    return stamp == package.integrity and all((destination / name).is_file() for name in package.files.values())


def _stamp(package: Package, destination: Path) -> Path:
    return destination / f"{package.name.replace('/', '_')}.integrity"


def _download(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": "application/octet-stream"})  # noqa: S310 - find_registry
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            content: bytes = response.read(ARCHIVE_LIMIT_BYTES + 1)
    except urllib.error.HTTPError as exc:
        raise UpstreamError(f"the registry answered {exc.code}", status=exc.code, subject=url) from exc
    except (OSError, http.client.HTTPException) as exc:
        raise UpstreamError(f"the registry cannot be reached: {exc}", subject=url) from exc
    if len(content) > ARCHIVE_LIMIT_BYTES:
        raise WireError(f"the package has more than {ARCHIVE_LIMIT_BYTES} bytes", subject=url)
    return content


def _unpack(package: Package, archive: bytes) -> dict[str, bytes]:
    """Return the wanted files by their name here. Nothing is extracted by a path that the archive chose."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for path, name in package.files.items():
                member = tar.extractfile(f"package/{path}")
                if member is not None:
                    found[name] = member.read(FILE_LIMIT_BYTES)
    except (tarfile.TarError, KeyError, OSError, EOFError) as exc:
        raise WireError(f"cannot be unpacked: {exc}", subject=package.name) from exc
    return found


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all: another process may serve it, or bring it too."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fluxtrail.web.pages.vendoring", description="Bring the pages' scripts.")
    parser.add_argument("--for", dest="use", choices=("pages", "tests"), default="pages")
    parser.add_argument("--into", type=Path, default=DESTINATION)
    given = parser.parse_args(arguments)
    if given.use == "tests" and given.into == DESTINATION:
        parser.error("--for tests needs --into another folder: what lies here is served, and comes into wheels")
    try:
        came = bring_all(use=given.use, destination=given.into)
    except FluxtrailError as error:
        sys.stderr.write(f"{error}\nThe pages work without them, less lively.\n")
        return 1
    sys.stderr.write(f"brought {', '.join(came)}\n" if came else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
