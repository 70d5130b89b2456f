"""Secrets of clusters, read by their names: `get` on the one that is named, and nothing else."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from urllib.parse import quote

import msgspec

from fluxtrail.clusters.connection import Connection, open_connection
from fluxtrail.credentials.providers.place import SecretPlace
from fluxtrail.model.errors import AuthError, ConfigError, NotFoundError, WireError

LIMIT_BYTES = 2 * 1024 * 1024
TIMEOUT_SECONDS = 15.0
REMEDY = "name it in the Role of deploy/components/flux-secrets"


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "_Secret([redacted])"


class ClusterSecrets:
    """Satisfies `credentials.flux_secrets.SecretReader`. Connections are opened when one is read, and kept.

    Args:
        contexts: of the clusters that are watched; the first is meant where none is named.
        environ: where the kubeconfig is looked for.
        stack: closes the connections.
    """

    def __init__(self, contexts: Sequence[str | None], environ: Mapping[str, str], stack: AsyncExitStack) -> None:
        self._contexts = tuple(contexts) or (None,)
        self._environ, self._stack = environ, stack
        self._connections: dict[str | None, Connection] = {}

    async def read(self, place: SecretPlace) -> Mapping[str, bytes]:
        """Return the data of a Secret, decoded. Raises as the Protocol says."""
        connection = await self._find(place)
        path = f"/api/v1/namespaces/{quote(place.namespace, safe='')}/secrets/{quote(place.name, safe='')}"
        try:
            found = await connection.get(path, _Secret, limit_bytes=LIMIT_BYTES, timeout_seconds=TIMEOUT_SECONDS)
        except AuthError as exc:
            raise AuthError(f"the Secret may not be read, {REMEDY}", status=exc.status, subject=str(place)) from None
        except NotFoundError as exc:
            raise NotFoundError("there is no such Secret", status=exc.status, subject=str(place)) from None
        except WireError:
            raise WireError("the Secret has another shape", subject=str(place)) from None
        try:
            return {name: base64.b64decode(text, validate=True) for name, text in (found.data or {}).items()}
        except (binascii.Error, ValueError):
            raise WireError("the Secret's data is not base64", subject=str(place)) from None

    async def _find(self, place: SecretPlace) -> Connection:
        if not place.cluster:
            return self._open(place.context or self._contexts[0])
        for context in self._contexts:
            connection = self._open(context)
            if await connection.cluster_uid() == place.cluster:
                return connection
        raise ConfigError("the cluster that names the Secret is not watched by this process", subject=str(place))

    def _open(self, context: str | None) -> Connection:
        if context not in self._connections:
            connection = open_connection(context, self._environ)
            self._stack.push_async_callback(connection.close)
            self._connections[context] = connection
        return self._connections[context]
