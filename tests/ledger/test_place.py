from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.ledger.world import ON_SQLITE, StillClock

from fluxtrail.ledger.ledger import SqlLedger, parse_place
from fluxtrail.ledger.place import find_file_system, prepare_place
from fluxtrail.model.errors import ConfigError, StoreError


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:5 / /proc rw - proc proc rw
40 22 0:50 / /data rw,relatime - nfs4 server:/export rw,vers=4.2
41 40 254:1 / /data/local\\040disk rw - xfs /dev/sdb rw
42 22 0:51 / /over rw - cifs //server/share rw
43 22 0:52 / /over rw - tmpfs tmpfs rw
not a line of this file
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/data/ledger", "nfs4"),
        ("/database", "ext4"),
        ("/data/local disk/ledger", "xfs"),
        ("/over/x", "tmpfs"),
    ],
)
def test_file_system_is_that_of_the_longest_and_uppermost_mount(path: str, kind: str) -> None:
    assert find_file_system(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_network_file_systems_are_refused_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 0:1 / / rw - {kind} server:/x rw\n")
    with pytest.raises(StoreError, match=f"network file system \\({kind}\\).*local disk"):
        prepare_place(tmp_path / "ledger.sqlite", mounts=mounts)
    assert not (tmp_path / "ledger.sqlite").exists()


@pytest.mark.parametrize("text", ["mssql://u@h/d", "sqlite:///:memory:", "", "mysql://x"])
def test_other_places_are_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="path, sqlite:///path or postgresql://") as caught:
        parse_place(text)
    assert caught.value.subject == "ledger"


def test_urls_and_paths_name_files() -> None:
    assert parse_place("sqlite:////var/lib/l.sqlite") == Path("/var/lib/l.sqlite")
    assert parse_place("sqlite:///l.sqlite") == Path.cwd() / "l.sqlite"
    assert parse_place(Path("/x/l")) == Path("/x/l")


@ON_SQLITE
async def test_file_is_made_for_this_user_alone(ledger: SqlLedger) -> None:
    assert ledger.path.stat().st_mode & 0o777 == 0o600
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700


@ON_SQLITE
async def test_second_opener_is_refused_and_told_who(ledger: SqlLedger, clock: StillClock) -> None:
    with pytest.raises(StoreError, match=f"another process has this ledger open \\(pid {os.getpid()}\\)"):
        await SqlLedger.open(ledger.path, clock=clock)
    async with ledger.unit() as unit:
        await unit.put_note("still", "mine")


@ON_SQLITE
@pytest.mark.process
async def test_second_process_is_refused_until_the_first_is_gone(
    ledger: SqlLedger, clock: StillClock, tmp_path: Path
) -> None:
    script = tmp_path / "second.py"
    script.write_text(
        "import asyncio, sys\n"
        "from datetime import UTC, datetime\n"
        "from fluxtrail.ledger.ledger import SqlLedger\n"
        "from fluxtrail.model.errors import StoreError\n"
        "class Clock:\n"
        "    def now(self): return datetime.now(UTC)\n"
        "async def main():\n"
        "    try:\n"
        "        ledger = await SqlLedger.open(sys.argv[1], clock=Clock())\n"
        "    except StoreError as exc:\n"
        "        sys.exit(str(exc))\n"
        "    await ledger.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, str(script), str(ledger.path)]
    refused = await asyncio.to_thread(_run, command)
    assert refused.returncode == 1
    assert f"(pid {os.getpid()})" in refused.stderr
    await ledger.close()
    assert (await asyncio.to_thread(_run, command)).returncode == 0
    again = await SqlLedger.open(ledger.path, clock=clock)
    await again.close()


async def test_text_file_is_refused_as_no_ledger(place: Path, clock: StillClock) -> None:
    place.parent.mkdir()
    place.write_text("apiVersion: v1\n" * 100)
    with pytest.raises(StoreError, match=r"no ledger.*backup"):
        await SqlLedger.open(place, clock=clock)
    assert place.read_text().startswith("apiVersion")


async def test_another_database_is_refused_and_left_as_it_was(place: Path, clock: StillClock) -> None:
    place.parent.mkdir()
    with sqlite3.connect(place) as other:
        other.execute("CREATE TABLE users (id INTEGER)")
    other.close()
    with pytest.raises(StoreError, match="other tables and is no ledger"):
        await SqlLedger.open(place, clock=clock)
    with sqlite3.connect(place) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("users",)]
    other.close()


@ON_SQLITE
async def test_damaged_pages_are_reported_with_the_remedy(ledger: SqlLedger, clock: StillClock) -> None:
    await ledger.close()
    size = ledger.path.stat().st_size
    with ledger.path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(StoreError, match="damaged; restore a backup"):
        await SqlLedger.open(ledger.path, clock=clock)


async def test_newer_schema_is_refused(ledger: SqlLedger, where: Path | str, clock: StillClock) -> None:
    async with ledger._engine.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await ledger.close()
    with pytest.raises(StoreError, match="newer Fluxtrail \\(schema 9999"):
        await SqlLedger.open(where, clock=clock)


async def test_folder_in_the_way_is_refused(tmp_path: Path, clock: StillClock) -> None:
    with pytest.raises(StoreError, match="not a file in a folder"):
        await SqlLedger.open(tmp_path, clock=clock)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a file in a folder"):
        await SqlLedger.open(tmp_path / "file" / "ledger.sqlite", clock=clock)


_AS_NOBODY = """
import asyncio, os, resource, sys
from datetime import UTC, datetime
from fluxtrail.ledger.ledger import SqlLedger
from fluxtrail.model.errors import StoreError
class Clock:
    def now(self): return datetime.now(UTC)
async def main(path, limit):
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    elif os.getuid() == 0:
        os.setuid(65534)
    try:
        ledger = await SqlLedger.open(path, clock=Clock())
        try:
            for number in range(1000):
                async with ledger.unit() as unit:
                    await unit.put_note(f"n{number}", "x" * 100_000)
                    await unit.put_note("last", str(number))
        finally:
            try:
                await ledger.close()
            except StoreError:
                pass
    except StoreError as exc:
        print(exc.retryable, exc)
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _run_limited(path: Path, *, limit_bytes: int = 0) -> str:
    done = _run([sys.executable, "-c", _AS_NOBODY, str(path), str(limit_bytes)])
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_folder_that_may_not_be_written_is_reported() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        said = _run_limited(Path(folder) / "ledger.sqlite")
    assert "False" in said
    assert "cannot be written" in said


@pytest.mark.process
async def test_full_quota_stops_a_unit_and_keeps_those_before(tmp_path: Path, clock: StillClock) -> None:
    place = tmp_path / "ledger.sqlite"
    said = await asyncio.to_thread(_run_limited, place, limit_bytes=2_000_000)
    assert said.splitlines()[-1].startswith("True ")
    ledger = await SqlLedger.open(place, clock=clock)
    async with ledger.unit() as unit:
        last = await unit.get_note("last")
        assert last is not None
        assert await unit.get_note(f"n{last}") is not None
        assert await unit.get_note(f"n{int(last) + 1}") is None
    await ledger.close()


@ON_SQLITE
async def test_full_disk_is_retryable_and_heals(ledger: SqlLedger) -> None:
    async def write(size: int) -> None:
        async with ledger.unit() as unit:
            await unit.put_note("big", "x" * size)

    async with ledger._engine.write() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 8}")
    with pytest.raises(StoreError, match=r"full.*free some space") as caught:
        await write(1_000_000)
    assert caught.value.retryable
    async with ledger._engine.write() as connection:
        await connection.exec_driver_sql("PRAGMA max_page_count=1073741823")
    await write(1_000_000)
