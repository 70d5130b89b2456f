"""The sections `environments`, `routes` and `budgets`: what is told of commits, to whom, and how fast.

What each kind of route may state is in one table, `_TAKES`: a field that a kind has no use for is refused by name, and
so is one that it cannot do without. Addresses may be secrets (a chat's incoming webhook is one) and are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from fluxtrail.model.environments import Environment, Grouping
from fluxtrail.model.errors import WireError
from fluxtrail.model.repository import parse_repository
from fluxtrail.model.verdict import Verdict
from fluxtrail.reports.routes import DEFAULT_CONTEXT, Commits, Route, RouteKind, Until
from fluxtrail.runtime.settings.templates import check_lasting, check_template
from fluxtrail.runtime.settings.values import Names, Section

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAME_WANTED = "small letters, digits and '-', 63 at most, such as pull-requests"
CASE_BLIND_HOSTS = frozenset({"github.com", "dev.azure.com", "bitbucket.org"})
MOST_ROUTES = 100
MOST_ENVIRONMENTS = 200

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ /-]{0,61}[A-Za-z0-9])?")
_EVENT_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")  # GitHub: 100 characters at most
_CHANNEL = re.compile(r"#?[^\s#,<>]{1,80}")

_COMMON = frozenset({"name", "to", "repositories", "commits", "environments", "targets"})
_STANDING = _COMMON | {"until", "fail_after_seconds", "pending", "unaffected", "refresh_seconds", "url"}
_STATUS = _STANDING | {"context", "description"}
_DEPLOYMENT = _STANDING | {"description", "environment_url", "production", "transient"}
_CHAT = _STANDING | {"text", "verdicts", "address", "address_file"}
_EVENT = _COMMON | {"verdicts", "address", "address_file", "headers_file"}
_TAKES: dict[RouteKind, frozenset[str]] = {
    RouteKind.GITHUB_STATUS: _STATUS,
    RouteKind.GITHUB_DEPLOYMENT: _DEPLOYMENT,
    RouteKind.GITHUB_DISPATCH: _COMMON | {"until", "repository", "event_type", "deploy_branches"},
    RouteKind.GITLAB_STATUS: _STATUS,
    RouteKind.GITLAB_DEPLOYMENT: _DEPLOYMENT,
    RouteKind.AZURE_DEVOPS_STATUS: _STATUS,
    RouteKind.AZURE_DEVOPS_TASK: _COMMON
    | {"until", "fail_after_seconds", "repository", "token_file", "interval_seconds", "abandoned_hours"},
    RouteKind.GITEA_STATUS: _STATUS | {"api_url"},
    RouteKind.BITBUCKET_STATUS: _STATUS | {"api_url"},
    RouteKind.SLACK: _CHAT | {"channel", "token_file", "api_url"},
    RouteKind.TEAMS: _CHAT,
    RouteKind.WEBHOOK: _EVENT | {"secret_file"},
    RouteKind.CDEVENTS: _EVENT | {"secret_file"},
    RouteKind.SUBSCRIBER: _EVENT | {"source"},
}
"""What each kind of route may state."""
_NEEDS: dict[RouteKind, tuple[tuple[str, str], ...]] = {
    RouteKind.GITHUB_DISPATCH: (("repository", "github.com/acme/shop"),),
    RouteKind.AZURE_DEVOPS_TASK: (("repository", "dev.azure.com/acme/shop/manifests"),),
    RouteKind.GITEA_STATUS: (("repositories", "[codeberg.org/acme/*]"),),
    RouteKind.BITBUCKET_STATUS: (("repositories", "[bitbucket.org/acme/*]"),),
}
"""What a kind cannot do without, and an example of it. Who may have any host must say which."""
_ON_NAMED_HOSTS = (RouteKind.GITEA_STATUS, RouteKind.BITBUCKET_STATUS)
_ANY = re.compile(r"[*?\[]")
_ADDRESSED = (RouteKind.TEAMS, RouteKind.WEBHOOK, RouteKind.CDEVENTS, RouteKind.SUBSCRIBER)


class EnvironmentSetting(Section):
    """Which clusters and targets are one environment; the first that fits has a target."""

    name: str
    clusters: Names = ("*",)
    targets: Names = ("*",)
    """`<Kind>/<namespace>/<name>`."""

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _ENVIRONMENT_NAME.fullmatch(value):
            raise ValueError("must be letters, digits and '.', '_', '-', '/' or spaces within, 63 at most")
        return value

    @field_validator("clusters", "targets")
    @classmethod
    def _has_some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("is empty, and would fit nothing; leave it out for all, or write patterns such as prod-*")
        return value


class RouteSetting(Section):
    """One route: `to` says which kind, and so which of the other fields it may have."""

    name: str
    to: RouteKind
    repositories: Names = ()
    """Of commits, by their canonical names: `github.com/acme/*`."""
    commits: Commits = Commits.ALL
    environments: Names = ()
    targets: Names = ()
    verdicts: tuple[Verdict, ...] = ()
    until: Until = Until.DEPLOYED
    fail_after_seconds: float = Field(default=0.0, ge=0, le=86_400)
    pending: bool = True
    unaffected: bool = False
    refresh_seconds: float = Field(default=300.0, ge=10, le=86_400)
    context: str | None = None
    description: str | None = None
    url: str | None = None
    text: str | None = None
    environment_url: str | None = None
    address: SecretStr | None = None
    address_file: Path | None = None
    secret_file: Path | None = None
    headers_file: Path | None = None
    token_file: Path | None = None
    channel: str | None = None
    repository: str | None = None
    """Canonical: who gets a dispatch; where pull requests with tasks are."""
    event_type: str = "sync-success"
    deploy_branches: bool = False
    """Only of commits whose message names a branch `deploy/<run id>/<image tag>/<branch>`."""
    api_url: str | None = None
    production: Names = ()
    """Patterns of the environments that are production."""
    transient: Names = ()
    """Patterns of the environments that come and go."""
    source: Literal["state", "phases"] = "state"
    interval_seconds: float = Field(default=30.0, ge=5, le=86_400)
    abandoned_hours: float = Field(default=72.0, gt=0, le=8_760)

    @model_validator(mode="before")
    @classmethod
    def _fits_its_kind(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        kinds = ", ".join(kind.value for kind in RouteKind)
        for field, wanted in (("name", f"a name of {NAME_WANTED}"), ("to", f"one of {kinds}")):
            if value.get(field) in (None, ""):
                raise ValueError(f"{field} is missing; give the route {wanted}")
        if value["to"] not in RouteKind.__members__.values():
            return value  # its own field says so
        kind = RouteKind(value["to"])
        stray = sorted(str(field) for field in set(value) - _TAKES[kind])
        if stray:
            raise ValueError(
                f"{stray[0][:80]!r} is nothing that a route to {kind.value} has; it may have "
                f"{', '.join(sorted(_TAKES[kind]))}"
            )
        for field, example in _NEEDS.get(kind, ()):
            if not value.get(field):
                raise ValueError(f"{field} is missing; a route to {kind.value} needs it, such as {field}: {example}")
        _check_addresses(kind, value)
        return value

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"must be {NAME_WANTED}")
        return value

    @field_validator("repositories")
    @classmethod
    def _are_canonical(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(canonical_pattern(text) for text in value))

    @field_validator("context", "description", "environment_url")
    @classmethod
    def _is_template(cls, value: str | None) -> str | None:
        return check_template(value, is_of_all=False) if value is not None else None

    @field_validator("url", "text")
    @classmethod
    def _is_template_of_its_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("to")
        return check_template(value, is_of_all=bool(kind and kind.is_per_commit)) if value is not None else None

    @property
    def templates(self) -> dict[str, str]:
        """The texts that are stated, by name."""
        stated = {name: getattr(self, name) for name in ("context", "description", "url", "text", "environment_url")}
        return {name: text for name, text in stated.items() if text is not None}

    @field_validator("context")
    @classmethod
    def _says_something(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("is empty; leave it out for the default, or write one such as deploy/{{ environment }}")
        return check_lasting(value) if value is not None else None

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_url(value.get_secret_value())
        return value

    @field_validator("api_url")
    @classmethod
    def _is_api(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value)
        return value.rstrip("/") if value else None

    @field_validator("repository")
    @classmethod
    def _is_repository(cls, value: str | None) -> str | None:
        if value is None:
            return None
        return canonical_repository(value)

    @field_validator("event_type")
    @classmethod
    def _is_event_type(cls, value: str) -> str:
        if not _EVENT_TYPE.fullmatch(value):
            raise ValueError("must be letters, digits and '.', '_', '/' or '-', 100 at most, such as sync-success")
        return value

    @field_validator("channel")
    @classmethod
    def _is_channel(cls, value: str | None) -> str | None:
        if value is not None and not _CHANNEL.fullmatch(value):
            raise ValueError("is no channel; write its name or id, such as '#deploys' (quoted) or C0123456789")
        return value

    @field_validator("production", "transient", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        return ("*",) if value is True else () if value is False else value

    @model_validator(mode="after")
    def _names_its_hosts(self) -> RouteSetting:
        if self.to not in _ON_NAMED_HOSTS:
            return self
        odd = next((text for text in self.repositories if _ANY.search(text.partition("/")[0])), None)
        if odd is not None:
            raise ValueError(
                f"repositories has {odd[:80]!r}, which names no host, and none is asked on a guess; write it out, such "
                "as codeberg.org/acme/*"
            )
        if self.api_url and len(self.hosts) > 1:
            raise ValueError(
                f"api_url is that of one host, and repositories names {', '.join(sorted(self.hosts))[:200]}; make a "
                "route for each"
            )
        return self

    @property
    def context_or_default(self) -> str:
        return self.context or DEFAULT_CONTEXT

    def overwrites(self, other: RouteSetting) -> bool:
        """Whether another route writes statuses of the same name, surely or by the look of its patterns on the same
        commits and environments.
        """
        return (
            (self.to, self.context_or_default) == (other.to, other.context_or_default)
            and (Commits.ALL in (self.commits, other.commits) or self.commits is other.commits)
            and _may_meet(self.repositories, other.repositories)
            and _may_meet(self.environments, other.environments)
        )

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that its repositories are on, as the patterns have them."""
        return frozenset(text.partition("/")[0] for text in self.repositories)

    def to_route(self) -> Route:
        """Return its rules, as the reports side has them."""
        return Route(
            name=self.name,
            kind=self.to,
            repositories=self.repositories,
            commits=self.commits,
            environments=self.environments,
            targets=self.targets,
            verdicts=frozenset(self.verdicts),
            until=self.until,
            fail_after=timedelta(seconds=self.fail_after_seconds),
            says_pending=self.pending,
            # A pipeline waits for an answer also where nothing had to be done.
            says_unaffected=self.unaffected or self.to is RouteKind.AZURE_DEVOPS_TASK,
            refresh=timedelta(seconds=self.refresh_seconds),
        )


class BudgetsSetting(Section):
    """How many writes a system gets at most: below its own limits, so that others have some too.

    GitHub's are for each installation (host and owner), the others' for each host. Source of GitHub's limits: 80 a
    minute and 500 an hour of content-creating requests, docs.github.com, rate limits for the REST API.
    """

    github_per_minute: int = Field(default=75, ge=1, le=80)
    github_per_hour: int = Field(default=450, ge=1, le=500)
    gitlab_per_minute: int = Field(default=300, ge=1, le=10_000)
    azure_devops_per_minute: int = Field(default=60, ge=1, le=10_000)
    gitea_per_minute: int = Field(default=120, ge=1, le=10_000)
    bitbucket_per_hour: int = Field(default=900, ge=1, le=100_000)
    slack_per_minute: int = Field(default=50, ge=1, le=10_000)
    teams_per_minute: int = Field(default=60, ge=1, le=10_000)


def check_environments(value: tuple[EnvironmentSetting, ...]) -> tuple[EnvironmentSetting, ...]:
    """Raise ValueError where a name is there twice, or there are too many."""
    _check_names([item.name for item in value], most=MOST_ENVIRONMENTS)
    return value


def check_routes(value: tuple[RouteSetting, ...]) -> tuple[RouteSetting, ...]:
    """Raise ValueError where a name is there twice, or there are too many."""
    _check_names([item.name for item in value], most=MOST_ROUTES)
    statuses = [item for item in value if "context" in _TAKES[item.to]]
    for one, other in combinations(statuses, 2):
        if one.overwrites(other):
            raise ValueError(
                f"{one.name!r} and {other.name!r} would overwrite each other's statuses: both write "
                f"{one.context_or_default!r}; give one another context, such as {other.name}/{{{{ environment }}}}"
            )
    return value


def grouping_of(settings: Sequence[EnvironmentSetting]) -> Grouping:
    """Return the environments, as the model has them."""
    found = (Environment(name=item.name, clusters=item.clusters, targets=item.targets) for item in settings)
    return Grouping(environments=tuple(found))


def canonical_repository(text: str) -> str:
    """Return the canonical name of a repository, given as one or as a URL.

    Raises:
        ValueError: it is neither; the text is not repeated.
    """
    written = text.strip().replace(" ", "%20")  # projects of Azure DevOps may have spaces
    try:
        return parse_repository(written if "://" in written or "@" in written else f"https://{written}").canonical
    except WireError as exc:
        raise ValueError("is no repository; write host/owner/name, such as github.com/acme/shop") from exc


def check_url(text: str) -> None:
    """Raise ValueError where `text` is no http(s) URL. It may hold a secret and is not repeated."""
    try:
        parts = urlsplit(text)
        is_url = parts.scheme in ("https", "http") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or any(ord(char) <= 0x20 for char in text):
        raise ValueError("is no URL; write https://host/path, without spaces and line ends")


def canonical_pattern(text: str) -> str:
    """Return a pattern as canonical names are written: some forges do not tell letter cases apart."""
    if "://" in text or "@" in text or text.startswith("/") or not text.isprintable():
        raise ValueError(f"{text[:80]!r} is no pattern; write host/owner/name, with * for any part: github.com/acme/*")
    host, slash, path = text.strip("/").removesuffix(".git").partition("/")
    return f"{host.lower()}{slash}{path.lower() if host.lower() in CASE_BLIND_HOSTS else path}"


def _may_meet(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether patterns have something in common, as far as one of them admits another; none admits everything."""
    pairs = [(one, other) for one in some for other in others]
    return not pairs or any(fnmatchcase(one, other) or fnmatchcase(other, one) for one, other in pairs)


def _check_names(names: Sequence[str], *, most: int) -> None:
    if len(names) > most:
        raise ValueError(f"has {len(names)} entries, more than {most}; write patterns instead of single names")
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice; give each its own name")


def _check_addresses(kind: RouteKind, value: Mapping[Any, Any]) -> None:
    """Raise ValueError where a route has no receiver, or two."""
    has_address, has_file = (bool(value.get(field)) for field in ("address", "address_file"))
    if has_address and has_file:
        raise ValueError("address and address_file are both there; leave one out")
    is_addressed = has_address or has_file
    if kind in _ADDRESSED and not is_addressed:
        raise ValueError(
            f"address is missing; a route to {kind.value} needs an address, or an address_file that holds it"
        )
    if kind is not RouteKind.SLACK:
        return
    if is_addressed and (value.get("channel") or value.get("token_file")):
        raise ValueError("an incoming webhook has its channel already; leave out address, or channel and token_file")
    if is_addressed:
        return
    for field, example in (("channel", "'#deploys'"), ("token_file", "/etc/fluxtrail/slack-token")):
        if not value.get(field):
            raise ValueError(
                f"{field} is missing; a route to slack needs channel and token_file (a bot's token: its message is "
                f"changed in place), such as {field}: {example}; or the address of an incoming webhook"
            )
