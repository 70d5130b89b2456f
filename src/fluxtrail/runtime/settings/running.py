"""The sections `workloads` and `images`: whose pods are watched, and which registries are asked about their images."""

from __future__ import annotations

import re

from pydantic import field_validator

from fluxtrail.runtime.settings.values import Names, Namespaces, Section

_BARE = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?::[0-9]{1,5})?")
_PATTERN = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9*](?:[a-z0-9*._-]*[a-z0-9*])?)(?::[0-9]{1,5})?(?:/[a-z0-9*._/-]+)?")


class WorkloadsSetting(Section):
    enabled: bool = True
    """Watch pods and what makes them: without it, nothing is known of `running`."""
    namespaces: Namespaces = ()
    """Only of these; by default those that are recorded, else all."""


class ImagesSetting(Section):
    enabled: bool = True
    """Find out which commit each image that runs was built from."""
    registries: Names = ()
    """Further registries that may be asked: `ghcr.io`, `ghcr.io/acme/*`."""
    insecure_registries: Names = ()
    """Registries that speak plain HTTP; they may be asked."""

    @field_validator("registries")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_like(_PATTERN, value, "a registry: write host, host:port or host/path, with * for any part")

    @field_validator("insecure_registries")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_like(_BARE, value, "a registry's host: write registry.local:5000, without scheme and path")


def watched_namespaces(setting: WorkloadsSetting, *, recorded: tuple[str, ...]) -> tuple[str, ...]:
    """Return the namespaces whose workloads are watched; empty for all.

    Those that Kustomizations are followed in say nothing of where these apply to.

    Args:
        recorded: `deployment_records.namespaces`, empty where records are off.
    """
    return setting.namespaces or recorded


def _all_like(form: re.Pattern[str], value: tuple[str, ...], wanted: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(name.strip().lower().rstrip("/") for name in value))
    wrong = next((name for name in found if not form.fullmatch(name)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:80]!r} is not {wanted}")
    return found
