"""Libraries that a cloud's rarer identities need: imported when one is used, in a thread, for that takes a while."""

from __future__ import annotations

import asyncio
import importlib
from types import ModuleType

from fluxtrail.model.errors import ConfigError


async def bring(*modules: str, extra: str, what: str) -> tuple[ModuleType, ...]:
    """Return the modules.

    Args:
        what: for whom they are needed, for the message.

    Raises:
        ConfigError: the extra is not installed; the message says how to install it.
    """
    try:
        return await asyncio.to_thread(lambda: tuple(importlib.import_module(name) for name in modules))
    except ImportError as exc:
        library = (exc.name or modules[0]).partition(".")[0]
        raise ConfigError(
            f"{what} needs the library {library}, which is not installed: pip install 'fluxtrail[{extra}]'",
            subject=f"credentials: provider {extra}",
        ) from None
