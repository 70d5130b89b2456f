"""Rows of Spektate's table, as its writer script took them, as statements of runs. Pure.

A row had the ids of three runs: `p1` builds, `p2` writes the high-level definitions, `p3` the manifests. Each is a run
of its own here; the row's filter says which commit they are of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from fluxtrail.cli.ci_environment import Facts
from fluxtrail.model.ci import CiRole, CiState
from fluxtrail.web.statements import CiStatement, RunReference

COLUMNS = (
    "p1", "p2", "p3", "commitId", "hldCommitId", "manifestCommitId", "imageTag", "env", "service", "pr",
    "sourceRepo", "hldRepo", "manifestRepo",
)  # fmt: skip
_BY_NAME = {name.lower(): name for name in COLUMNS}
_RUNS = ("p1", "p2", "p3")
_ACCOUNT = 4
"""Arguments before the filter that name the table: account, key, table, partition."""
_REFERENCES: dict[str, tuple[str, CiRole | None]] = {
    "p1": ("run_id", CiRole.BUILD),
    "p2": ("run_id", CiRole.EXPORT),
    "p3": ("run_id", CiRole.EXPORT),
    "commitId": ("sha", None),
    "hldCommitId": ("carrier_sha", CiRole.EXPORT),
    "manifestCommitId": ("carrier_sha", CiRole.EXPORT),
    "imageTag": ("image", None),
    "service": ("service", None),
    "env": ("environment", None),
}
"""What each column is called where an earlier run is looked for."""

Row = Mapping[str, str]


def read_row(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the column that is filtered by, and all columns that are given.

    Raises:
        click.UsageError: not the writer's arguments. Those that name the table, one of them a key, are never quoted.
    """
    given = list(arguments)
    if given and given[0].lower() not in _BY_NAME:
        given = given[_ACCOUNT:]
    if not given or len(given) % 2:
        raise click.UsageError(
            "write [ACCOUNT KEY TABLE PARTITION] FILTER VALUE [NAME VALUE]...; what is known is listed by the API's "
            "/api/v1/ci/runs and /api/deployments"
        )
    row: dict[str, str] = {}
    for number in range(0, len(given), 2):
        name = _BY_NAME.get(given[number].lower())
        if name is None:
            raise click.UsageError(
                f"argument {number + 1} after the partition names no column; use {', '.join(COLUMNS)}"
            )
        if name in row and number:
            raise click.UsageError(f"{name} is given twice")
        row[name] = given[number + 1].strip()
    return next(iter(row)), {name: value for name, value in row.items() if value}


def statements_of(
    filtered: str, row: Row, *, facts: Facts, state: CiState, repository: str | None
) -> list[CiStatement]:
    """Return what a row states.

    Args:
        facts: of the CI system that runs us (`read_environment`).
        repository: of the source commit, where it is stated.

    Raises:
        click.UsageError: the row says neither which run it is about, nor does the CI system.
    """
    commit = _commit(filtered, row, facts, repository)
    named = [name for name in _RUNS if name in row]
    about = [name for name in named if name != filtered] or named
    if not about:
        run_id = facts.get("run_id", "")
        if not run_id:
            raise click.UsageError("say which run this is, by p1, p2 or p3: no CI system tells it here")
        about, row = ["p3" if "manifestCommitId" in row else "p2"], {**row}
        row = {**row, about[0]: run_id}
    return [_statement(name, row, commit, facts, state) for name in about]


def _statement(name: str, row: Row, commit: Facts, facts: Facts, state: CiState) -> CiStatement:
    said: Facts = {**_surroundings(row[name], facts), **commit, "state": state}
    said |= {"role": CiRole.BUILD if name == "p1" else CiRole.EXPORT, "run_id": row[name]}
    said |= {"image": row.get("imageTag", ""), "service": row.get("service", ""), "environment": row.get("env", "")}
    if name != "p1":
        said["pull_request"] = _pull_request(row)
        column, place = ("hldCommitId", "hldRepo") if name == "p2" else ("manifestCommitId", "manifestRepo")
        said |= {"carrier_sha": row.get(column, ""), "carrier_repository": row.get(place, "")}
        said["allow_unfollowed"] = place in row  # a table took every row: it counts once Flux applies that repository
    try:
        return msgspec.convert({field: value for field, value in said.items() if value is not None}, CiStatement)
    except msgspec.ValidationError as exc:
        raise click.UsageError(f"{name}: {exc}") from exc


def _surroundings(run_id: str, facts: Facts) -> Facts:
    """Return what the CI system says of this run, if it is the one that runs us."""
    names = ("system", "host", "project", "attempt", "pipeline", "number", "url", "branch", "event", "author", "at")
    if run_id != facts.get("run_id"):
        return {name: facts[name] for name in ("at",) if name in facts}
    return {name: facts[name] for name in names if name in facts}


def _commit(filtered: str, row: Row, facts: Facts, repository: str | None) -> dict[str, Any]:
    sha, own = row.get("commitId", "").lower(), facts.get("sha", "").lower()
    if sha and own.startswith(sha):
        sha = own
    place = repository or row.get("sourceRepo") or (facts.get("repository", "") if sha == own else "")
    if sha and place:
        return {"repository": place, "sha": sha}
    if not sha and filtered == "p1" and row.get("p1") == facts.get("run_id") and own:
        return {"repository": place or facts.get("repository", ""), "sha": own}
    column = "commitId" if sha else filtered
    if column not in _REFERENCES or column not in row:
        known = ", ".join(_REFERENCES)
        raise click.UsageError(f"no commit is found by {column}; filter by one of {known}, or give commitId")
    field, role = _REFERENCES[column]
    reference: dict[str, Any] = {field: row[column], "role": role}
    return {"of": RunReference(**reference), "repository": place or ""}


def _pull_request(row: Row) -> int | None:
    text = row.get("pr", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise click.UsageError(f"pr {text[:40]!r} is no number of a pull request")
    return int(text) if text else None
