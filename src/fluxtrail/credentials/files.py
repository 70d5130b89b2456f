"""Secrets that are files: read again when they change, never larger than a secret is."""

from __future__ import annotations

from pathlib import Path

from fluxtrail.model.errors import ConfigError

SECRET_FILE_LIMIT_BYTES = 64 * 1024
RETIRED_LIMIT = 8


class SecretFiles:
    """Reads credential files, and remembers what they held.

    Kubernetes rotates a mounted secret by renaming a directory: identity is (inode, size, mtime), checked on
    every `read`, so that a rotated secret is used without a restart.
    """

    def __init__(self) -> None:
        self._files: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._retired: list[str] = []

    @property
    def secrets(self) -> tuple[str, ...]:
        """What was read so far, the latest of what was rotated away too."""
        return (*(text for _, text in self._files.values()), *self._retired)

    def read(self, path: Path) -> str:
        """Return the text of a file, without the white space around it.

        Raises:
            ConfigError: it cannot be read, is empty, or is too large for a secret; `subject` is the file.
        """
        known = self._files.get(path)
        try:
            stat = path.stat()
            identity = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if known is not None and known[0] == identity:
                return known[1]
            if stat.st_size > SECRET_FILE_LIMIT_BYTES:
                raise ConfigError(f"the file is {stat.st_size} bytes, which is no token", subject=str(path))
            text = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise ConfigError(f"the credential file cannot be read: {reason}", subject=str(path)) from exc
        if not text:
            raise ConfigError("the credential file is empty", subject=str(path))
        if known is not None:
            self._retired = [*self._retired, known[1]][-RETIRED_LIMIT:]
        self._files[path] = (identity, text)
        return text
