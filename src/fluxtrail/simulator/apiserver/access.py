"""Who may call: bearer tokens, and which namespaces a user may read."""

from __future__ import annotations

from collections.abc import Mapping

from fluxtrail.simulator.apiserver.resources import ResourceDefinition
from fluxtrail.simulator.apiserver.statuses import forbidden, unauthorized

ANYBODY = "system:anonymous"


class Access:
    """The tokens a server takes (token -> user name) and what its users may not see.

    Without tokens everybody is let in. Rules cover reads and writes of namespaced resources alike; what a
    user may not see in one namespace, it may not list across all of them either.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self.tokens = dict(tokens)
        self._allowed: dict[str, frozenset[str]] = {}
        self._forbidden: set[tuple[str, str]] = set()

    def authenticate(self, authorization: str) -> str:
        """Return the user of an `Authorization` header.

        Raises:
            StatusError: 401.
        """
        if not self.tokens:
            return ANYBODY
        scheme, _, token = authorization.partition(" ")
        user = self.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def rotate(self, tokens: Mapping[str, str]) -> None:
        """Replace all tokens: requests with an old one are answered 401 from now on."""
        self.tokens = dict(tokens)

    def restrict(self, user: str, *, namespaces: frozenset[str]) -> None:
        """Let `user` see these namespaces only, and nothing cluster-wide."""
        self._allowed[user] = namespaces

    def forbid(self, namespace: str, *, resource: str = "") -> None:
        """Let nobody see `namespace` (empty: only lists across all namespaces), of one plural or of all."""
        self._forbidden.add((namespace, resource))

    def permit(self, namespace: str, *, resource: str = "") -> None:
        """Take a `forbid` back."""
        self._forbidden.discard((namespace, resource))

    def authorize(
        self, user: str, verb: str, definition: ResourceDefinition, *, namespace: str, name: str = ""
    ) -> None:
        """Pass, or refuse.

        Raises:
            StatusError: 403.
        """
        if not definition.namespaced:
            return
        allowed = self._allowed.get(user)
        is_outside = allowed is not None and namespace not in allowed
        if is_outside or self._is_forbidden(definition.plural, namespace):
            raise forbidden(definition, user=user, verb=verb, namespace=namespace, name=name)

    def _is_forbidden(self, plural: str, namespace: str) -> bool:
        if namespace:
            return bool({(namespace, ""), (namespace, plural)} & self._forbidden)
        return any(resource in ("", plural) for _, resource in self._forbidden)
