"""gitops-connector's environment: its variables, its folder of subscribers, and the routes that they make here.

They only count where GITOPS_APP_URL is set. The two sides may be at different forges, each with a token of its own:

    status of the manifests repository   GIT_REPOSITORY_TYPE      route `gitops-connector`
    what goes on afterwards              CICD_ORCHESTRATOR_TYPE   `gitops-connector-dispatch` or `gitops-connector-task`
    everything, as JSON                  /subscribers/<name>      `gitops-connector-<name>`
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from pydantic import ValidationError

from fluxtrail.credentials.binding import AZURE_HOST, repository_host
from fluxtrail.model.errors import ConfigError, WireError
from fluxtrail.model.redaction import redact_url
from fluxtrail.model.repository import parse_repository
from fluxtrail.runtime.settings.routes import RouteSetting, check_url
from fluxtrail.runtime.settings.subscribers import read_folder
from fluxtrail.runtime.settings.templates import plain

log = structlog.get_logger(__name__)

SWITCH = "GITOPS_APP_URL"
CONNECTOR_NAMES = (
    SWITCH,
    "GITOPS_OPERATOR_TYPE",
    "GIT_REPOSITORY_TYPE",
    "CICD_ORCHESTRATOR_TYPE",
    "PAT",
    "AZDO_ORG_URL",
    "AZDO_GITOPS_REPO_NAME",
    "AZDO_PR_REPO_NAME",
    "GITHUB_ORG_URL",
    "GITHUB_GITOPS_MANIFEST_REPO_NAME",
    "GITHUB_GITOPS_REPO_NAME",
    "PREDICTIVE_UNIT_SERVICE_PORT",
)
"""gitops-connector's variables that are read. `WORKERS` and `THREADS` mean nothing here."""
OWN_TOKENS = {"GITHUB": "GITHUB_PAT", "AZDO": "AZDO_PAT"}
"""Ours: a token for one side alone; without it PAT is for both."""
DEFAULT_LISTEN = ":9292"

_NAME = "gitops-connector"
_FORGES = ("AZDO", "GITHUB")
_OPERATORS = ("FLUX", "ARGOCD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """What the variables come to; it is added to what the settings state."""

    routes: tuple[RouteSetting, ...] = ()
    credentials: tuple[dict[str, Any], ...] = ()
    forges: tuple[dict[str, str], ...] = ()
    """Entries of `forges`: hosts that are not the public ones."""
    listen: str = DEFAULT_LISTEN
    app_url: str = ""


@dataclass(frozen=True, slots=True)
class _Side:
    """One forge's organisation, as a variable names it."""

    kind: str
    """GITHUB or AZDO."""
    variable: str
    base: str
    """What a repository's name is put behind to have its URL."""
    host: str
    owner: str
    api_url: str

    def repository(self, environ: Mapping[str, str], variable: str) -> str:
        """Return the canonical name of the repository that a variable names."""
        name = _required(environ, variable)
        try:
            if "/" in name:
                raise WireError("it has a slash", subject=variable)
            return parse_repository(f"{self.base}{name}").canonical
        except WireError as exc:
            raise ConfigError(
                f"{name[:80]!r} is no name of a repository; write the bare name, such as manifests", subject=variable
            ) from exc

    @property
    def forge(self) -> dict[str, str] | None:
        """What `forges` says of it; None of the public ones."""
        if self.host in ("github.com", AZURE_HOST):
            return None
        kind = "github" if self.kind == "GITHUB" else "azure_devops"
        return {"host": self.host, "kind": kind, "api_url": self.api_url}


def read_connector(
    environ: Mapping[str, str],
    *,
    subscribers: Path,
    has_phases: bool,
    covered_hosts: Sequence[str] = (),
) -> Connector | None:
    """Return what gitops-connector's variables come to, or None where GITOPS_APP_URL is not set.

    Args:
        subscribers: the folder with a file for each subscriber: its name, and in its first line the URL.
        has_phases: whether some sender may post what subscribers are told step by step; else they are told verdicts.
        covered_hosts: hosts that `credentials` has an entry for: they need no PAT.

    Raises:
        ConfigError: a variable is missing, empty, or not one that is known; `subject` is the variable or the folder.
    """
    if SWITCH not in environ:
        return None
    page = _page(_required(environ, SWITCH))
    operator = _one_of(environ, "GITOPS_OPERATOR_TYPE", _OPERATORS)
    manifests = _side(environ, _one_of(environ, "GIT_REPOSITORY_TYPE", _FORGES))
    pipelines = _side(environ, _one_of(environ, "CICD_ORCHESTRATOR_TYPE", _FORGES))
    sides = list(dict.fromkeys((manifests, pipelines)))
    repository = manifests.repository(
        environ, "GITHUB_GITOPS_MANIFEST_REPO_NAME" if manifests.kind == "GITHUB" else "AZDO_GITOPS_REPO_NAME"
    )
    source = "phases" if has_phases or operator == "ARGOCD" else "state"
    wanted = [_status(manifests, repository, page), _continuation(environ, pipelines, repository)]
    wanted += _subscribers(subscribers, repository, source)
    return Connector(
        routes=tuple(_route(values) for values in wanted),
        credentials=tuple(found for side in sides if (found := _credential(environ, side, covered_hosts))),
        forges=tuple(side.forge for side in sides if side.forge is not None),
        listen=_listen(environ),
        app_url=page,
    )


def tell_of_connector(subscribers: Path, environ: Mapping[str, str]) -> None:
    """Log which files of the folder are no subscribers, once there is a log."""
    if SWITCH in environ:
        for file in read_folder(subscribers).left_out:
            log.warning("subscriber_left_out", file=f"{subscribers}/{file.name}", problem=file.problem)


def _status(side: _Side, repository: str, page: str) -> dict[str, Any]:
    to = "github_status" if side.kind == "GITHUB" else "azure_devops_status"
    return {"name": _NAME, "to": to, "repositories": [repository], "url": plain(page)}


def _continuation(environ: Mapping[str, str], side: _Side, repository: str) -> dict[str, Any]:
    """Return the route that lets pipelines go on: a dispatch on GitHub, a task on Azure DevOps."""
    if side.kind == "GITHUB":
        told = side.repository(environ, "GITHUB_GITOPS_REPO_NAME")
        found = {"name": f"{_NAME}-dispatch", "to": "github_dispatch", "repositories": [repository]}
        return found | {"repository": told, "deploy_branches": True}
    has_own = bool(environ.get("AZDO_PR_REPO_NAME", "").strip())
    told = side.repository(environ, "AZDO_PR_REPO_NAME" if has_own else "AZDO_GITOPS_REPO_NAME")
    return {"name": f"{_NAME}-task", "to": "azure_devops_task", "repositories": [repository], "repository": told}


def _subscribers(folder: Path, repository: str, source: str) -> list[dict[str, Any]]:
    names: list[str] = []
    found = []
    for subscriber in read_folder(folder).subscribers:
        names.append(_free_name(subscriber.name, names))
        values = {"name": names[-1], "to": "subscriber", "repositories": [repository], "source": source}
        found.append(values | {"address": subscriber.address})
    return found


def _free_name(file: str, taken: Sequence[str]) -> str:
    """Return a route's name made of a file's, another one than those that there are."""
    slug = re.sub(r"[^a-z0-9]+", "-", file.lower()).strip("-") or "subscriber"
    slug = {"dispatch": "dispatch-1", "task": "task-1"}.get(slug, slug)
    name, count = f"{_NAME}-{slug}"[:63], 1
    while name in taken:
        count += 1
        name = f"{f'{_NAME}-{slug}'[:59]}-{count}"
    return name


def _side(environ: Mapping[str, str], kind: str) -> _Side:
    return _github(environ) if kind == "GITHUB" else _azure(environ)


def _github(environ: Mapping[str, str]) -> _Side:
    variable = "GITHUB_ORG_URL"
    text = _required(environ, variable).rstrip("/")
    api_url, found, organization = text.rpartition("/repos/")
    try:
        check_url(text)
        if not found or not organization or "/" in organization:
            raise ValueError("no organisation")
        host = repository_host(api_url)
        owner = parse_repository(f"https://{host}/{organization}/any").owner
    except (ValueError, WireError, ConfigError) as exc:
        raise ConfigError(
            f"{redact_url(text)!r} is no organisation of a GitHub; write https://api.github.com/repos/<organisation>",
            subject=variable,
        ) from exc
    return _Side("GITHUB", variable, f"https://{host}/{organization}/", host, owner, api_url)


def _azure(environ: Mapping[str, str]) -> _Side:
    variable = "AZDO_ORG_URL"
    text = _required(environ, variable).rstrip("/")
    try:
        check_url(text)
        parts = urlsplit(text)
        parsed = parse_repository(f"{text}/_git/any")
        is_named_by_host = parsed.host.endswith(".visualstudio.com")
        if len(parts.path.strip("/").split("/")) < (1 if is_named_by_host else 2):
            raise ValueError("no project")
    except (ValueError, WireError) as exc:
        raise ConfigError(
            f"{redact_url(text)!r} is no project of an Azure DevOps; write "
            "https://dev.azure.com/<organisation>/<project>",
            subject=variable,
        ) from exc
    host = parsed.canonical.partition("/")[0]
    if host == AZURE_HOST:
        return _Side("AZDO", variable, f"{text}/_git/", host, parsed.owner, f"https://{AZURE_HOST}")
    above = parts.path.strip("/").split("/")[:-2]  # what a Server has before collection and project: `tfs`
    api_url = "/".join([f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", *above])
    port = f":{parts.port}" if parts.port else ""
    return _Side("AZDO", variable, f"{text}/_git/", f"{host}{port}", "", api_url)


def _credential(environ: Mapping[str, str], side: _Side, covered_hosts: Sequence[str]) -> dict[str, Any] | None:
    """Return the entry of `credentials` that a side's token makes; None where the settings have one for its host."""
    own = OWN_TOKENS[side.kind]
    token = environ.get(own, "").strip() or environ.get("PAT", "").strip()
    if token:
        return {"host": side.host, "token": token, **({"owner": side.owner} if side.owner else {})}
    if side.host in covered_hosts:
        return None
    raise ConfigError(
        f"is missing or empty: set it, or {own} for {side.host} alone, or add {side.host} to credentials", subject="PAT"
    )


def _listen(environ: Mapping[str, str]) -> str:
    variable = "PREDICTIVE_UNIT_SERVICE_PORT"
    port = environ.get(variable, "").strip()
    if not port:
        return DEFAULT_LISTEN
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= 65535):
        raise ConfigError(f"{port[:20]!r} is no port; write one such as 8080", subject=variable)
    return f":{port}"


def _page(text: str) -> str:
    try:
        check_url(text)
    except ValueError as exc:
        raise ConfigError(f"{redact_url(text)[:200]!r} {exc}", subject=SWITCH) from exc
    return text


def _one_of(environ: Mapping[str, str], variable: str, known: Sequence[str]) -> str:
    """Return what a variable chooses; the first of `known` where it is not set."""
    value = environ.get(variable)
    if value is None:
        return known[0]
    if value.strip() not in known:
        said = f"{value.strip()[:40]!r} is not known" if value.strip() else "is empty"
        raise ConfigError(f"{said}; write {' or '.join(known)}", subject=variable)
    return value.strip()


def _required(environ: Mapping[str, str], variable: str) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        said = "is empty" if variable in environ else "is missing"
        raise ConfigError(
            f"{said}: gitops-connector's variables count because {SWITCH} is set; set it, or unset {SWITCH}",
            subject=variable,
        )
    return value


def _route(values: Mapping[str, Any]) -> RouteSetting:
    try:
        return RouteSetting.model_validate(values)
    except ValidationError as exc:
        # `from None`: the exception quotes what was given, an address too.
        problem = exc.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(problem, subject=f"route {values['name']}") from None
