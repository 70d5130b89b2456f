"""Files of Helm values that a declaration names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxtrail.gitops.objects.documents import read_documents
from fluxtrail.model.errors import ConfigError

LIMIT_BYTES = 1024 * 1024
"""An object of a cluster is no larger either."""


def read_values(path: Path) -> Mapping[str, Any]:
    """Return a file of values; one that is empty holds none.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(LIMIT_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot be read ({exc.strerror}); name a file of the declaration's folder") from exc
    if len(content) > LIMIT_BYTES:
        raise ConfigError(f"is larger than {LIMIT_BYTES >> 10} KiB; use values_from")
    documents = list(read_documents(content, subject=path.name))
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0].value, dict):
        raise ConfigError("is no mapping of values; write `key: value` on each line")
    return documents[0].value
