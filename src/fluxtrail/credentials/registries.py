"""Logins for registries: the `credentials` setting first, then docker's configuration and its helpers."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.credentials.dockerconfig import DockerConfigFile, RegistryLogin, server_name
from fluxtrail.credentials.dockerhelper import TIMEOUT_SECONDS, ask_helper
from fluxtrail.credentials.providers.place import Place
from fluxtrail.model.errors import AuthError

K = TypeVar("K")
V = TypeVar("V")

KEPT_SECONDS = 300.0
"""How long a helper's answer is believed; a refusal by the registry ends it sooner."""
FAILURE_KEPT_SECONDS = 5.0
REMEMBERED = 256

_Key = tuple[str, str]


class RegistryCredentials:
    """Finds the login for a registry and repository. Safe for concurrent callers.

    Args:
        bindings: the `credentials` setting; an entry's `owner` is the beginning of the repository.
        environ: where docker's configuration is looked for, and what its helpers are given.
        clock: any seconds that grow.
    """

    def __init__(
        self,
        bindings: CredentialSource | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        helper_timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._bindings = bindings or CredentialSource()
        self._environ = dict(os.environ if environ is None else environ)
        self._file = DockerConfigFile(self._environ)
        self._clock = clock
        self._timeout_seconds = helper_timeout_seconds
        self._answers: OrderedDict[_Key, tuple[float, RegistryLogin | None]] = OrderedDict()
        self._failures: OrderedDict[_Key, tuple[float, str]] = OrderedDict()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._shown: OrderedDict[str, tuple[Place, str]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def find(self, registry: str, repository: str, *, host: str, port: int | None) -> RegistryLogin | None:
        """Return the login, or None to come as nobody.

        Args:
            registry: as people write it, with its port (`docker.io`, `localhost:5000`).
            host: without the port: what `credentials` are bound to.

        Raises:
            ConfigError: a file cannot be read, or a helper is missing. AuthError: a helper failed (retryable).
            UpstreamError and kin: an issuer makes no token.
        """
        for name in dict.fromkeys((registry, host)):
            bound = await self._bindings.obtain(name, repository, port=port, is_registry=True)
            if bound is not None:
                self._shown[registry] = (Place(host=name, port=port, owner=repository, is_registry=True), bound.secret)
                _trim(self._shown)
                return RegistryLogin(username=bound.username, password=bound.secret)
        config = self._file.read()
        helper = config.find_helper(registry, repository)
        login = await self._ask((helper, server_name(registry))) if helper else None
        login = login or config.find_login(registry, repository)
        for secret in login.secrets if login else ():
            self._seen[secret] = None
            _trim(self._seen)
        return login

    def forget(self, registry: str) -> None:
        """The registry refused what it was shown: ask the helpers, and issuers, again next time."""
        if registry in self._shown:
            place, secret = self._shown.pop(registry)
            self._bindings.reject(secret, place)
        for key in [key for key in self._answers if key[1] == server_name(registry)]:
            del self._answers[key]

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret handed out so far: what redaction must clear."""
        return (*self._bindings.secrets, *self._seen)

    async def _ask(self, key: _Key) -> RegistryLogin | None:
        """Ask a helper, one at a time; a failure is remembered for a few seconds."""
        async with self._lock:
            known = self._answers.get(key)
            if known is not None and self._clock() - known[0] < KEPT_SECONDS:
                return known[1]
            failed = self._failures.get(key)
            if failed is not None and self._clock() - failed[0] < FAILURE_KEPT_SECONDS:
                raise AuthError(failed[1], retryable=True, subject=f"docker-credential-{key[0]}")
            try:
                login = await ask_helper(*key, environ=self._environ, timeout_seconds=self._timeout_seconds)
            except AuthError as exc:
                self._failures[key] = (self._clock(), exc.message)
                _trim(self._failures)
                raise
            self._failures.pop(key, None)
            self._answers[key] = (self._clock(), login)
            _trim(self._answers)
            return login


def _trim(entries: OrderedDict[K, V]) -> None:
    while len(entries) > REMEMBERED:
        entries.popitem(last=False)
