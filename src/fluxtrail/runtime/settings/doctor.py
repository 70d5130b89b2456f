"""The section `doctor`: whether Flux's objects are examined, and what may be done about what is found."""

from __future__ import annotations

import re
from datetime import UTC, date, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from fluxtrail.model.doctor.budgets import Freeze, Limits, parse_days
from fluxtrail.model.doctor.policy import Policy
from fluxtrail.runtime.settings.values import Names, Namespaces, Section

MOST_FREEZES = 50
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class FreezeSetting(Section):
    """A time in which nothing is done."""

    days: Names = ()
    """`mon` to `sun`, on which it begins; every day by default."""
    start: str = "00:00"
    """By the clocks of `time_zone`."""
    until: str = "00:00"
    """Not later than `start`: on the next day."""
    first: date | None = None
    last: date | None = None
    time_zone: str = "UTC"

    @field_validator("days")
    @classmethod
    def _are_days(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_days(value)
        return value

    @field_validator("start", "until", mode="before")
    @classmethod
    def _is_time(cls, value: object) -> object:
        # YAML 1.1 takes 16:00 without quotes for a number to the base of sixty.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
            return f"{value // 60:02}:{value % 60:02}"
        if not isinstance(value, str) or not _TIME.fullmatch(value):
            raise ValueError("must be a time of day such as '16:00', in quotes")
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        find_zone(value)
        return value

    @model_validator(mode="after")
    def _is_in_order(self) -> FreezeSetting:
        if self.first and self.last and self.last < self.first:
            raise ValueError(f"ends before it begins: last is {self.last}, first is {self.first}")
        return self

    def read(self) -> Freeze:
        return Freeze(
            zone=find_zone(self.time_zone),
            zone_name=self.time_zone,
            days=parse_days(self.days),
            start=time.fromisoformat(self.start),
            until=time.fromisoformat(self.until),
            first=self.first,
            last=self.last,
        )


class DoctorSetting(Section):
    enabled: bool = False
    """Examine HelmReleases, Kustomizations and sources, and tell what is found."""
    act: bool = False
    """Do what helps. Without it nothing is ever written."""
    interval_seconds: float = Field(default=60.0, ge=10, le=86_400)
    """Between two rounds."""
    namespaces: Namespaces = ()
    """Look at and treat these alone; by default `namespaces`, else all."""
    acts_per_hour: int = Field(default=10, ge=0, le=1_000)
    """In each cluster."""
    acts_per_namespace_per_hour: int = Field(default=3, ge=0, le=1_000)
    freezes: tuple[FreezeSetting, ...] = ()
    """When nothing is done."""
    patience_seconds: float = Field(default=300.0, ge=0, le=86_400)
    """For so long something may fail or wait without being told."""
    suspended_after_hours: float = Field(default=24.0, ge=0, le=8_760)
    stale_after_intervals: int = Field(default=5, ge=1, le=1_000)
    drift_count: int = Field(default=3, ge=2, le=60)
    """So many corrections within an hour are a loop."""
    helm_secrets: bool = False
    """Read the labels of the Secrets in which Helm keeps its releases: for those that Helm holds."""

    @field_validator("freezes")
    @classmethod
    def _are_few(cls, value: tuple[FreezeSetting, ...]) -> tuple[FreezeSetting, ...]:
        if len(value) > MOST_FREEZES:
            raise ValueError(f"has {len(value)} entries, more than {MOST_FREEZES}")
        return value

    @model_validator(mode="after")
    def _acts_only_where_it_looks(self) -> DoctorSetting:
        if self.act and not self.enabled:
            raise ValueError("doctor.act does nothing without doctor.enabled: set both, or neither")
        return self

    @property
    def policy(self) -> Policy:
        return Policy(
            patience=timedelta(seconds=self.patience_seconds),
            suspended_after=timedelta(hours=self.suspended_after_hours),
            stale_after=self.stale_after_intervals,
            drift_count=self.drift_count,
        )

    @property
    def limits(self) -> Limits:
        return Limits(
            per_hour=self.acts_per_hour,
            per_namespace_per_hour=self.acts_per_namespace_per_hour,
            freezes=tuple(item.read() for item in self.freezes),
        )


def find_zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises:
        ValueError: there is none of that name here.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"{name[:80]!r} is no time zone that is known here; write Europe/Berlin, or UTC") from exc
