"""Typed values from `OTEL_*` variables: per signal, else general; an empty one counts as not set.

The specification lets an exporter warn and go on where a value cannot be read. Here that is an error at start:
telemetry that goes nowhere, or in the clear, is noticed too late otherwise.
Source: opentelemetry-specification, configuration/sdk-environment-variables.md and protocol/exporter.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from fluxtrail.model.errors import ConfigError
from fluxtrail.model.redaction import redact

LONGEST_VALUE = 64 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_SET_BY_US = frozenset(
    ("connection", "content-encoding", "content-length", "content-type", "host", "te", "transfer-encoding")
)


class Signal(StrEnum):
    TRACES = "traces"
    LOGS = "logs"
    METRICS = "metrics"


@dataclass(frozen=True)
class Variable:
    """One variable that is set. Its value is kept out of `repr`: it may be a secret."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"Variable({self.name})"

    def refusal(self, remedy: str, *, is_secret: bool = False) -> ConfigError:
        shown = "" if is_secret else f" (given: {redact(self.value, limit_bytes=80)!r})"
        return ConfigError(f"{remedy}{shown}", subject=self.name)


class Variables:
    """The environment, asked for `OTEL_EXPORTER_OTLP_*` by signal and for other `OTEL_*` by name."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def find(self, name: str) -> Variable | None:
        value = self._environ.get(name, "").strip()
        if len(value) > LONGEST_VALUE:
            raise ConfigError(f"is longer than {LONGEST_VALUE} characters; shorten it", subject=name)
        return Variable(name, value) if value else None

    def find_for(self, signal: Signal, option: str) -> Variable | None:
        """Return the variable of the signal's own name, else the general one."""
        return self.find_own(signal, option) or self.find(f"OTEL_EXPORTER_OTLP_{option}")

    def find_own(self, signal: Signal, option: str) -> Variable | None:
        return self.find(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{option}")


def parse_flag(variable: Variable) -> bool:
    found = {"true": True, "false": False}.get(variable.value.lower())
    if found is None:
        raise variable.refusal("must be true or false")
    return found


def parse_milliseconds(variable: Variable) -> float:
    """Return seconds.

    Raises:
        ConfigError: not a whole number of milliseconds, 0 or more.
    """
    if not re.fullmatch(r"[0-9]{1,15}", variable.value):
        raise variable.refusal("must be a whole number of milliseconds, 10000 for ten seconds")
    return int(variable.value) / 1000


def parse_count(variable: Variable) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,9}", variable.value):
        raise variable.refusal("must be a whole number above 0")
    return int(variable.value)


def parse_choice(variable: Variable, choices: tuple[str, ...], *, remedy: str = "") -> str:
    found = variable.value.lower()
    if found not in choices:
        raise variable.refusal(f"must be one of {', '.join(choices)}{remedy}")
    return found


def parse_pairs(variable: Variable, *, is_secret: bool) -> dict[str, str]:
    """Return `key=value,…`, decoded as W3C Baggage has it: percent-encoded UTF-8, no properties; a key's last wins.

    Values that are not encoded are taken as they are if they hold no comma: `Authorization=Basic abc` is common.

    Raises:
        ConfigError: a pair without `=` or without a key, or bytes that are not UTF-8. Secrets are not shown, nor is a
            pair without `=`, which may be one.
    """
    pairs: dict[str, str] = {}
    for place, piece in enumerate(variable.value.split(","), 1):
        if not piece.strip():
            continue
        key, is_pair, value = piece.partition("=")
        if not is_pair or not key.strip():
            remedy = f"pair {place} is not key=value; separate pairs by commas and write a comma in a value as %2C"
            raise variable.refusal(remedy, is_secret=is_secret)
        try:
            pairs[unquote(key.strip(), errors="strict")] = unquote(value.strip(), errors="strict")
        except UnicodeDecodeError as exc:
            remedy = f"pair {place} is not percent-encoded UTF-8; write a percent sign as %25"
            raise variable.refusal(remedy, is_secret=is_secret) from exc
    return pairs


def parse_headers(variable: Variable) -> tuple[tuple[str, str], ...]:
    """Return headers with lower-case names, as both gRPC and HTTP/2 want them. No error shows a value.

    Raises:
        ConfigError: a name that no header may have or that the sender sets itself, a value with control characters or,
            as gRPC cannot carry them, characters beyond ASCII.
    """
    headers: dict[str, str] = {}
    for place, (name, value) in enumerate(parse_pairs(variable, is_secret=True).items(), 1):
        if not _NAME.fullmatch(name):
            raise variable.refusal(f"the name of header {place} has characters that no header may have", is_secret=True)
        lowered = name.lower()
        if lowered in _SET_BY_US or lowered.startswith("grpc-"):
            raise variable.refusal(f"header {lowered} is set by the sender itself; remove it", is_secret=True)
        if _UNPRINTABLE.search(value) or not value.isascii():
            remedy = f"the value of header {lowered} must be printable ASCII; encode it, as Base64 for example"
            raise variable.refusal(remedy, is_secret=True)
        headers[lowered] = value
    return tuple(headers.items())
