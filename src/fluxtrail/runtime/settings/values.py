"""What every section of the settings is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _split(value: Any) -> Any:
    """Lists of names may be written `a,b` in the environment, as JSON, or as YAML lists."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError as exc:
            raise ValueError("begins like JSON and is none; write a,b or a whole JSON list") from exc
    return [name.strip() for name in value.split(",") if name.strip()]


def _are_namespaces(names: tuple[str, ...]) -> tuple[str, ...]:
    wrong = next((name for name in names if not _NAMESPACE.fullmatch(name)), None)
    if wrong is not None:
        raise ValueError(f"{wrong[:80]!r} is no namespace: lower-case letters, digits and '-', 63 at most")
    return tuple(dict.fromkeys(names))


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Namespaces = Annotated[Names, AfterValidator(_are_namespaces)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
