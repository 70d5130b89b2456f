"""The section `resources`: the metrics of Flux's own objects."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator, model_validator

from fluxtrail.reports.resource_metrics.flux import Extra, LabelSet
from fluxtrail.runtime.settings.values import Names, Namespaces, Section

_PREFIX = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)?")
_RULE = re.compile(r"[A-Za-z0-9*?.\[\]!-]+(/[A-Za-z0-9*?.\[\]!-]*){0,2}")
_OF_OUR_OWN = ("labels", "extra_labels", "without_labels", "prefix")
_NEEDED = frozenset({"name", "exported_namespace"})


class ResourcesSetting(Section):
    enabled: bool = False
    """Watch Flux's objects for their metrics."""
    config: str | dict[str, Any] = ""
    """A `CustomResourceStateMetrics`, in the place of what comes with Fluxtrail; wins over `config_file`. As YAML, or
    as it is."""
    config_file: str = ""
    """The same, as a file's path."""
    labels: LabelSet = LabelSet.FULL
    extra_labels: Names = ()
    without_labels: Names = ()
    prefix: str = Field(default="gotk", max_length=100)
    namespaces: Namespaces = ()
    """Only of these; by default of the whole cluster where that is allowed."""
    keep: Names = ()
    drop: Names = ()
    max_series: int = Field(default=200_000, ge=1, le=10_000_000)
    shard: int = Field(default=0, ge=0)
    total_shards: int = Field(default=1, ge=1, le=1_000)

    @model_validator(mode="before")
    @classmethod
    def _is_enabled_by_its_configuration(cls, data: Any) -> Any:
        """Who states a configuration wants its metrics, unless it is switched off in so many words."""
        if isinstance(data, dict) and (data.get("config") or data.get("config_file")) and "enabled" not in data:
            return {**data, "enabled": True}
        return data

    @field_validator("extra_labels")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((name for name in value if name not in set(Extra)), None)
        if wrong is not None:
            raise ValueError(f"{wrong[:80]!r} is no label that can be added; there is {', '.join(Extra)}")
        return tuple(dict.fromkeys(value))

    @field_validator("without_labels")
    @classmethod
    def _can_be_missed(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((name for name in value if name in _NEEDED), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} has to stay: two objects would be one series")
        return tuple(dict.fromkeys(value))

    @field_validator("prefix")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _PREFIX.fullmatch(value):
            raise ValueError("must be letters, digits and '_', such as gotk; empty for none")
        return value

    @field_validator("keep", "drop")
    @classmethod
    def _are_rules(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((rule for rule in value if not _RULE.fullmatch(rule)), None)
        if wrong is not None:
            raise ValueError(f"{wrong[:80]!r} is no rule: write kind/namespace/name, with * for any part")
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _is_one_configuration(self) -> ResourcesSetting:
        stray = [name for name in _OF_OUR_OWN if name in self.model_fields_set]
        if stray and (self.config or self.config_file):
            raise ValueError(
                f"{stray[0]} counts for the metrics that come with Fluxtrail: state it in the configuration instead"
            )
        return self

    @model_validator(mode="after")
    def _has_shard(self) -> ResourcesSetting:
        if self.shard >= self.total_shards:
            raise ValueError("shard counts from 0 and must be below total_shards")
        return self
