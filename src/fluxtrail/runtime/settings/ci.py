"""The section `ci`: whose pipelines are asked about, and what they are for."""

from __future__ import annotations

from pydantic import Field, field_validator

from fluxtrail.runtime.settings.values import Names, Section

PATTERN_LIMIT = 200


class CiRepositorySetting(Section):
    """How the pipelines of some repositories are understood; the first that is about a repository counts."""

    repository: str = "*"
    """A pattern of canonical names: `github.com/acme/*`."""
    builds: Names = ()
    """Names of the pipelines that build, with `*`; where any is stated, no other does."""
    exports: Names = ()
    """Names of the pipelines that write the manifests repository."""
    ignore: Names = ()
    azure_pipelines: str = ""
    """The project of Azure DevOps whose pipelines build it, where it is a repository of another forge:
    `dev.azure.com/organisation/project`.
    """
    enabled: bool = True

    @field_validator("repository")
    @classmethod
    def _is_name(cls, value: str) -> str:
        name = value.strip().lower().removesuffix(".git")
        if "://" in name or "@" in name or not name or len(name) > PATTERN_LIMIT:
            raise ValueError("is no repository; write host/owner/name without scheme, with * for any part")
        return name

    @field_validator("azure_pipelines")
    @classmethod
    def _is_project(cls, value: str) -> str:
        name = value.strip().strip("/")
        host, _, path = name.partition("/")
        if name and ("://" in name or "@" in name or "/" not in path or "_git" in path or len(name) > PATTERN_LIMIT):
            raise ValueError("is no project; write host/organisation/project, such as dev.azure.com/acme/store")
        return f"{host.lower()}/{path}" if name else ""


class CiSetting(Section):
    enabled: bool = True
    """Ask the forges that are asked for pull requests about CI runs too."""
    repositories: tuple[CiRepositorySetting, ...] = ()
    poll_seconds: float = Field(default=30.0, ge=5)
    """Between two looks while something is under way; a tenth as often otherwise."""
    horizon_hours: float = Field(default=24.0, gt=0, le=168)
    """Commits and runs that are older are left as they are."""
    requests_per_hour: int = Field(default=2_000, ge=60)
    """To all forges together."""
