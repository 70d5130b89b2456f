"""Who asks, and what that one may do.

Templates and handlers ask `principal_of`; the guard has put it there before any handler runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from fluxtrail.web.access.asgi import Scope

if TYPE_CHECKING:  # settings need the roles, not the framework
    from litestar import Request

PRINCIPAL = "fluxtrail.principal"
"""Where in the scope of a request."""
STATEMENTS = "/api/v1/ci/runs"
"""Where pipelines state what they did."""
READING = frozenset({"GET", "HEAD"})


class Role(StrEnum):
    VIEWER = "viewer"
    """Reads everything, changes nothing."""
    OPERATOR = "operator"
    CI = "ci"
    """A pipeline: states its own runs, and nothing else; it cannot even read."""


class Means(StrEnum):
    """How somebody showed who they are."""

    NOTHING = "nothing"
    BEARER = "bearer"
    SESSION = "session"


@dataclass(frozen=True, kw_only=True)
class Principal:
    name: str
    """Of the token; `local` for who asks on loopback where no token is set."""
    role: Role
    repositories: tuple[str, ...] = ()
    """Patterns of canonical names that a pipeline may speak of."""
    means: Means = field(default=Means.NOTHING, compare=False)

    @property
    def may_act(self) -> bool:
        """Whether it may send again, drop, test and sync; pages leave such forms out for others."""
        return self.role is Role.OPERATOR

    def may_state(self, repository: str) -> bool:
        """Whether it may say what was built from a repository, given by its canonical name."""
        if self.role is Role.CI:
            return any(fnmatchcase(repository, pattern) for pattern in self.repositories)
        return self.may_act

    def may_ask(self, method: str, path: str) -> bool:
        if self.role is Role.CI:
            return method == "POST" and path == STATEMENTS
        return self.may_act or method in READING


LOCAL = Principal(name="local", role=Role.OPERATOR)
NOBODY = Principal(name="nobody", role=Role.VIEWER)
"""Where no token is set, and the connection did not come in by loopback: it may look."""


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """Return who asks. Without a guard around the application that is `NOBODY`."""
    return principal_in(request.scope)


def principal_in(scope: Scope | Any) -> Principal:
    found: Principal = scope.get(PRINCIPAL, NOBODY)
    return found
