"""The kubeconfig: several files merged as kubectl merges them, and the endpoint a context stands for.

Source: client-go tools/clientcmd (`ClientConfigLoadingRules`, `validation.go`).
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from fluxtrail.clusters.endpoint import Endpoint
from fluxtrail.clusters.kubeentries import ClusterEntry, ContextEntry, KubeFile, UserEntry, read_kubefile
from fluxtrail.clusters.kubelogin import certificate_pair, is_private, login_of, pem_of, server_of
from fluxtrail.model.errors import ConfigError

E = TypeVar("E")


@dataclass(frozen=True)
class Sourced(Generic[E]):
    """An entry with the file it stands in, which relative paths in it are relative to."""

    entry: E
    file: Path


@dataclass
class KubeConfig:
    """The merged kubeconfig."""

    files: tuple[Path, ...]
    current_context: str | None = None
    _clusters: dict[str, Sourced[ClusterEntry]] = field(default_factory=dict, repr=False)
    _users: dict[str, Sourced[UserEntry]] = field(default_factory=dict, repr=False)
    _contexts: dict[str, Sourced[ContextEntry]] = field(default_factory=dict, repr=False)

    @property
    def contexts(self) -> tuple[str, ...]:
        """All contexts' names, sorted."""
        return tuple(sorted(self._contexts))

    def endpoint(self, context: str | None = None) -> Endpoint:
        """Return what `context`, or else the current context, stands for.

        Raises:
            ConfigError: naming file, field and remedy.
        """
        name = context or self.current_context
        if not name:
            message = f"is not set{self._offer()}; run `kubectl config use-context NAME` or pass --kube-context NAME"
            raise ConfigError(message, subject=f"{self._shown()}: current-context")
        found = self._contexts.get(name)
        if found is None:
            field_name = "--kube-context" if context else f"{self._shown()}: current-context"
            raise ConfigError(f"there is no context {name!r}{self._offer()}", subject=field_name)
        where = f"{found.file}: contexts[{name}]"
        cluster = self._referred(self._clusters, found.entry.cluster, f"{where}.context.cluster", "cluster")
        user = None
        if found.entry.user:
            user = self._referred(self._users, found.entry.user, f"{where}.context.user", "user")
        return _endpoint(name, found.entry, cluster, user)

    def merge(self, file: KubeFile) -> None:
        """Add what `file` has and earlier ones have not: the first of a name wins, whole."""
        self.current_context = self.current_context or file.current_context or None
        for cluster in file.clusters or ():
            self._clusters.setdefault(cluster.name, Sourced(cluster.cluster or ClusterEntry(), file.path))
        for user in file.users or ():
            self._users.setdefault(user.name, Sourced(user.user or UserEntry(), file.path))
        for context in file.contexts or ():
            self._contexts.setdefault(context.name, Sourced(context.context or ContextEntry(), file.path))

    def _referred(self, entries: Mapping[str, Sourced[E]], name: str | None, subject: str, kind: str) -> Sourced[E]:
        found = entries.get(name) if name else None
        if found is None:
            known = ", ".join(sorted(entries)) or "none"
            named = f"there is no {kind} {name!r}" if name else f"no {kind} is named"
            raise ConfigError(f"{named} (known: {known}); correct the name or add the {kind}", subject=subject)
        return found

    def _offer(self) -> str:
        return f" (contexts: {', '.join(self.contexts)})" if self._contexts else " and no context is defined"

    def _shown(self) -> str:
        return ", ".join(str(path) for path in self.files) or "kubeconfig"


def kubeconfig_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files to merge, in order: those in KUBECONFIG, or else `$HOME/.kube/config`."""
    named = [part for part in environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if named:
        return tuple(dict.fromkeys(Path(part) for part in named))
    home = environ.get("HOME")
    return (Path(home) / ".kube" / "config",) if home else ()


def load_kubeconfig(environ: Mapping[str, str]) -> KubeConfig:
    """Return the merged kubeconfig of this environment.

    A file that does not exist is passed over as kubectl does; all of them missing is an error.

    Raises:
        ConfigError: no file exists, or one cannot be read or understood.
    """
    paths = kubeconfig_paths(environ)
    found = [path for path in paths if _exists(path)]
    if not found:
        looked = ", ".join(str(path) for path in paths) or "nothing: neither KUBECONFIG nor HOME is set"
        message = f"no kubeconfig found (looked at {looked}); set KUBECONFIG or run inside a cluster"
        raise ConfigError(message, subject="KUBECONFIG")
    return merge_kubeconfigs(found)


def merge_kubeconfigs(paths: Iterable[Path]) -> KubeConfig:
    """Return the kubeconfig that `paths` make together. Each has to exist."""
    config = KubeConfig(files=tuple(paths))
    for path in config.files:
        config.merge(read_kubefile(path))
    return config


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder on the way may not be entered: let reading it say so
        return True


def _endpoint(
    name: str, context: ContextEntry, cluster: Sourced[ClusterEntry], user: Sourced[UserEntry] | None
) -> Endpoint:
    where = f"{cluster.file}: clusters[{context.cluster}].cluster"
    entry = cluster.entry
    server = server_of(entry.server, f"{where}.server")
    authority = pem_of(
        entry.certificate_authority_data, entry.certificate_authority, cluster.file, f"{where}.certificate-authority"
    )
    if authority is not None and entry.insecure_skip_tls_verify:
        message = "is set together with certificate-authority; remove one of the two"
        raise ConfigError(message, subject=f"{where}.insecure-skip-tls-verify")
    login, certificate, key = None, None, None
    if user is not None:
        who = f"{user.file}: users[{context.user}].user"
        login = login_of(user.entry, user.file, who, entry)
        certificate, key = certificate_pair(user.entry, user.file, who)
    if (login is not None or certificate is not None) and not is_private(server):
        message = "is plain http and the user has credentials, which would travel readable; use https"
        raise ConfigError(message, subject=f"{where}.server")
    return Endpoint(
        name=name,
        server=server,
        authority=authority,
        is_verified=not entry.insecure_skip_tls_verify,
        tls_server_name=entry.tls_server_name or None,
        proxy_url=_proxy(entry.proxy_url, f"{where}.proxy-url"),
        certificate=certificate,
        key=key,
        login=login,
        namespace=context.namespace or "default",
    )


def _proxy(url: str | None, subject: str) -> str | None:
    if url and not url.startswith(("http://", "https://")):
        raise ConfigError("only http:// and https:// proxies are supported; use one of those", subject=subject)
    return url or None
