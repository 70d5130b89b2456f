"""The section `hooks`: who may tell us something, where, and how they show who they are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from fluxtrail.model.notices import Hook
from fluxtrail.runtime.settings.routes import NAME, NAME_WANTED, canonical_repository
from fluxtrail.runtime.settings.values import Section

SHORTEST_SECRET = 16
"""Characters of a secret that stands in the settings; what is in a file is checked when it is read."""
MOST_SENDERS = 200


class SenderSetting(Section):
    """Somebody with a secret: what is signed with it is theirs."""

    name: str
    secret: SecretStr | None = None
    secret_file: Path | None = None
    hooks: tuple[Hook, ...] = ()
    """Where it may post; everywhere by default."""
    cluster: str = ""
    """The one cluster that it speaks of; without one its notices are hints."""
    repository: str = ""
    """Canonical: whose commits it names, where its notices do not say."""
    path: str = ""
    """Of the manifests that it speaks of, in that repository."""

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"must be {NAME_WANTED}")
        return value

    @field_validator("secret")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"is shorter than {SHORTEST_SECRET} characters; make one with `openssl rand -hex 32`")
        return value

    @field_validator("repository")
    @classmethod
    def _is_repository(cls, value: str) -> str:
        return canonical_repository(value) if value else ""

    @field_validator("path")
    @classmethod
    def _is_path(cls, value: str) -> str:
        parts = value.strip("/").split("/")
        if ".." in parts or "\\" in value:
            raise ValueError("is no path below the repository; write one such as clusters/prod")
        return "/".join(part for part in parts if part not in ("", "."))

    @model_validator(mode="after")
    def _has_one_secret(self) -> SenderSetting:
        if (self.secret is None) == (self.secret_file is None):
            said = (
                "neither secret nor secret_file is there"
                if self.secret is None
                else "secret and secret_file are both there"
            )
            raise ValueError(f"{said}; a sender needs exactly one of them")
        return self


class AnonymousSetting(Section):
    """Whether one hook takes what nobody signed: hints only, and few of them."""

    anonymous: bool = False
    per_minute: int = Field(default=60, ge=1, le=100_000)


class HooksSetting(Section):
    listen: str = ""
    """Where hooks are taken, `:9292`; empty: nowhere."""
    senders: tuple[SenderSetting, ...] = ()
    gitopsphase: AnonymousSetting = AnonymousSetting()
    flux: AnonymousSetting = AnonymousSetting()

    @field_validator("senders")
    @classmethod
    def _are_different(cls, value: tuple[SenderSetting, ...]) -> tuple[SenderSetting, ...]:
        if len(value) > MOST_SENDERS:
            raise ValueError(f"has {len(value)} entries, more than {MOST_SENDERS}; let some share a secret")
        names = [sender.name for sender in value]
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is there twice; give each sender its own name")
        return value
