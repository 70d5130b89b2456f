"""Whether the credentials that Flux's own objects name may be used; those of our own are `credentials`."""

from __future__ import annotations

import re

from pydantic import field_validator, model_validator

from fluxtrail.runtime.settings.values import Names, Section

FOLLOWED = ("generic", "github", "azure", "aws")
"""What `spec.provider` of a GitRepository can be."""
_SECRET = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class CredentialsFromFluxSetting(Section):
    providers: Names = ()
    """Which `spec.provider` of watched GitRepositories are followed."""
    secrets: Names = ()
    """`namespace/name` of the Secrets that may be read where a GitRepository names them."""

    @field_validator("providers")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if stray := [name for name in value if name not in FOLLOWED]:
            raise ValueError(f"{stray[0][:40]!r} is none of {', '.join(FOLLOWED)}")
        return tuple(dict.fromkeys(value))

    @field_validator("secrets")
    @classmethod
    def _are_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if stray := [text for text in value if not _SECRET.fullmatch(text)]:
            raise ValueError(f"{stray[0][:80]!r} is not namespace/name, such as flux-system/github-app")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _need_each_other(self) -> CredentialsFromFluxSetting:
        of_secrets = [name for name in self.providers if name in ("generic", "github")]
        if of_secrets and not self.secrets:
            raise ValueError(f"{of_secrets[0]} takes its credential of a Secret: state which in `secrets`")
        if self.secrets and not of_secrets:
            raise ValueError("`secrets` are for the providers generic and github: state one in `providers`")
        return self
