"""Where a ledger's file may lie, and that one process alone has it.

SQLite's write-ahead log needs memory shared between the processes of one machine, and its locks are not kept
by network file systems: both are refused before anything is written.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from fluxtrail.model.errors import StoreError

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p", "afs", "ceph", "cifs", "coda", "fuse.ceph", "fuse.glusterfs", "fuse.gcsfuse", "fuse.rclone", "fuse.s3fs",
        "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb2", "smb3",
        "smbfs",
    }
)  # fmt: skip
_MOUNTS = Path("/proc/self/mountinfo")
_FOLDER_MODE = 0o700
_FILE_MODE = 0o600


def is_postgres(where: Path | str) -> bool:
    """True for the address of a PostgreSQL database, as libpq writes it."""
    return str(where).startswith(("postgresql://", "postgres://"))


def find_file_system(path: Path, mounts: str) -> str | None:
    """Return the type of the file system that holds `path`, from the text of `/proc/self/mountinfo`.

    The longest mount point wins, the last one of equals (it lies on top). Source: proc_pid_mountinfo(5).
    """
    found, length = None, -1
    for line in mounts.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        mount = Path(_unescape(fields[4]))
        if path.is_relative_to(mount) and len(mount.parts) >= length:
            found, length = after.split(" ", 1)[0], len(mount.parts)
    return found


def _unescape(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text


def prepare_place(path: Path, *, mounts: Path = _MOUNTS) -> None:
    """Make the file's folder and the file itself, readable by this user alone.

    Raises:
        StoreError: the folder lies on a network file system, or it or the file cannot be made or written.
    """
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        kind = find_file_system(path.parent.resolve(), mounts.read_text()) if mounts.exists() else None
        if kind in NETWORK_FILE_SYSTEMS:
            raise StoreError(
                f"it lies on a network file system ({kind}), on which SQLite loses data; "
                "name a file on a local disk or a block volume",
                subject=str(path),
            )
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
    except OSError as exc:
        raise _refused(exc, path) from exc


class FileLock:
    """The lock `<ledger>.lock`, held as long as the process lives; the kernel frees it however that ends.

    The file holds the holder's process id, for people, and stays where it is: removing it would race.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._ledger = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise.

        Raises:
            StoreError: another process (or another ledger object of this one) has it; its pid is named.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError as exc:
            raise _refused(exc, self._path) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreError(
                f"another process has this ledger open (pid {holder}); stop it, or name another file",
                subject=str(self._ledger),
            ) from exc
        except OSError as exc:
            os.close(descriptor)
            raise _refused(exc, self._path) from exc
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _refused(exc: OSError, path: Path) -> StoreError:
    said = exc.strerror or str(exc)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"the disk (or the quota) is full ({said}); free some space", retryable=True, subject=str(path)
        )
    if exc.errno == errno.EROFS:
        return StoreError(f"the disk is read-only ({said}); mount it read-write", subject=str(path))
    if exc.errno in (errno.EACCES, errno.EPERM):
        return StoreError(f"it cannot be written ({said}); let this user own the folder", subject=str(path))
    if exc.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        return StoreError(f"it is not a file in a folder ({said}); name a file", subject=str(path))
    return StoreError(f"it cannot be opened ({said})", subject=str(path))
