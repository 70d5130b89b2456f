from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest
from tests.remotes.worlds import FakeClock, Origin, StoreMaker

from fluxtrail.credentials.binding import CredentialSource
from fluxtrail.model.errors import ConfigError, StoreError, UpstreamError
from fluxtrail.remotes.allow import AllowList
from fluxtrail.remotes.git.failures import CorruptCloneError
from fluxtrail.remotes.git.progress import CloneProgress
from fluxtrail.remotes.git.repository import GitRepository
from fluxtrail.remotes.git.store import GitStore


def clone_path(repository: GitRepository) -> Path:
    return repository.mirror.path


async def test_all_spellings_open_one_repository(make_store: StoreMaker) -> None:
    store = make_store(patterns=("github.com",))
    one = store.open("https://github.com/Acme/shop.git")
    assert store.open("git@github.com:acme/shop") is one
    assert store.open("https://github.com/acme/other") is not one
    with pytest.raises(ConfigError, match="allow"):
        store.open("https://example.com/acme/shop")


async def test_a_second_process_may_not_use_the_folder(make_store: StoreMaker) -> None:
    store = make_store()
    with pytest.raises(StoreError, match="another Fluxtrail process"):
        make_store()
    await store.close()
    make_store()


async def test_an_unwritable_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        GitStore(tmp_path / "file", allow=AllowList(), credentials=CredentialSource())
    assert caught.value.subject == str(tmp_path / "file")


async def test_clones_hold_no_files_until_they_are_read(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one", files={"a": "1", "b": "2"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    blob = origin.git("rev-parse", f"{sha}:b")
    assert await repository.reader.find_info(blob) is None
    await repository.read_file(sha, "b", limit_bytes=9)
    assert await repository.reader.find_info(blob) is not None
    assert await repository.reader.find_info(origin.git("rev-parse", f"{sha}:a")) is None


async def test_many_files_come_in_one_round_trip(origin: Origin, make_store: StoreMaker) -> None:
    shas = [origin.commit(f"c{i}", files={"exporter-info.json": str(i)}, push=False) for i in range(12)]
    origin.push()
    repository = make_store().open(origin.url)
    await repository.refresh()
    packs = clone_path(repository) / "objects/pack"
    before = len(list(packs.glob("*.pack")))
    await repository.prefetch([(sha, "exporter-info.json") for sha in shas])
    assert len(list(packs.glob("*.pack"))) == before + 1
    found = await asyncio.gather(*(repository.read_file(sha, "exporter-info.json", limit_bytes=9) for sha in shas))
    assert found == [str(i).encode() for i in range(12)]
    assert len(list(packs.glob("*.pack"))) == before + 1


async def test_progress_of_the_first_clone_is_told(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one", files={f"d{i}/f": str(i) for i in range(30)})
    told: list[CloneProgress] = []
    await make_store(progress=told.append).open(origin.url).refresh()
    assert {step.repository for step in told} == {"file:" + str(origin.path).removesuffix(".git")}
    assert any(step.percent == 100 for step in told)
    assert {"Counting objects", "Receiving objects"} <= {step.phase for step in told}


async def test_clones_and_pins_survive_a_restart(origin: Origin, make_store: StoreMaker) -> None:
    first = origin.commit("one")
    store = make_store()
    heads = await store.open(origin.url).refresh()
    await store.close()
    origin.commit("two")
    repository = make_store().open(origin.url)
    known = await repository.heads()
    assert known.branches == {"main": first}
    assert known.fetched_at == heads.fetched_at


async def test_a_pin_keeps_what_the_remote_forgot(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one")
    lost = origin.commit("two")
    repository = make_store().open(origin.url)
    await repository.refresh()
    await repository.pin("prod/flux-system/../apps: ~x", lost)
    await repository.pin("other", lost)
    await repository.unpin("other")
    await repository.unpin("never was")
    origin.git("reset", "-q", "--hard", "HEAD~1")
    origin.commit("three")
    await repository.refresh()
    refs = await repository.mirror.refs()
    assert list(refs.pins.values()) == [lost]
    git = repository.mirror
    await git.local(["reflog", "expire", "--expire=now", "--all"])
    await git.local(["gc", "--prune=now", "-q"], promisor=True)
    assert await repository.has(lost)


async def test_concurrent_callers_share_a_fetch(
    origin: Origin, make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.commit("one")
    repository = make_store().open(origin.url)
    await repository.refresh()
    fetches = 0
    fetch = repository.mirror.fetch

    async def counted(**options: Any) -> None:
        nonlocal fetches
        fetches += 1
        await fetch(**options)

    monkeypatch.setattr(repository.mirror, "fetch", counted)
    new = origin.commit("two")
    answers = await asyncio.gather(*(repository.refresh() for _ in range(20)))
    assert {heads.branches["main"] for heads in answers} == {new}
    assert fetches == 1


async def test_a_damaged_clone_is_made_again_once_with_its_pins(
    origin: Origin, make_store: StoreMaker, clock: FakeClock
) -> None:
    sha = origin.commit("one", files={"a": "1"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    await repository.pin("prod/apps", sha)
    damage(repository)
    with pytest.raises(StoreError) as caught:
        await repository.log(sha)
    assert caught.value.retryable
    heads = await repository.refresh()
    assert heads.branches == {"main": sha}
    assert [c.sha for c in await repository.log(sha)] == [sha]
    assert list((await repository.mirror.refs()).pins.values()) == [sha]
    assert len(list((clone_path(repository).parent.parent / "broken").iterdir())) == 1
    damage(repository)
    with pytest.raises(StoreError):
        await repository.log(sha)
    with pytest.raises(CorruptCloneError, match="damaged again"):
        await repository.refresh()
    clock.forward(601)
    await repository.refresh()
    assert await repository.has(sha)


def damage(repository: GitRepository) -> None:
    for pack in (clone_path(repository) / "objects/pack").glob("*.pack"):
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        data[12:-20] = bytes(len(data) - 32)
        pack.write_bytes(data)
    for graph in (clone_path(repository) / "objects/info").rglob("*.graph"):
        graph.unlink()
    if repository.reader._process is not None:
        repository.reader._process.kill()


async def test_a_clone_without_its_refs_is_made_again(origin: Origin, make_store: StoreMaker) -> None:
    sha = origin.commit("one")
    repository = make_store().open(origin.url)
    await repository.refresh()
    (clone_path(repository) / "config").write_text("[broken\n")
    assert (await repository.refresh()).branches == {"main": sha}


async def test_a_stale_lock_is_removed_and_a_fresh_one_respected(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one")
    repository = make_store().open(origin.url)
    await repository.refresh()
    new = origin.commit("two")
    lock = clone_path(repository) / "refs/heads/main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    with pytest.raises(StoreError, match="locked") as caught:
        await repository.refresh()
    assert caught.value.retryable
    long_ago = time.time() - 3600
    os.utime(lock, (long_ago, long_ago))
    assert (await repository.refresh()).branches == {"main": new}


async def test_a_killed_clone_is_never_taken_for_a_good_one(origin: Origin, make_store: StoreMaker) -> None:
    origin.commit("one")
    store = make_store()
    repository = store.open(origin.url)
    incoming = clone_path(repository).parent.parent / "incoming"
    (incoming / "half.git").mkdir(parents=True)
    await store.close()
    repository = make_store().open(origin.url)
    assert not incoming.exists()
    await repository.refresh()
    assert not list(incoming.iterdir())


async def test_a_clone_larger_than_the_quota_is_refused(origin: Origin, make_store: StoreMaker) -> None:
    origin.git("config", "uploadpack.allowFilter", "false", cwd=origin.path)
    origin.commit("big", files={"big": os.urandom(600_000)})
    repository = make_store(quota_bytes=500_000).open(origin.url)
    with pytest.raises(StoreError, match="quota_bytes"):
        await repository.refresh()
    assert not repository.mirror.exists


async def test_a_server_without_filters_is_cloned_whole(origin: Origin, make_store: StoreMaker) -> None:
    origin.git("config", "uploadpack.allowFilter", "false", cwd=origin.path)
    sha = origin.commit("one", files={"a": "1"})
    repository = make_store().open(origin.url)
    await repository.refresh()
    assert await repository.reader.find_info(origin.git("rev-parse", f"{sha}:a")) is not None
    new = origin.commit("two", files={"a": "2"})
    await repository.refresh()
    assert await repository.read_file(new, "a", limit_bytes=9) == b"2"


async def test_the_longest_unused_unpinned_clone_makes_room(
    tmp_path: Path, make_store: StoreMaker, clock: FakeClock
) -> None:
    origins = []
    for name in ("pinned", "old", "used", "new"):
        (tmp_path / name).mkdir()
        origin = Origin(tmp_path / name)
        for number in range(40):
            origin.commit("x" * 1500 + os.urandom(1500).hex() + str(number), push=False)
        origin.push()
        origins.append(origin)
    store = make_store(spare_seconds=60)
    pinned, old, used, new = (store.open(origin.url) for origin in origins)
    for repository in (pinned, old):
        await repository.refresh()
        store._quota_bytes = int(3.5 * max(store._sizes.values()))
        os.utime(clone_path(repository), (1, 1))
    await pinned.pin("x", (await pinned.heads()).branches["main"])
    clock.forward(100)
    await used.refresh()
    await new.refresh()
    assert [r.mirror.exists for r in (pinned, old, used, new)] == [True, False, True, True]
    with pytest.raises(StoreError, match="quota_bytes"):
        await old.refresh()
    clock.forward(100)
    await old.refresh()
    assert old.mirror.exists
    assert pinned.mirror.exists
    assert (await old.heads()).branches


async def test_many_small_packs_are_gathered(
    origin: Origin, make_store: StoreMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxtrail.remotes.git.mirror.PACKS_BEFORE_REPACK", 3)
    repository = make_store().open(origin.url)
    shas = []
    for number in range(6):
        shas.append(origin.commit(str(number), files={"f": str(number)}))
        await repository.refresh()
        await repository.read_file(shas[-1], "f", limit_bytes=9)
    assert len(list((clone_path(repository) / "objects/pack").glob("*.pack"))) <= 4
    for number, sha in enumerate(shas):
        assert await repository.read_file(sha, "f", limit_bytes=9) == str(number).encode()


async def test_a_failing_remote_says_so_to_all_who_wait(tmp_path: Path, make_store: StoreMaker) -> None:
    repository = make_store().open(f"file://{tmp_path}/none.git")
    answers = await asyncio.gather(*(repository.refresh() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, UpstreamError) for answer in answers)
    assert answers[1] is answers[2]
    assert not list((tmp_path / "clones" / "incoming").iterdir())


async def test_a_full_disk_says_so_and_the_clone_stays_good(
    origin: Origin, make_store: StoreMaker, tmp_path: Path
) -> None:
    one = origin.commit("one")
    full = tmp_path / "full"
    # Stands for git on a full disk: fetches fail as git's own do there while the file `full` exists.
    wrapper = tmp_path / "git-wrapper"
    wrapper.write_text(
        f'#!/bin/sh\ncase " $* " in *" fetch "*) if [ -e {full} ]; then\n'
        "echo 'fatal: write error: No space left on device' >&2; exit 128; fi;; esac\n"
        'exec git "$@"\n'
    )
    wrapper.chmod(0o755)
    repository = make_store(git_program=str(wrapper)).open(origin.url)
    await repository.refresh()
    full.touch()
    two = origin.commit("two")
    with pytest.raises(StoreError, match="No space left on device") as caught:
        await repository.refresh()
    assert caught.value.retryable
    assert (await repository.heads()).branches == {"main": one}
    full.unlink()
    assert (await repository.refresh()).branches == {"main": two}


async def test_readers_of_many_repositories_are_few(
    tmp_path: Path, make_store: StoreMaker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxtrail.remotes.git.store.OPEN_READERS", 2)
    store = make_store()
    repositories = []
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).mkdir()
        origin = Origin(tmp_path / name)
        sha = origin.commit("one", files={"f": name})
        repository = store.open(origin.url)
        await repository.refresh()
        assert await repository.read_file(sha, "f", limit_bytes=9) == name.encode()
        repositories.append((repository, sha, name))
        clock.forward(1)
    assert sum(repository.reader.is_open for repository, _, _ in repositories) <= 3
    for repository, sha, name in repositories:
        assert await repository.read_file(sha, "f", limit_bytes=9) == name.encode()
