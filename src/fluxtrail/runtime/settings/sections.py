"""The sections that belong to no other subject: forges, repositories, ledger, git, listeners, lease, telemetry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from fluxtrail.ledger.place import is_postgres
from fluxtrail.runtime.settings.routes import NAME, NAME_WANTED, canonical_pattern, check_url
from fluxtrail.runtime.settings.values import Names, Section
from fluxtrail.web.access.principals import Role

MOST_TOKENS = 100

ForgeKind = Literal["github", "gitlab", "azure_devops"]


class ForgeSetting(Section):
    """Where pull requests of a repository are looked up, when its URL does not tell."""

    kind: ForgeKind = "github"
    host: str | None = None
    """One of `forges`, or a public one; by default the first of its kind."""
    owner: str
    """On GitLab the whole group, on Azure DevOps `organisation/project`."""
    repo: str


class ForgeHostSetting(Section):
    """A forge of one's own: which software serves a host, and where its API is."""

    host: str
    """Of its repositories; with a port where that is not the usual one."""
    kind: ForgeKind
    api_url: str | None = None
    token_file: Path | None = None

    @field_validator("host")
    @classmethod
    def _is_bare(cls, value: str) -> str:
        host = value.strip().lower()
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?(?::[0-9]{1,5})?", host):
            raise ValueError("must be a bare host name such as gitlab.example.com, or name:port")
        return host


class RepositorySetting(Section):
    url: str
    branch: str | None = None
    exports_to: tuple[str, ...] = ()
    """URLs of the manifests repositories that this one is exported into."""
    forge: ForgeSetting | None = None


class LedgerSetting(Section):
    path: Path | SecretStr = Path("fluxtrail.sqlite")
    """A file, or the address of a PostgreSQL database, which may hold its password."""
    synchronous: Literal["normal", "full"] = "normal"

    @field_validator("path", mode="before")
    @classmethod
    def _file_or_address(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if is_postgres(value):
            return SecretStr(value)
        value = value.removeprefix("sqlite:///")
        if "://" in value:
            raise ValueError("must be a file, or postgresql://user:password@host/database")
        return Path(value)

    @property
    def where(self) -> Path | str:
        """What the ledger is opened by; never to be logged."""
        return self.path if isinstance(self.path, Path) else self.path.get_secret_value()

    @property
    def folder(self) -> Path:
        """Where its file lies, and other things may beside it; the working directory where it has none."""
        return self.path.absolute().parent if isinstance(self.path, Path) else Path.cwd()


class GitSetting(Section):
    directory: Path | None = None
    """Clones; next to the ledger by default."""
    poll_seconds: float = Field(default=60.0, ge=0.1, le=86_400)
    quota_bytes: int = Field(default=20 * 1024**3, ge=1024**2)
    allow_file_protocol: bool = False


class GitHubSetting(Section):
    base_url: str = "https://api.github.com"


class TokenSetting(Section):
    """Who may ask: whoever holds what is in the file."""

    name: str
    """What audit lines call them."""
    role: Role = Role.VIEWER
    token_file: Path
    """One token in each line: two while it is rotated."""
    repositories: Names = ()
    """Canonical patterns: what a pipeline may speak of."""

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

    @model_validator(mode="after")
    def _has_what_its_role_needs(self) -> TokenSetting:
        if self.role is Role.CI and not self.repositories:
            raise ValueError(
                f"{self.name} has the role ci and no repositories; name those whose runs it states, such as "
                "[github.com/acme/*]"
            )
        if self.role is not Role.CI and self.repositories:
            raise ValueError(
                f"{self.name} has the role {self.role.value}, which sees all repositories; take repositories out, or "
                "make it a token with the role ci"
            )
        return self


class ApiSetting(Section):
    listen: str = "127.0.0.1:8080"
    token_file: Path | None = None
    tokens: tuple[TokenSetting, ...] = ()
    """Beside that one, which is an operator called `token`."""
    allowed_hosts: Names = ()
    feed_clients: int = Field(default=100, ge=0, le=10_000)
    requests_per_minute: int = Field(default=3000, ge=0, le=1_000_000)
    """How many may listen to the live feed at once."""

    @field_validator("tokens")
    @classmethod
    def _are_different(cls, value: tuple[TokenSetting, ...]) -> tuple[TokenSetting, ...]:
        if len(value) > MOST_TOKENS:
            raise ValueError(f"has {len(value)} entries, more than {MOST_TOKENS}; let some share a token")
        names = ["token", *(item.name for item in value)]
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is there twice (api.token_file's is called token); give each its own name")
        return value


class MetricsSetting(Section):
    listen: str = ":8888"


class HealthSetting(Section):
    listen: str = ":9440"


class LeaseSetting(Section):
    """A Kubernetes Lease against a second writer; for processes in a cluster."""

    enabled: bool = False
    name: str = Field(default="fluxtrail", max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
    namespace: str | None = Field(default=None, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    """The pod's own by default, else the context's."""


class ConnectorSetting(Section):
    """What is left of gitops-connector where its variables are set."""

    subscribers: Path = Path("/subscribers")
    """The folder with a file for each subscriber."""
    app_url: str = ""
    """`callback_url` of what subscribers are told; GITOPS_APP_URL."""

    @field_validator("app_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value:
            check_url(value)
        return value


class TelemetrySetting(Section):
    mode: Literal["stdout-logs", "stdout-all", "stdout-logs+otlp", "stdout-all+otlp", "otlp"] = "stdout-logs"
    endpoint: str = "localhost:4317"
    insecure: bool = True
    own_logs: bool = False
    """The process's own log lines by OTLP too."""
