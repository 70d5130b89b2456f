"""Settings: one YAML file < environment < flags, and the environment names of the tools that are replaced.

Every field can be set as `FLUXTRAIL_<FIELD>`, a nested one as `FLUXTRAIL_<FIELD>__<NAME>`. The table of all of them,
and of which name wins where two tools used the same, is docs/settings.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.notices import Hook
from fluxtrail.model.redaction import redact
from fluxtrail.runtime.settings.ci import CiSetting
from fluxtrail.runtime.settings.connector import SWITCH, Connector, read_connector
from fluxtrail.runtime.settings.credentials import CredentialsFromFluxSetting
from fluxtrail.runtime.settings.doctor import DoctorSetting
from fluxtrail.runtime.settings.hooks import HooksSetting
from fluxtrail.runtime.settings.records import DeploymentRecordsSetting, check_records
from fluxtrail.runtime.settings.resources import ResourcesSetting
from fluxtrail.runtime.settings.routes import (
    BudgetsSetting,
    EnvironmentSetting,
    RouteSetting,
    check_environments,
    check_routes,
    check_url,
)
from fluxtrail.runtime.settings.running import ImagesSetting, WorkloadsSetting
from fluxtrail.runtime.settings.sections import (
    ApiSetting,
    ConnectorSetting,
    ForgeHostSetting,
    GitHubSetting,
    GitSetting,
    HealthSetting,
    LeaseSetting,
    LedgerSetting,
    MetricsSetting,
    RepositorySetting,
    TelemetrySetting,
)
from fluxtrail.runtime.settings.spektate import SpektateSetting
from fluxtrail.runtime.settings.tracker import TRACKER_NAMES, read_tracker
from fluxtrail.runtime.settings.values import Names

S = TypeVar("S", bound=BaseSettings)

REPLACED_NAMES = {
    "KUBE_CONTEXT": "kube_contexts",
    "METRICS_ADDR": "metrics.listen",
    "HEALTH_ADDR": "health.listen",
    "TELEMETRY_MODE": "telemetry.mode",
    "TELEMETRY_ENDPOINT": "telemetry.endpoint",
    "TELEMETRY_INSECURE": "telemetry.insecure",
    "LOG_LEVEL": "log_level",
    "RUNTIME_NAMESPACE": "runtime_namespace",
}
"""flux-commit-tracker's variables and the setting each one is. They lose to `FLUXTRAIL_…` and to flags."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="FLUXTRAIL_", env_nested_delimiter="__", extra="ignore", frozen=True, env_ignore_empty=True
    )

    kubeconfig: str | None = None
    """Path, or several with `:`; else KUBECONFIG, else ~/.kube/config."""
    kube_contexts: Names = ()
    """The clusters to follow, one context each; none means the pod's own cluster, else the current context."""
    cluster_names: dict[str, str] = {}
    """What to call the cluster of a context."""
    watch: bool = True
    """Whether clusters are watched; else what hooks are told is all there is, and no kubeconfig is needed."""
    namespaces: Names = ()
    """Watch these only; all by default."""
    runtime_namespace: str | None = None
    repositories: tuple[RepositorySetting, ...] = ()
    forges: tuple[ForgeHostSetting, ...] = ()
    """Which hosts are GitHub Enterprise, GitLab or Azure DevOps, beside the public ones."""
    credentials: tuple[dict[str, Any], ...] = ()
    credentials_from_flux: CredentialsFromFluxSetting = CredentialsFromFluxSetting()
    allow: Names = ()
    ledger: LedgerSetting = LedgerSetting()
    git: GitSetting = GitSetting()
    github: GitHubSetting = GitHubSetting()
    api: ApiSetting = ApiSetting()
    metrics: MetricsSetting = MetricsSetting()
    health: HealthSetting = HealthSetting()
    lease: LeaseSetting = LeaseSetting()
    telemetry: TelemetrySetting = TelemetrySetting()
    deployment_records: DeploymentRecordsSetting = DeploymentRecordsSetting()
    workloads: WorkloadsSetting = WorkloadsSetting()
    images: ImagesSetting = ImagesSetting()
    resources: ResourcesSetting = ResourcesSetting()
    ci: CiSetting = CiSetting()
    doctor: DoctorSetting = DoctorSetting()
    spektate: SpektateSetting = SpektateSetting()
    environments: tuple[EnvironmentSetting, ...] = ()
    """How clusters and targets are grouped where commits are spoken of; without any each cluster is one."""
    routes: tuple[RouteSetting, ...] = ()
    """Who is told of commits."""
    hooks: HooksSetting = HooksSetting()
    budgets: BudgetsSetting = BudgetsSetting()
    public_url: str = ""
    """Where people reach our pages: links begin with it."""
    gitops_connector: ConnectorSetting = ConnectorSetting()
    log_level: str = "INFO"
    settle_seconds: float = Field(default=1_800.0, ge=0)
    retention_days: float = Field(default=365.0, gt=0)

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        level = value.upper()
        level = {"WARN": "WARNING", "TRACE": "DEBUG"}.get(level, level)
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be one of TRACE, DEBUG, INFO, WARN, ERROR")
        return level

    @field_validator("environments")
    @classmethod
    def _have_environments_names(cls, value: tuple[EnvironmentSetting, ...]) -> tuple[EnvironmentSetting, ...]:
        return check_environments(value)

    @field_validator("routes")
    @classmethod
    def _have_routes_names(cls, value: tuple[RouteSetting, ...]) -> tuple[RouteSetting, ...]:
        return check_routes(value)

    @field_validator("public_url")
    @classmethod
    def _is_page(cls, value: str) -> str:
        if value:
            check_url(value)
        if "?" in value or "#" in value or "@" in value:
            raise ValueError("is no address of a page; write https://host or https://host/path, and nothing behind it")
        return value.rstrip("/")

    @property
    def contexts(self) -> tuple[str | None, ...]:
        """The contexts to watch; None is the pod's own cluster, or the current context."""
        if not self.watch:
            return ()
        return tuple(dict.fromkeys(self.kube_contexts)) or (None,)


def load_settings(*, path: Path | None, flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of a run.

    Args:
        flags: dotted names (`metrics.listen`) and values; None is "not given".

    Raises:
        ConfigError: naming the field, its value and what is expected.
    """
    environ = os.environ if environ is None else environ
    below = _read_file(path) if path else {}
    for name, field in REPLACED_NAMES.items():
        if value := environ.get(name):
            # The replaced tool knew one context only, whatever is in its name.
            _set(below, field, (value,) if field == "kube_contexts" else value)
    above: dict[str, Any] = {}
    for field, value in flags.items():
        if value not in (None, ()):
            _set(above, field, value)
    unknown = set(below) - set(Settings.model_fields)
    if unknown:
        known = ", ".join(sorted(Settings.model_fields))
        raise ConfigError(f"there is no such setting; known are {known}", subject=f"{path}: {sorted(unknown)[0]}")
    try:
        if _over(_Switch, below)(**above).deployment_records.enabled:
            for field, value in read_tracker(environ).items():
                _set(below, field, value)
        settings = _over(Settings, below)(**above)
    except ValidationError as exc:
        raise _explain(exc) from exc
    except SettingsError as exc:
        raise ConfigError(f"{exc}; lists and mappings are written as JSON there", subject="environment") from exc
    check_records(settings.deployment_records)
    connector = read_connector(
        environ,
        subscribers=settings.gitops_connector.subscribers,
        has_phases=any(not sender.hooks or Hook.GITOPSPHASE in sender.hooks for sender in settings.hooks.senders),
        covered_hosts=[str(entry.get("host", "")).lower() for entry in settings.credentials],
    )
    settings = _add_connector(settings, connector) if connector is not None else settings
    _check_watch(settings)
    return settings


def _check_watch(settings: Settings) -> None:
    """Raises ConfigError: no cluster is watched, and nothing else could tell anything, or something needs one."""
    if settings.watch:
        return
    if not settings.hooks.listen:
        raise ConfigError(
            "no cluster is watched, and no hook is taken: nobody would tell anything; state hooks.listen, or leave "
            "watch out",
            subject="setting watch",
        )
    if settings.deployment_records.enabled:
        raise ConfigError(
            "deployment records are of what runs in watched clusters; switch one of the two", subject="setting watch"
        )


def _add_connector(settings: Settings, connector: Connector) -> Settings:
    """Return the settings with what gitops-connector's variables come to; what is stated stays, and wins.

    Raises:
        ConfigError: both would write the same statuses.
    """
    own = {route.name for route in settings.routes}
    hosts = {forge.host for forge in settings.forges}
    forges = [ForgeHostSetting.model_validate(forge) for forge in connector.forges if forge["host"] not in hosts]
    update: dict[str, Any] = {
        "routes": (*settings.routes, *(route for route in connector.routes if route.name not in own)),
        "credentials": (*settings.credentials, *connector.credentials),
        "forges": (*settings.forges, *forges),
    }
    _check_together(update["routes"])
    if not settings.gitops_connector.app_url:
        update["gitops_connector"] = settings.gitops_connector.model_copy(update={"app_url": connector.app_url})
    if "listen" not in settings.hooks.model_fields_set:
        update["hooks"] = settings.hooks.model_copy(update={"listen": connector.listen})
    return settings.model_copy(update=update)


def _check_together(routes: tuple[RouteSetting, ...]) -> None:
    """Raises ConfigError where a route that the variables make, and one that is stated, get into each other's way."""
    try:
        check_routes(routes)
    except ValueError as exc:
        raise ConfigError(
            f"{exc}; those that begin with 'gitops-connector' come of that tool's variables ({SWITCH} and "
            "those beside it): leave out one of the two, or give the stated one the other's name to take its place",
            subject="setting routes",
        ) from exc


class _Enabled(BaseModel):
    model_config = ConfigDict(extra="ignore")

    enabled: bool = False


class _Switch(BaseSettings):
    """Whether deployment records are enabled, before it is known what else is set: only then its names count."""

    model_config = Settings.model_config

    deployment_records: _Enabled = _Enabled()


def _over(base: type[S], below: dict[str, Any]) -> type[S]:
    """Return the settings as a class whose values stand over `below`: pydantic-settings takes its sources by class."""

    class Layered(base):  # type: ignore[valid-type,misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, below))

    return Layered


def _read_file(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", subject=str(path)) from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(f"is not YAML: {_where(exc)}", subject=str(path)) from exc
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"must hold a mapping of settings, not a {type(document).__name__}", subject=str(path))
    return {str(key): value for key, value in document.items()}


def _where(exc: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Return what is wrong and where. The line itself may hold a secret, so it is not quoted."""
    mark = getattr(exc, "problem_mark", None)
    problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "it cannot be read"
    return f"{problem}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(problem)


def _set(values: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, name = dotted.split(".")
    for parent in parents:
        inner = values.get(parent)
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    values[name] = value


def _explain(exc: ValidationError) -> ConfigError:
    """Turn the first problem into a sentence. Values of secrets are never repeated: only short scalars are."""
    problem = exc.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        # Its value is not shown: nobody knows what was meant, and it may be a secret.
        known = ", ".join(_siblings(problem["loc"]))
        return ConfigError(f"there is no such setting; known are {known}", subject=f"setting {field}")
    given = problem.get("input")
    is_secret = any(word in field for word in ("token", "password", "secret", "credentials", "address"))
    shown = (
        f" (given: {redact(str(given), limit_bytes=80)!r})"
        if isinstance(given, str | int | float) and not is_secret
        else ""
    )
    said = problem["msg"].removeprefix("Value error, ")
    return ConfigError(f"{said}{shown}", subject=f"setting {field}{_replaced(field)}")


def _replaced(field: str) -> str:
    """Return the other names of a setting, as a message has them: the value may have come by one of them."""
    names = [name for name, setting in {**REPLACED_NAMES, **TRACKER_NAMES}.items() if setting == field]
    return f" ({', '.join(names)})" if names else ""


def _siblings(place: tuple[int | str, ...]) -> list[str]:
    """Return the names that would be understood beside the last one of `place`."""
    model: type[BaseModel] = Settings
    for part in place[:-1]:
        if isinstance(part, str):
            model = _section_of(model.model_fields[part].annotation)
    return sorted(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    """Return the section that a field holds: itself, one or none, or several of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_section_of(inner) for inner in get_args(annotation) if inner is not type(None))
