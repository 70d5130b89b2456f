"""The sections that belong to no other subject: forges, repositories, ledger, git, listeners, lease, telemetry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, field_validator

from fluxtrail.ledger.place import is_postgres
from fluxtrail.runtime.settings.routes import check_url
from fluxtrail.runtime.settings.values import Names, Section

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


class ApiSetting(Section):
    listen: str = "127.0.0.1:8080"
    token_file: Path | None = None
    allowed_hosts: Names = ()
    feed_clients: int = Field(default=100, ge=0, le=10_000)
    """How many may listen to the live feed at once."""


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
