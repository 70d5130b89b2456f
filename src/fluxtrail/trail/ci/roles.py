"""What a run is for: it builds, it exports, or it is none of our business. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from fluxtrail.model.ci import CiRole, CiRun

_OF_BRANCHES = frozenset({"push", "merge_group", "individualci", "batchedci"})
"""Events by which a branch has got what is built, as GitHub, GitLab and Azure Pipelines name them, in lower case."""
_BY_CLOCK = frozenset({"schedule", "scheduled"})


class CiRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the pipelines of some repositories are understood. Patterns take no notice of case."""

    repository: str = "*"
    """A pattern of canonical names: `github.com/acme/*`."""
    builds: tuple[str, ...] = ()
    """Names of the pipelines that build; where any is stated, no other does."""
    exports: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    enabled: bool = True

    def roles_of(self, run: CiRun) -> tuple[CiRole, ...]:
        """Return what a run is for. What a clock has set off was not made for its commit, and is for nothing."""
        event, name = run.event.lower(), run.pipeline
        if event in _BY_CLOCK or _matches(name, self.ignore):
            return ()
        found = [CiRole.EXPORT] if _matches(name, self.exports) else []
        if _matches(name, self.builds):
            found.append(CiRole.BUILD)
        if found or self.builds:
            return tuple(found)
        return (CiRole.BUILD,) if event in _OF_BRANCHES else ()


def rule_of(rules: Iterable[CiRule], canonical: str) -> CiRule:
    """Return the first rule that is about a repository; without one, whatever is pushed is built."""
    return next((rule for rule in rules if _matches(canonical, (rule.repository,))), CiRule())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)
