"""A user's configuration of resource metrics: from the settings, or from a file that may change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from fluxtrail.model.errors import ConfigError
from fluxtrail.reports.resource_metrics.user_file import UserResource, parse_configuration
from fluxtrail.runtime.settings.resources import ResourcesSetting

log = structlog.get_logger(__name__)


class UserConfiguration:
    """Its entries as they are now: replaced as a whole where the file has changed and says something.

    Raises:
        ConfigError: it cannot be read, or something is wrong with it.
    """

    def __init__(self, setting: ResourcesSetting) -> None:
        self._path = Path(setting.config_file) if not setting.config else None
        self._text = _read(self._path) if self._path is not None else ""
        self.entries = (
            _parse(self._text, self._path)
            if self._path is not None
            else parse_configuration(setting.config, subject="setting resources.config")
        )

    async def refresh(self) -> None:
        """Look whether the file has changed. One that is wrong is said once, and changes nothing."""
        if self._path is None:
            return
        try:
            text = await asyncio.to_thread(_read, self._path)
            if text == self._text:
                return
            self._text = text
            self.entries = await asyncio.to_thread(_parse, text, self._path)
        except ConfigError as error:
            log.warning("configuration of resource metrics not taken", error=str(error))
        else:
            log.info("configuration of resource metrics taken", file=str(self._path), entries=len(self.entries))


def find_configuration(setting: ResourcesSetting) -> UserConfiguration | None:
    """Return what a user states; None where it is nothing, or where resource metrics are switched off.

    Raises:
        ConfigError: as `UserConfiguration`.
    """
    is_stated = bool(setting.config or setting.config_file)
    return UserConfiguration(setting) if setting.enabled and is_stated else None


def _parse(text: str, path: Path) -> tuple[UserResource, ...]:
    return parse_configuration(text, subject=str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", subject=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is no text in UTF-8", subject=str(path)) from error
