"""What a query means: a sha or a prefix of one, a pull request, or a target.

3f2a…            a commit, by its sha, a prefix of it, or an alias (a merge's other parent, a pull request's commit)
owner/repo@3f2a  the same in one repository only, as candidates are told apart
#12              the commits of pull request 12; `owner/repo#12` in one repository
kind/name        what is applied on a target; `kind/namespace/name` in one namespace
"""

import re

import msgspec
from sqlalchemy import ColumnElement, select, union_all

from fluxtrail.ledger import schema
from fluxtrail.ledger.queries.situation import Situation
from fluxtrail.ledger.session import Session
from fluxtrail.model.commit import is_sha_prefix
from fluxtrail.model.records import CommitId, RepositoryId, TargetRecord

CANDIDATES = 20
"""The most that are listed for an ambiguous query."""

_PULL_REQUEST = re.compile(r"(?:(?P<repository>[^#\s]+))?#(?P<number>\d{1,9})")
_IN_REPOSITORY = re.compile(r"(?P<repository>[^@\s]+)@(?P<sha>[0-9a-fA-F]{4,64})")
_REVISION = re.compile(r"(?:[^@\s]+@)?sha(?:1|256):(?P<hash>[0-9A-Fa-f]{4,64})")
"""A revision as Flux prints it, or an artifact's digest: what people copy from other tools."""
_TARGET = re.compile(r"(?P<kind>[A-Za-z]+)/(?:(?P<namespace>[^/\s]+)/)?(?P<name>[^/\s]+)")
_SHORT_KINDS = {"ks": "kustomization", "kustomizations": "kustomization"}


class Match(msgspec.Struct, frozen=True):
    """A commit that a query may mean, and by which kind of alias."""

    commit_id: CommitId
    via: str | None = None


async def resolve(session: Session, situation: Situation, query: str) -> list[Match]:
    """Return what `query` may mean, best first: at most CANDIDATES + 1 commits, each once."""
    text = query.strip()
    revision = _REVISION.fullmatch(text)
    text = revision["hash"] if revision else text
    pull_request, inside = _PULL_REQUEST.fullmatch(text), _IN_REPOSITORY.fullmatch(text)
    if pull_request:
        name = pull_request["repository"]
        within = repositories_named(situation, name) if name else None
        return await _by_pull_request(session, int(pull_request["number"]), within)
    if inside:
        return await _by_sha(session, inside["sha"].lower(), repositories_named(situation, inside["repository"]))
    if is_sha_prefix(text):
        return await _by_sha(session, text.lower(), None)
    targets = find_targets(situation, text)
    return await _by_target(session, targets)


def find_targets(situation: Situation, text: str, *, deleted: bool = False) -> list[TargetRecord]:
    """Return the targets that `kind/name`, `kind/namespace/name` or a bare name means: live ones, or all."""
    match = _TARGET.fullmatch(text)
    kind = match["kind"].lower() if match else None
    kind = _SHORT_KINDS.get(kind, kind) if kind else None
    namespace, name = (match["namespace"], match["name"]) if match else (None, text)
    return [
        target
        for target in situation.targets.values()
        if (deleted or target.deleted_at is None)
        and target.key.name == name
        and (kind is None or target.key.kind.lower() == kind)
        and (namespace is None or target.key.namespace == namespace)
    ]


def repositories_named(situation: Situation, name: str) -> list[RepositoryId]:
    """Return the repositories whose canonical name is `name` or ends with `/name`."""
    wanted = name.strip("/").lower()
    return [
        record.id
        for record in situation.repositories.values()
        if record.canonical.lower() == wanted or record.canonical.lower().endswith(f"/{wanted}")
    ]


async def _by_sha(session: Session, prefix: str, within: list[RepositoryId] | None) -> list[Match]:
    commits, aliases = schema.commits, schema.aliases
    own = select(commits.c.id, commits.c.repository_id, commits.c.sha).where(*begins(commits.c.sha, prefix))
    other = select(aliases.c.commit_id, aliases.c.repository_id, aliases.c.kind).where(*begins(aliases.c.sha, prefix))
    if within is not None:
        own = own.where(commits.c.repository_id.in_(within))
        other = other.where(aliases.c.repository_id.in_(within))
    direct = await session.all(own.order_by(commits.c.id).limit(CANDIDATES + 1))
    found = {row.id: Match(row.id) for row in direct}
    # A commit of its own wins over what its sha is an alias of in the same repository.
    itself = {row.repository_id for row in direct if row.sha == prefix}
    for row in await session.all(other.order_by(aliases.c.commit_id).limit(CANDIDATES + 1)):
        if row.repository_id not in itself:
            found.setdefault(row.commit_id, Match(row.commit_id, row.kind.value))
    return list(found.values())[: CANDIDATES + 1]


def begins(column: ColumnElement[str], prefix: str) -> tuple[ColumnElement[bool], ...]:
    """`g` follows the last hex digit: a range that every engine's index serves."""
    return (column == prefix,) if len(prefix) == 64 else (column >= prefix, column < prefix + "g")


async def _by_pull_request(session: Session, number: int, within: list[RepositoryId] | None) -> list[Match]:
    commits = schema.commits
    wanted = select(commits.c.id).where(commits.c.pull_request == number).order_by(commits.c.at.desc())
    if within is not None:
        wanted = wanted.where(commits.c.repository_id.in_(within))
    return [Match(row.id) for row in await session.all(wanted.limit(CANDIDATES + 1))]


async def _by_target(session: Session, targets: list[TargetRecord]) -> list[Match]:
    commits = schema.commits
    applied = [(target.repository_id, target.applied_sha) for target in targets[:CANDIDATES]]
    wanted = [
        select(commits.c.id).where(commits.c.repository_id == repository_id, commits.c.sha == sha)
        for repository_id, sha in dict.fromkeys(applied)
        if repository_id is not None and sha
    ]
    if not wanted:
        return []
    return [Match(row.id) for row in await session.all(union_all(*wanted))]


async def find_commits(session: Session, sha: str, within: list[RepositoryId] | None) -> list[CommitId]:
    """Return the few commits that a sha or a prefix may mean; none for what is no sha."""
    if not is_sha_prefix(sha):
        return []
    return [match.commit_id for match in await _by_sha(session, sha.lower(), within)]
