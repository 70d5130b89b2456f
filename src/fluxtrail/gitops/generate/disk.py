"""What is generated beside what lies there: what differs, as a diff, and making it so.

A file that has not our head was written by somebody: it is never overwritten without being told so, and never removed.
"""

import difflib
import os
import posixpath
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from fluxtrail.gitops.generate.head import SCANNED_BYTES, is_marked
from fluxtrail.model.errors import ConfigError

FILES_LIMIT = 200_000
FILE_MODE = 0o644


class State(StrEnum):
    MISSING = "missing"
    CHANGED = "changed"
    FOREIGN = "foreign"
    ORPHANED = "orphaned"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One file that is not as it is generated.

    Args:
        path: from the declaration's folder.
        present: what lies there; None where nothing does.
        wanted: what is generated; None where nothing is.
    """

    state: State
    path: str
    present: bytes | None
    wanted: bytes | None

    def diff(self) -> str:
        """Return the difference as a unified diff, from what lies there to what is generated."""
        before = f"a/{self.path}" if self.present is not None else "/dev/null"
        after = f"b/{self.path}" if self.wanted is not None else "/dev/null"
        lines = difflib.unified_diff(_lines(self.present), _lines(self.wanted), before, after)
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def differences(
    files: Mapping[str, bytes], *, folder: Path, mark: str, scanned: Iterable[str], kept: Iterable[str] = ()
) -> list[Difference]:
    """Return what is not as generated, by path.

    Args:
        folder: the declaration's.
        mark: the line by which its files are known.
        scanned: folders, as paths from `folder`, in which files that are no longer generated are looked for.
        kept: paths that are generated too, but not now: those of other environments.

    Raises:
        ConfigError: a file or a folder cannot be read.
    """
    compared = [_compared(path, wanted, folder, mark) for path, wanted in files.items()]
    known = {*files, *kept}
    orphans = [
        Difference(state=State.ORPHANED, path=path, present=present, wanted=None)
        for path in _yaml_files(folder, scanned)
        if path not in known and is_marked(_top(folder / path), mark) and (present := _read(folder / path)) is not None
    ]
    return sorted([*filter(None, compared), *orphans], key=lambda each: each.path)


def write(found: Iterable[Difference], *, folder: Path) -> None:
    """Make files as they are generated, each whole or not at all.

    Raises:
        ConfigError: a file cannot be written or removed.
    """
    for each in found:
        path = folder / each.path
        try:
            if each.wanted is None:
                path.unlink()
                with suppress(OSError):  # something else is in it
                    path.parent.rmdir()
            else:
                _replace(path, each.wanted)
        except OSError as exc:
            raise ConfigError(f"cannot be written ({exc.strerror}); see to its rights", subject=str(path)) from exc


def _compared(path: str, wanted: bytes, folder: Path, mark: str) -> Difference | None:
    present = _read(folder / path)
    if present == wanted:
        return None
    is_ours = present is not None and is_marked(present, mark)
    state = State.MISSING if present is None else State.CHANGED if is_ours else State.FOREIGN
    return Difference(state=state, path=path, present=present, wanted=wanted)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise ConfigError(f"cannot be read ({exc.strerror}); see to its rights", subject=str(path)) from exc


def _top(path: Path) -> bytes:
    """Return the beginning of a file that may be anybody's; one that cannot be read is not ours."""
    try:
        with path.open("rb") as opened:
            return opened.read(SCANNED_BYTES)
    except OSError:
        return b""


def _yaml_files(folder: Path, scanned: Iterable[str]) -> Iterator[str]:
    """Yield paths of YAML files, each once. Links to folders are not followed, hidden folders are left out."""
    seen: set[str] = set()
    for root in scanned:
        for place, folders, names in os.walk(folder / root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            base = posixpath.normpath(posixpath.join(root, Path(place).relative_to(folder / root).as_posix()))
            for name in sorted(names):
                path = posixpath.normpath(posixpath.join(base, name))
                if name.endswith((".yaml", ".yml")) and path not in seen:
                    seen.add(path)
                    if len(seen) > FILES_LIMIT:
                        raise ConfigError(
                            f"holds more than {FILES_LIMIT} files; name a folder of its own", subject=root
                        )
                    yield path


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".flux-")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        Path(name).chmod(path.stat().st_mode & 0o777 if path.exists() else FILE_MODE)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "replace").splitlines(keepends=True)
