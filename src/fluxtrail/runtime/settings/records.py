"""The section `deployment_records`: what is told to GitHub, under which names, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from fluxtrail.model.deployment import DEFAULT_TEMPLATE, MAX_ENVIRONMENT_LENGTH, PLACEHOLDERS, Destination, is_template
from fluxtrail.model.errors import ConfigError
from fluxtrail.remotes.github.artifact_address import (
    DEFAULT_BASE_URL,
    cluster_segment,
    parse_base_url,
    parse_organization,
)
from fluxtrail.remotes.github.artifact_errors import UnsendableError
from fluxtrail.runtime.settings.values import Namespaces, Section

SECTION = "setting deployment_records"
MAX_WORKERS = 100
UNNAMED = "in-cluster"
"""What the pod's own cluster is called where nobody gave it a name: too many have it to tell GitHub."""

_Environment = Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_ENVIRONMENT_LENGTH)]


class EnvironmentSetting(Section):
    """One cluster's own values. What is not stated is the section's."""

    logical_environment: _Environment | None = None
    physical_environment: _Environment | None = None
    cluster: _Environment | None = None


class DeploymentRecordsSetting(Section):
    enabled: bool = False
    organization: str = ""
    logical_environment: _Environment = ""
    physical_environment: _Environment = ""
    cluster: _Environment = ""
    """By default the cluster's name, as answers and labels have it."""
    environments: dict[str, EnvironmentSetting] = Field(default_factory=dict)
    """By the cluster's name."""
    base_url: str = DEFAULT_BASE_URL
    name_template: str = DEFAULT_TEMPLATE
    bulk: bool = True
    workers: int = 2
    namespaces: Namespaces = ()
    exclude_namespaces: Namespaces = ()
    decommission_at_zero: bool = False
    metrics_port: str = ""
    dry_run: bool = False
    requests_per_hour: int = Field(default=4_000, ge=1, le=1_000_000)
    token_file: Path | None = None

    @property
    def api_url(self) -> str:
        """`base_url` with a scheme, and without a slash at its end. Raises ConfigError."""
        return parse_base_url(self.base_url, subject=f"{SECTION}.base_url (BASE_URL)")

    @field_validator("name_template")
    @classmethod
    def _has_placeholder(cls, value: str) -> str:
        if not is_template(value):
            raise ValueError(f"Template must contain at least one placeholder of {', '.join(PLACEHOLDERS)}")
        return value

    @field_validator("workers")
    @classmethod
    def _is_worker_count(cls, value: int) -> int:
        if not 1 <= value <= MAX_WORKERS:
            raise ValueError(f"Invalid worker count, must be between 1 and {MAX_WORKERS}")
        return value

    @field_validator("metrics_port")
    @classmethod
    def _is_port(cls, value: str) -> str:
        if value and not (value.isascii() and value.isdigit() and int(value) <= 65535):
            raise ValueError("must be a port such as 9090; empty for none")
        return value

    @model_validator(mode="after")
    def _narrows_once(self) -> DeploymentRecordsSetting:
        if self.namespaces and self.exclude_namespaces:
            raise ValueError(
                "Cannot set both -namespace and -exclude-namespaces "
                "(deployment_records.namespaces and deployment_records.exclude_namespaces); leave one out"
            )
        return self


def check_records(setting: DeploymentRecordsSetting) -> None:
    """Check what is needed before anything can be told; nothing is, where it is not enabled.

    Raises:
        ConfigError: naming the setting, the replaced variable and the remedy.
    """
    if not setting.enabled:
        return
    if not setting.logical_environment and not setting.environments:
        raise _missing("Logical environment is required", "logical_environment", "LOGICAL_ENVIRONMENT")
    if not setting.organization:
        raise _missing("Organization is required", "organization", "GITHUB_ORG")
    parse_organization(setting.organization, subject=f"{SECTION}.organization (GITHUB_ORG, ORG)")
    _ = setting.api_url


def destinations(setting: DeploymentRecordsSetting, clusters: Sequence[str]) -> dict[str, Destination]:
    """Return under what GitHub keeps the records of each cluster, by the cluster's name.

    Raises:
        ConfigError: a cluster has no name or no logical environment, two would overwrite each other's records, or
            `environments` names a cluster that is not followed.
    """
    check_records(setting)
    stray = sorted(set(setting.environments) - set(clusters))
    if stray:
        raise ConfigError(
            f"no followed cluster is named {stray[0][:80]!r}; there is {', '.join(map(repr, clusters))} "
            "(cluster_names gives a cluster its name)",
            subject=f"{SECTION}.environments",
        )
    found = {name: _destination(setting, name) for name in clusters}
    kept: dict[str, str] = {}
    for name, destination in found.items():
        other = kept.setdefault(destination.text, name)
        if other != name:
            raise ConfigError(
                f"the clusters {other!r} and {name!r} would overwrite each other's records; give each its own "
                f"cluster in {SECTION.removeprefix('setting ')}.environments",
                subject=f"{SECTION}.cluster (CLUSTER)",
            )
    return found


def _destination(setting: DeploymentRecordsSetting, name: str) -> Destination:
    own = setting.environments.get(name, EnvironmentSetting())
    logical = setting.logical_environment if own.logical_environment is None else own.logical_environment
    physical = setting.physical_environment if own.physical_environment is None else own.physical_environment
    cluster = own.cluster or setting.cluster or ("" if name == UNNAMED else name)
    if not logical:
        raise _missing("Logical environment is required", f"environments.{name}.logical_environment", "")
    if not cluster:
        raise _missing("Cluster is required", "cluster", "CLUSTER")
    try:
        cluster_segment(cluster)
    except UnsendableError as exc:
        raise ConfigError(exc.message, subject=f"{SECTION}.cluster (CLUSTER)") from exc
    return Destination(
        organization=setting.organization,
        logical_environment=logical,
        physical_environment=physical,
        cluster=cluster,
    )


def _missing(text: str, field: str, variable: str) -> ConfigError:
    hint = f"set it, or {variable} in the environment" if variable else "set it"
    return ConfigError(f"{text}: {hint}", subject=f"{SECTION}.{field}")
