"""The world a git process lives in: nothing of the machine's or the user's configuration, one transport allowed.

A login reaches git only through GIT_ASKPASS: a script of a few lines that prints what an inherited file holds, and only
when the question names the host the credential is bound to. A bearer is a header in the configuration that git reads
from such a file, for that host alone. Neither is ever in an argument, a variable or a URL.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fluxtrail.credentials.binding import Credential
from fluxtrail.model.errors import ConfigError, StoreError
from fluxtrail.model.repository import RepositoryUrl
from fluxtrail.remotes.git.handing import handed

# What is passed on: how to find programs, reach the network, and trust a private CA.
_INHERITED = (
    "PATH", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "LD_LIBRARY_PATH",
)  # fmt: skip

_ASKPASS = """#!/bin/sh
case "$1" in
  *"://$FLUXTRAIL_GIT_HOST'"* | *"@$FLUXTRAIL_GIT_HOST'"*) ;;
  *) exit 1 ;;
esac
{ IFS= read -r username; IFS= read -r secret; } < "$FLUXTRAIL_GIT_LOGIN" || exit 1
case "$1" in
  Username*) printf '%s\\n' "$username" ;;
  *) printf '%s\\n' "$secret" ;;
esac
"""

# Given on the command line because that scope wins over the clone's own config file.
CONFIGURATION = (
    "protocol.version=2",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.ssh.allow=always",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "credential.helper=",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    "advice.detachedHead=false",
    "safe.directory=*",
)


_BEARER = re.compile(r"[A-Za-z0-9._~+/=-]+")


@dataclass(frozen=True, slots=True)
class NetworkEnvironment:
    """What a git process that talks to a host is started with."""

    variables: Mapping[str, str]
    descriptors: tuple[int, ...] = field(default=())
    """Open files that it inherits."""


class GitEnvironment:
    """Makes the environment of git processes under `root`, which must be writable."""

    def __init__(self, root: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self.home = root / "home"
        self.askpass = root / "askpass"
        self._inherited = {k: v for k, v in (os.environ if environ is None else environ).items() if k in _INHERITED}
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.askpass.write_text(_ASKPASS)
            self.askpass.chmod(0o700)
        except OSError as exc:
            raise StoreError(f"the folder for clones cannot be written: {exc.strerror}", subject=str(root)) from exc

    def local(self) -> dict[str, str]:
        """For commands that never leave the machine: no transport at all."""
        return {
            **self._inherited,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": os.devnull,
            "SSH_ASKPASS": os.devnull,
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
        }

    @contextmanager
    def network(self, url: RepositoryUrl, credential: Credential | None) -> Iterator[NetworkEnvironment]:
        """For commands that talk to `url`'s host, and to nothing else, with `credential`, while the block runs.

        Raises:
            ConfigError: the credential holds what no header and no login can.
        """
        env = self.local()
        env["GIT_ALLOW_PROTOCOL"] = url.scheme
        env["GIT_SSH_COMMAND"] = _ssh_command(credential)
        env["GIT_SSH_VARIANT"] = "ssh"
        if credential is None or credential.kind == "ssh":
            yield NetworkEnvironment(env)
            return
        with handed(_login_text(url, credential), folder=self.home) as login:
            if credential.is_bearer:
                env["GIT_CONFIG_GLOBAL"] = login.path
            else:
                env["GIT_ASKPASS"] = str(self.askpass)
                env["FLUXTRAIL_GIT_HOST"] = _host_as_git_writes_it(url)
                env["FLUXTRAIL_GIT_LOGIN"] = login.path
            yield NetworkEnvironment(env, login.descriptors)


def transport_configuration(url: RepositoryUrl) -> tuple[str, ...]:
    """Return the settings that permit `url`'s own transport, where it is not one of the two safe ones."""
    return (f"protocol.{url.scheme}.allow=always",) if url.scheme in ("http", "file") else ()


def _login_text(url: RepositoryUrl, credential: Credential) -> str:
    """Return what git is handed: user and secret in a line each, or a configuration with one header."""
    if not credential.secret.isprintable() or not credential.username.isprintable():
        raise ConfigError("the credential holds line breaks or control characters", subject=url.fetch_url)
    if not credential.is_bearer:
        return f"{credential.username}\n{credential.secret}\n"
    if not _BEARER.fullmatch(credential.secret):
        raise ConfigError("the bearer token holds what no header can", subject=url.fetch_url)
    place = f"{url.scheme}://{_host_as_git_writes_it(url)}/"
    return f'[http "{place}"]\n\textraHeader = "Authorization: Bearer {credential.secret}"\n'


def _host_as_git_writes_it(url: RepositoryUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}" if url.port else host


def _ssh_command(credential: Credential | None) -> str:
    options = [
        "ssh", "-F", os.devnull, "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oConnectTimeout=20",
        "-oServerAliveInterval=15", "-oServerAliveCountMax=4", "-oClearAllForwardings=yes", "-oForwardAgent=no",
    ]  # fmt: skip
    if credential is not None and credential.ssh_key_file is not None:
        options += ["-oIdentitiesOnly=yes", "-i", str(credential.ssh_key_file)]
    if credential is not None and credential.known_hosts_file is not None:
        options += [f"-oUserKnownHostsFile={credential.known_hosts_file}", f"-oGlobalKnownHostsFile={os.devnull}"]
    return shlex.join(options)
